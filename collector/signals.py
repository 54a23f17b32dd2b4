"""The three OTLP signals and the protobuf messages that carry them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2


class Signal(Enum):
    """One of OTLP's signals; the value is the last part of its HTTP path."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


@dataclass(frozen=True, slots=True)
class SignalProtocol:
    """The names OTLP gives one signal: gRPC service, messages, and the field that counts rejected records."""

    grpc_service: str
    request: Any
    response: Any
    rejected_field: str


PROTOCOL = {
    Signal.TRACES: SignalProtocol(
        "opentelemetry.proto.collector.trace.v1.TraceService",
        trace_service_pb2.ExportTraceServiceRequest,
        trace_service_pb2.ExportTraceServiceResponse,
        "rejected_spans",
    ),
    Signal.METRICS: SignalProtocol(
        "opentelemetry.proto.collector.metrics.v1.MetricsService",
        metrics_service_pb2.ExportMetricsServiceRequest,
        metrics_service_pb2.ExportMetricsServiceResponse,
        "rejected_data_points",
    ),
    Signal.LOGS: SignalProtocol(
        "opentelemetry.proto.collector.logs.v1.LogsService",
        logs_service_pb2.ExportLogsServiceRequest,
        logs_service_pb2.ExportLogsServiceResponse,
        "rejected_log_records",
    ),
}
