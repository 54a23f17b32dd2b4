"""OTLP messages as importers handle them: count their records, find their times, move them."""

from __future__ import annotations

from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from collector.signals import PROTOCOL, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESOURCES = {Signal.TRACES: "resource_spans", Signal.METRICS: "resource_metrics", Signal.LOGS: "resource_logs"}
_SCOPES = {Signal.TRACES: "scope_spans", Signal.METRICS: "scope_metrics", Signal.LOGS: "scope_logs"}
_RECORDS = {Signal.TRACES: "spans", Signal.METRICS: "metrics", Signal.LOGS: "log_records"}
_POINTS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
_TIMES = ("time_unix_nano", "observed_time_unix_nano", "start_time_unix_nano", "end_time_unix_nano")

_Placed = tuple[Any, Any, Any]  # a resource, a scope of it, and a span, a metric or a log record of that


def records(signal: Signal, message: Any) -> Iterator[Any]:
    """Yield the spans, log records or data points of an Export request."""
    for resource in getattr(message, _RESOURCES[signal]):
        for scope in getattr(resource, _SCOPES[signal]):
            for record in getattr(scope, _RECORDS[signal]):
                yield from _points(record) if signal is Signal.METRICS else (record,)


def _points(metric: Any) -> Iterator[Any]:
    kind = metric.WhichOneof("data")
    if kind is not None:
        yield from getattr(metric, kind).data_points


def count(signal: Signal, message: Any) -> int:
    """Return the number of records of an Export request."""
    return sum(1 for _ in records(signal, message))


def newest(signal: Signal, message: Any) -> int:
    """Return the latest time in an Export request in Unix nanoseconds, 0 when nothing has one."""
    return max((getattr(record, name) for record in records(signal, message) for name in _own_times(record)), default=0)


def shift(signal: Signal, message: Any, delta_ns: int) -> None:
    """Move every time of an Export request; a time of 0 means "unknown" and stays."""
    for record in records(signal, message):
        for timed in (record, *getattr(record, "events", ()), *getattr(record, "exemplars", ())):
            for name in _own_times(timed):
                value = getattr(timed, name)
                setattr(timed, name, max(value + delta_ns, 1) if value else 0)


def _own_times(message: Any) -> tuple[str, ...]:
    return _times_of(message.DESCRIPTOR)


@cache
def _times_of(descriptor: Any) -> tuple[str, ...]:
    return tuple(name for name in _TIMES if name in descriptor.fields_by_name)


def signal_of(document: dict[str, Any]) -> Signal | None:
    """Return the signal of an OTLP/JSON document by the name of its first level."""
    names = {"resourceSpans": Signal.TRACES, "resourceMetrics": Signal.METRICS, "resourceLogs": Signal.LOGS}
    return next((signal for name, signal in names.items() if name in document), None)


def parse_protobuf(signal: Signal, body: bytes) -> Any:
    """Return the Export request of a body; raises ``DecodeError``."""
    return PROTOCOL[signal].request.FromString(body)


def split(signal: Signal, message: Any, *, records: int, size: int) -> Iterator[Any]:
    """Yield Export requests of at most so many records and bytes, in order, which together are one.

    What is over a bound by itself (a large span, a metric of many points) comes alone.
    """
    part: list[_Placed] = []
    part_records = part_bytes = 0
    for placed in _placed(signal, message):
        own_records = sum(1 for _ in _points(placed[2])) if signal is Signal.METRICS else 1
        own_bytes = placed[2].ByteSize()
        if part and (part_records + own_records > records or part_bytes + own_bytes > size):
            yield _request_of(signal, part)
            part, part_records, part_bytes = [], 0, 0
        part.append(placed)
        part_records += own_records
        part_bytes += own_bytes
    if part:
        yield _request_of(signal, part)


def _placed(signal: Signal, message: Any) -> Iterator[_Placed]:
    for resource in getattr(message, _RESOURCES[signal]):
        for scope in getattr(resource, _SCOPES[signal]):
            for content in getattr(scope, _RECORDS[signal]):
                yield resource, scope, content


def _request_of(signal: Signal, part: list[_Placed]) -> Any:
    request = PROTOCOL[signal].request()
    for _, group in groupby(part, key=lambda placed: id(placed[1])):  # the part keeps the scopes, so no id comes twice
        contents = list(group)
        resource, scope, _ = contents[0]
        target = _add_scope(signal, request, resource, scope)
        target.extend(content for _, _, content in contents)
    return request


def _add_scope(signal: Signal, request: Any, resource: Any, scope: Any) -> Any:
    new_resource = getattr(request, _RESOURCES[signal]).add(schema_url=resource.schema_url)
    if resource.HasField("resource"):
        new_resource.resource.CopyFrom(resource.resource)
    new_scope = getattr(new_resource, _SCOPES[signal]).add(schema_url=scope.schema_url)
    if scope.HasField("scope"):
        new_scope.scope.CopyFrom(scope.scope)
    return getattr(new_scope, _RECORDS[signal])
