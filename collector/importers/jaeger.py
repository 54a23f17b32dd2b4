"""Jaeger's JSON, as its UI and API give it: ``{"data": [{"traceID", "spans", "processes"}]}``; times in µs."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.importers.building import Builder, Value, padded_id, set_attributes
from collector.importers.records import Problem, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = {
    "internal": Span.SPAN_KIND_INTERNAL,
    "server": Span.SPAN_KIND_SERVER,
    "client": Span.SPAN_KIND_CLIENT,
    "producer": Span.SPAN_KIND_PRODUCER,
    "consumer": Span.SPAN_KIND_CONSUMER,
}
_STATUS = {"OK": Status.STATUS_CODE_OK, "ERROR": Status.STATUS_CODE_ERROR}
_US = 1000
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError)


def is_jaeger(document: Any) -> bool:
    """Say whether a parsed document has Jaeger's shape."""
    traces = document.get("data") if isinstance(document, dict) else None
    return isinstance(traces, list) and (not traces or any(isinstance(t, dict) and "spans" in t for t in traces))


def read_jaeger(name: str, document: dict[str, Any]) -> Iterator[Request | Problem]:
    """Yield the requests of a document; a span that cannot be read is a ``Problem`` and the rest is kept."""
    builder = Builder()
    number = 0
    for raw, processes in _spans(document["data"]):
        number += 1
        position = f"{name}: span {number}"
        try:
            builder.add(processes.of(raw), _span(raw))
        except _UNREADABLE as error:
            yield Problem(position, f"not a Jaeger span ({type(error).__name__}: {error})")
        yield from builder.take(position)
    yield from builder.take(f"{name}: span {number}", all_of_it=True)


@dataclass(slots=True)
class _Processes:
    """The processes of one trace, read when a span needs them: one that is damaged costs its own spans only."""

    _raw: Any
    _read: dict[str, dict[str, Value]] = field(default_factory=dict)

    def of(self, span: dict[str, Any]) -> dict[str, Value]:
        """Return the resource attributes of a span, from its own copy of its process or from the trace's."""
        own, key = span.get("process"), span.get("processID", "")
        if own:
            return _resource(own)
        if key not in self._read:
            self._read[key] = _resource((self._raw or {}).get(key) or {})
        return self._read[key]


def _spans(traces: list[Any]) -> Iterator[tuple[Any, _Processes]]:
    """Yield each span with its trace's processes; a trace that is none comes as one span, which is none either."""
    for trace in traces:
        spans = trace.get("spans") or [] if isinstance(trace, dict) else trace
        processes = _Processes(trace.get("processes") if isinstance(trace, dict) else None)
        for span in spans if isinstance(spans, list) else [spans]:
            yield span, processes


def _resource(process: dict[str, Any]) -> dict[str, Value]:
    name = process.get("serviceName")
    return ({"service.name": str(name)} if name else {}) | _tags(process.get("tags"))


def _span(raw: dict[str, Any]) -> Span:
    tags = _tags(raw.get("tags"))
    kind = _KINDS.get(str(tags.get("span.kind")).lower(), Span.SPAN_KIND_UNSPECIFIED)
    if kind:
        del tags["span.kind"]
    start = int(raw["startTime"]) * _US
    span = Span(
        trace_id=padded_id(raw["traceID"], 16),
        span_id=padded_id(raw["spanID"], 8),
        name=raw["operationName"],
        kind=kind,
        flags=int(raw.get("flags") or 0) & 0xFF,
        start_time_unix_nano=start,
        end_time_unix_nano=start + int(raw["duration"]) * _US,
    )
    _set_references(span, raw)
    _set_status(span, tags)
    for entry in raw.get("logs") or ():
        _add_event(span, entry)
    set_attributes(span.attributes, tags | _warnings(raw))
    return span


def _set_references(span: Span, raw: dict[str, Any]) -> None:
    """The first CHILD_OF of the same trace is the parent; all else are links. Nested copies of spans are ignored."""
    for reference in raw.get("references") or ():
        trace_id, span_id = padded_id(reference["traceID"], 16), padded_id(reference["spanID"], 8)
        is_parent = reference.get("refType") == "CHILD_OF" and trace_id == span.trace_id and not span.parent_span_id
        if is_parent:
            span.parent_span_id = span_id
        else:
            span.links.add(trace_id=trace_id, span_id=span_id)
    if raw.get("parentSpanID") and not span.parent_span_id:
        span.parent_span_id = padded_id(raw["parentSpanID"], 8)


def _set_status(span: Span, tags: dict[str, Value]) -> None:
    """Take the status from OpenTelemetry's tags, or an error from OpenTracing's, which stays: it is an attribute."""
    code = str(tags.get("otel.status_code"))
    if code in _STATUS:
        span.status.code = _STATUS[code]
        del tags["otel.status_code"]
    elif str(tags.get("error")).lower() == "true":
        span.status.code = Status.STATUS_CODE_ERROR
    if span.status.code:
        span.status.message = str(tags.pop("otel.status_description", ""))


def _add_event(span: Span, entry: dict[str, Any]) -> None:
    fields = _tags(entry.get("fields"))
    name = str(fields.pop("event", "") or fields.get("message", "") or "log")
    event = span.events.add(name=name, time_unix_nano=int(entry["timestamp"]) * _US)
    set_attributes(event.attributes, fields)


def _warnings(raw: dict[str, Any]) -> dict[str, Value]:
    warnings = raw.get("warnings")
    return {"jaeger.warnings": "; ".join(map(str, warnings))} if warnings else {}


def _tags(tags: list[dict[str, Any]] | None) -> dict[str, Value]:
    return {tag["key"]: _tag_value(tag) for tag in tags or ()}


def _tag_value(tag: dict[str, Any]) -> Value:
    value, kind = tag.get("value"), str(tag.get("type", "")).lower()
    if not kind and isinstance(value, bool | int | float):
        return value
    if kind == "bool":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    if kind == "int64":
        return int(value or 0)
    if kind == "float64":
        return float(value or 0)
    if kind == "binary":
        return base64.b64decode(str(value))
    return value if isinstance(value, str) else str(value)
