"""What the Python SDK's own exporters send comes back by SQL as the SDK recorded it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.collector.receiver import sdk_spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from tests.collector.receiver.running import Collector

SPANS = 25_000
EXPORTERS = ["grpc", "grpc gzip", "http", "http gzip", "http deflate"]
BIG = ["grpc", "grpc gzip", "http", "http gzip"]


def make_exporter(collector: Collector, name: str) -> SpanExporter:
    """An exporter as an application would make it."""
    transport, _, compression = name.partition(" ")
    if transport == "grpc":
        chosen = grpc.Compression.Gzip if compression else grpc.Compression.NoCompression
        return GrpcExporter(f"http://{collector.grpc}", compression=chosen)
    return HttpExporter(f"http://{collector.http}/v1/traces", compression=Compression(compression or "none"))


def send(collector: Collector, name: str, count: int) -> list[sdk_spans.Row]:
    """Export spans, and return them as the SDK recorded them."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(
        resource=sdk_spans.resource(service_of(name, count)), span_limits=SpanLimits(max_span_attributes=200)
    )
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.add_span_processor(BatchSpanProcessor(make_exporter(collector, name), max_queue_size=count + 512))
    sdk_spans.make_spans(provider, count, seed=count)
    assert provider.force_flush()
    provider.shutdown()
    return sdk_spans.all_recorded(memory.get_finished_spans())


def service_of(name: str, count: int) -> str:
    """A service name for each test."""
    return f"{name} {count}"


def read_back(collector: Collector, service: str, count: int) -> list[sdk_spans.Row]:
    """The stored spans of a service, in the shape of those recorded."""
    collector.rows(f"SELECT 1 FROM spans WHERE service_name = '{service}'", count)
    rows = collector.client.sql_arrow(sdk_spans.QUERY.format(service=service)).to_pylist()
    resources, scopes = (origins(collector, query) for query in (sdk_spans.RESOURCES, sdk_spans.SCOPES))
    return [sdk_spans.stored(row, resources, scopes) for row in rows]


def origins(collector: Collector, query: str) -> dict[int, tuple[Any, ...]]:
    """All resources or scopes by id, with their attributes decoded."""
    rows = (tuple(row.values()) for row in collector.client.sql_arrow(query).to_pylist())
    return {row[0]: (*row[1:-2], sdk_spans.decoded(*row[-2:])) for row in rows}


def by_id(rows: list[sdk_spans.Row]) -> dict[tuple[str, str], sdk_spans.Row]:
    """Rows by their span's identity."""
    return {(row["trace_id"], row["span_id"]): row for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("exporter", BIG)
def test_every_span_of_25_000_comes_back_equal(collector: Collector, exporter: str) -> None:
    """All fields, attributes of all types, events, links, resource and scope; a hundred thousand spans in all."""
    sent = send(collector, exporter, SPANS)
    found = read_back(collector, service_of(exporter, SPANS), SPANS)
    assert len(sent) == len(found) == SPANS
    expected, stored = by_id(sent), by_id(found)
    assert stored.keys() == expected.keys()
    different = [(expected[key], stored[key]) for key in expected if expected[key] != stored[key]]
    for one, other in different[:1]:
        assert other == one
    assert not different


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_every_kind_of_value_takes_part(collector: Collector, exporter: str) -> None:
    """The comparison is worth nothing for what does not occur: each kind of thing is among the spans stored."""
    send(collector, exporter, 300)
    rows = read_back(collector, service_of(exporter, 300), 300)
    assert {row["kind"] for row in rows} == {"internal", "server", "client", "producer", "consumer"}
    assert {row["status_message"] for row in rows} == {None, "it broke"}
    assert {row["status_code"] for row in rows} == {"unset", "ok", "error"}
    assert {name for row in rows for name in row["attributes"]} == {*sdk_spans.VALUES, "number"}
    for part in ("trace_state", "parent_span_id", "events", "links"):
        assert {bool(row[part]) for row in rows} == {True, False}, part
    assert {row["flags"] for row in rows} == {0x100, 0x300}
