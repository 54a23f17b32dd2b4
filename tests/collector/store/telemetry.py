"""Batches for store tests, decoded from requests as the collector does it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.decoder import Decoder, concatenate
from collector.position import LogPosition
from collector.signals import Signal

if TYPE_CHECKING:
    from collector.batch import Batch

START_NS = 1_795_435_200_000_000_000  # 2026-11-23T12:00:00Z


@dataclass
class Log:
    """Hands out positions, as the durable log would."""

    position: LogPosition = field(default=LogPosition(1, 0))

    def next(self) -> LogPosition:
        """The position after one more record."""
        self.position = LogPosition(self.position.segment, self.position.offset + 100)
        return self.position


def set_attributes(attributes: Any, values: dict[str, Any]) -> None:
    """Add text and whole-number attributes."""
    for key, value in values.items():
        kind = "int_value" if isinstance(value, int) else "string_value"
        setattr(attributes.add(key=key).value, kind, value)


def decoded(request: Any) -> Batch:
    """The batch of a request of any signal."""
    signals = {"resource_spans": Signal.TRACES, "resource_logs": Signal.LOGS, "resource_metrics": Signal.METRICS}
    return Decoder().decode(signals[request.DESCRIPTOR.fields[0].name], [request.SerializeToString()]).batch


def spans(*rows: dict[str, Any], resource: dict[str, Any] | None = None) -> Batch:
    """Spans of one service; each row holds fields of the protobuf message, or ``attributes`` as a dictionary."""
    request = ExportTraceServiceRequest()
    level = request.resource_spans.add()
    set_attributes(level.resource.attributes, {"service.name": "shop"} if resource is None else resource)
    scope_level = level.scope_spans.add()
    scope_level.scope.name, scope_level.scope.version = "library", "1.2"
    for index, row in enumerate(rows):
        number = index + 1
        fields: dict[str, Any] = {
            "trace_id": b"\1" * 16,
            "span_id": number.to_bytes(8),
            "name": f"op {number}",
            "kind": 2,
        }
        fields |= {"start_time_unix_nano": START_NS, "end_time_unix_nano": START_NS + 5} | row
        attributes = fields.pop("attributes", {})
        set_attributes(scope_level.spans.add(**fields).attributes, attributes)
    return decoded(request)


def logs(*rows: dict[str, Any], resource: dict[str, Any] | None = None) -> Batch:
    """Log records of one service, fields as in the protobuf message; ``body`` is text."""
    request = ExportLogsServiceRequest()
    level = request.resource_logs.add()
    set_attributes(level.resource.attributes, {"service.name": "shop"} if resource is None else resource)
    records = level.scope_logs.add().log_records
    for row in rows:
        fields = {"observed_time_unix_nano": START_NS} | row
        text = fields.pop("body", "hello")
        records.add(**fields).body.string_value = text
    return decoded(request)


def points(*rows: dict[str, Any], resource: dict[str, Any] | None = None) -> Batch:
    """Points of one gauge, fields as in the protobuf message."""
    request = ExportMetricsServiceRequest()
    level = request.resource_metrics.add()
    set_attributes(level.resource.attributes, {"service.name": "shop"} if resource is None else resource)
    gauge = level.scope_metrics.add().metrics.add(name="requests", unit="1").gauge
    for row in rows:
        gauge.data_points.add(**({"time_unix_nano": START_NS, "as_int": 7} | row))
    return decoded(request)


def signed(batch: Batch, *digests: bytes) -> Batch:
    """The batch with the digests of its requests."""
    return replace(batch, requests=digests)


def nothing() -> Batch:
    """A batch without rows."""
    return concatenate([])
