"""What the collector counts about itself, for ``/metrics``."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.metrics import MetricWrapperBase

from collector.signals import Signal

if TYPE_CHECKING:
    from collector.log import Damage
    from collector.position import LogPosition
    from collector.store.protocol import Appended

_DAMAGE = _TORN, _DAMAGED = "torn", "damaged"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"lithoscope_{name}", text, labels, registry=None)


def _seconds(name: str, text: str) -> Histogram:
    return Histogram(f"lithoscope_{name}_seconds", text, buckets=_SECONDS, registry=None)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The metrics of one collector; ``registry`` has them all."""

    requests: Counter = field(default_factory=lambda: _counter("requests", "Requests made durable.", "signal"))
    accepted: Counter = field(
        default_factory=lambda: _counter("requests_accepted", "Requests answered with success, retries too.", "signal")
    )
    refused: Counter = field(
        default_factory=lambda: _counter("requests_refused", "Requests answered with an error.", "signal", "reason")
    )
    received_bytes: Counter = field(
        default_factory=lambda: _counter("received_bytes", "Bytes of requests taken on, decompressed.", "signal")
    )
    retried: Counter = field(default_factory=lambda: _counter("requests_retried", "Requests that had come before."))
    rejected: Counter = field(default_factory=lambda: _counter("records_rejected", "Records refused.", "signal"))
    stored: Counter = field(default_factory=lambda: _counter("records_stored", "Spans, logs and points stored."))
    duplicates: Counter = field(default_factory=lambda: _counter("spans_duplicate", "Spans that were stored before."))
    insert_failures: Counter = field(
        default_factory=lambda: _counter("insert_failures", "Inserts that failed and are tried again.")
    )
    quarantined: Counter = field(
        default_factory=lambda: _counter(
            "requests_quarantined", "Acknowledged requests that the store refuses for what is in them."
        )
    )
    log_damage: Counter = field(
        default_factory=lambda: _counter(
            "log_damage", "Places of the log that could not be read; a crash tears the end of a segment.", "kind"
        )
    )
    queued_bytes: Gauge = field(
        default_factory=lambda: Gauge(
            "lithoscope_queued_bytes", "Request bytes accepted and not yet in the store.", registry=None
        )
    )
    log_waiting_bytes: Gauge = field(
        default_factory=lambda: Gauge(
            "lithoscope_log_waiting_bytes",
            "Request bytes that wait in the log alone, while the store cannot be written.",
            registry=None,
        )
    )
    degraded: Gauge = field(
        default_factory=lambda: Gauge("lithoscope_degraded", "1 while something keeps it from working.", registry=None)
    )
    decode_seconds: Histogram = field(default_factory=lambda: _seconds("decode", "Decoding a group of requests."))
    sync_seconds: Histogram = field(default_factory=lambda: _seconds("log_append", "Writing a group durably."))
    insert_seconds: Histogram = field(default_factory=lambda: _seconds("insert", "One transaction of the store."))
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _damaged: set[LogPosition] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name in self.__slots__:
            metric = getattr(self, name)
            if isinstance(metric, MetricWrapperBase):
                self.registry.register(metric)
        for kind in _DAMAGE:  # shown before there is any
            self.log_damage.labels(kind)
        for counter in (self.requests, self.accepted, self.received_bytes, self.rejected):
            for signal in Signal:
                counter.labels(signal.value)
        ProcessCollector(registry=self.registry)  # memory, processor time and open files, by their usual names
        self._tell_build()

    def _tell_build(self) -> None:
        build = Gauge("lithoscope_build_info", "Always 1.", ["version", "python"], registry=self.registry)
        build.labels(version("lithoscope"), platform.python_version()).set(1)

    def count(self, appended: Appended) -> None:
        """Count what an append has stored."""
        self.stored.inc(appended.stored)
        self.duplicates.inc(appended.duplicates)

    def count_damage(self, damage: Damage) -> None:
        """Count a place of the log that cannot be read, once however often it is met."""
        if damage.place not in self._damaged:
            self._damaged.add(damage.place)
            self.log_damage.labels(_TORN if damage.torn else _DAMAGED).inc()
