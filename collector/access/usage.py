"""What was asked for, how long it took and whose key it was: metrics by the name of a key, never by the key."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

from collector import tracing
from collector.errors import LithoscopeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry

    from collector.access.keys import Key

# From a look-up by id to the default time limit of a query.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Usage:
    """Counts for all ports of one collector; what has a ``key`` stays empty where nobody needs one."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.admitted = _counter("admitted", "Requests let in, by key.", "key", "scope")
        self.not_admitted = _counter("not_admitted", "Requests without a right key.", "reason")
        self.key_bytes = _counter("key_received_bytes", "Bytes of telemetry accepted, by key.", "key")
        self.key_seconds = _counter("key_query_seconds", "Time spent on answers of the query API, by key.", "key")
        self.failed = _counter("queries_failed", "Questions to the query API that were refused or failed.", "code")
        self.seconds = Histogram(
            "lithoscope_query_seconds", "Answering the query API.", ["what"], buckets=_SECONDS, registry=None
        )
        if registry is not None:
            for metric in vars(self).copy().values():
                registry.register(metric)

    def count_bytes(self, key: Key | None, size: int) -> None:
        """Count telemetry that was accepted."""
        if key is not None:
            self.key_bytes.labels(key.name).inc(size)

    @contextmanager
    def answering(self, what: str, key: Key | None) -> Iterator[None]:
        """Measure what happens in the block, and count its failure."""
        begun = time.perf_counter()
        try:
            with tracing.answering(what):
                yield
        except Exception as error:
            self.failed.labels(error.code if isinstance(error, LithoscopeError) else "internal").inc()
            raise
        finally:
            took = time.perf_counter() - begun
            self.seconds.labels(what).observe(took)
            if key is not None:
                self.key_seconds.labels(key.name).inc(took)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"lithoscope_{name}", text, labels, registry=None)
