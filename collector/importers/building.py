"""Builds OTLP requests from other formats: spans are grouped by the process they came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.importers.records import MOST_BYTES, MOST_RECORDS, Request
from collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Value = str | bool | int | float | bytes


@dataclass(slots=True)
class Builder:
    """Collects spans; ``take`` gives the requests so far, none of them larger than importers may make them."""

    _request: Any = field(default_factory=ExportTraceServiceRequest)
    _spans: dict[tuple[tuple[str, Value], ...], Any] = field(default_factory=dict)
    _count: int = 0
    _bytes: int = 0

    def add(self, resource: Mapping[str, Value], span: Any) -> None:
        """Add a span of a process that has these resource attributes."""
        key = tuple(resource.items())
        if key not in self._spans:
            group = self._request.resource_spans.add()
            set_attributes(group.resource.attributes, resource)
            self._spans[key] = group.scope_spans.add().spans
        self._spans[key].append(span)
        self._count += 1
        self._bytes += span.ByteSize()

    def take(self, position: str, *, all_of_it: bool = False) -> Iterator[Request]:
        """Yield a request when enough spans have gathered, or for all that is left."""
        is_full = self._count >= MOST_RECORDS or self._bytes >= MOST_BYTES
        if self._count and (all_of_it or is_full):
            yield Request(Signal.TRACES, self._request.SerializeToString(), self._count, position)
            self._request, self._spans = ExportTraceServiceRequest(), {}
            self._count = self._bytes = 0


def set_attributes(target: Any, attributes: Mapping[str, Value]) -> None:
    """Add attributes to a repeated ``KeyValue`` field, each as its own type."""
    for key, value in attributes.items():
        slot = target.add(key=key).value
        if isinstance(value, bool):
            slot.bool_value = value
        elif isinstance(value, int):
            slot.int_value = value
        elif isinstance(value, float):
            slot.double_value = value
        elif isinstance(value, bytes):
            slot.bytes_value = value
        else:
            slot.string_value = value


def padded_id(text: str, size: int) -> bytes:
    """Return a hex id of ``size`` bytes, filled with zeros on the left: older tracers have 64-bit trace ids.

    Raises ``ValueError`` for what is no hex or too long.
    """
    raw = bytes.fromhex(text.zfill(2 * size))
    if len(raw) != size:
        raise ValueError(f"{text!r} is not an id of at most {2 * size} hexadecimal digits")
    return raw
