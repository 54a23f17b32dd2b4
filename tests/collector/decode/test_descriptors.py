"""Every field of OTLP has a column, or a reason why it has none."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from collector.batch import EVENT, EXEMPLAR, LINK, LOGS, METRICS, QUANTILE, RESOURCES, SCOPES
from collector.decode.spans import SCHEMA as SPANS
from collector.semconv import WELL_KNOWN
from collector.signals import PROTOCOL, Signal

TABLES: dict[str, Any] = {
    "spans": SPANS,
    "logs": LOGS,
    "metrics": METRICS,
    "resources": RESOURCES,
    "scopes": SCOPES,
    "event": EVENT,
    "link": LINK,
    "exemplar": EXEMPLAR,
    "quantile": QUANTILE,
}

LEVEL = "a level of the tree: its content becomes rows"
PROFILES_ONLY = "an index into the string table of the profiles signal, which other signals do not have"
INTERVAL = "kept as the duration"
AS_TEXT = "the text of its value and a letter for its type"

# Message and field to the column (table.column) that has its content, or to (reason,).
COLUMNS: dict[str, str | tuple[str]] = {
    "ExportTraceServiceRequest.resource_spans": (LEVEL,),
    "ResourceSpans.resource": "spans.resource",
    "ResourceSpans.scope_spans": (LEVEL,),
    "ResourceSpans.schema_url": "resources.schema_url",
    "ScopeSpans.scope": "spans.scope",
    "ScopeSpans.spans": (LEVEL,),
    "ScopeSpans.schema_url": "scopes.schema_url",
    "Span.trace_id": "spans.trace_id",
    "Span.span_id": "spans.span_id",
    "Span.trace_state": "spans.trace_state",
    "Span.parent_span_id": "spans.parent_span_id",
    "Span.flags": "spans.flags",
    "Span.name": "spans.span_name",
    "Span.kind": "spans.kind",
    "Span.start_time_unix_nano": "spans.start_time",
    "Span.end_time_unix_nano": "spans.duration_ns",
    "Span.attributes": "spans.attribute_values",
    "Span.dropped_attributes_count": "spans.dropped_attributes_count",
    "Span.events": "spans.events",
    "Span.dropped_events_count": "spans.dropped_events_count",
    "Span.links": "spans.links",
    "Span.dropped_links_count": "spans.dropped_links_count",
    "Span.status": (LEVEL,),
    "Status.message": "spans.status_message",
    "Status.code": "spans.status_code",
    "Event.time_unix_nano": "event.time",
    "Event.name": "event.name",
    "Event.attributes": "event.attributes",
    "Event.dropped_attributes_count": "event.dropped_attributes_count",
    "Link.trace_id": "link.trace_id",
    "Link.span_id": "link.span_id",
    "Link.trace_state": "link.trace_state",
    "Link.attributes": "link.attributes",
    "Link.dropped_attributes_count": "link.dropped_attributes_count",
    "Link.flags": "link.flags",
    "ExportLogsServiceRequest.resource_logs": (LEVEL,),
    "ResourceLogs.resource": "logs.resource",
    "ResourceLogs.scope_logs": (LEVEL,),
    "ResourceLogs.schema_url": "resources.schema_url",
    "ScopeLogs.scope": "logs.scope",
    "ScopeLogs.log_records": (LEVEL,),
    "ScopeLogs.schema_url": "scopes.schema_url",
    "LogRecord.time_unix_nano": "logs.time",
    "LogRecord.observed_time_unix_nano": "logs.observed_time",
    "LogRecord.severity_number": "logs.severity_number",
    "LogRecord.severity_text": "logs.severity_text",
    "LogRecord.body": "logs.body",
    "LogRecord.attributes": "logs.attribute_values",
    "LogRecord.dropped_attributes_count": "logs.dropped_attributes_count",
    "LogRecord.flags": "logs.flags",
    "LogRecord.trace_id": "logs.trace_id",
    "LogRecord.span_id": "logs.span_id",
    "LogRecord.event_name": "logs.event_name",
    "ExportMetricsServiceRequest.resource_metrics": (LEVEL,),
    "ResourceMetrics.resource": "metrics.resource",
    "ResourceMetrics.scope_metrics": (LEVEL,),
    "ResourceMetrics.schema_url": "resources.schema_url",
    "ScopeMetrics.scope": "metrics.scope",
    "ScopeMetrics.metrics": (LEVEL,),
    "ScopeMetrics.schema_url": "scopes.schema_url",
    "Metric.name": "metrics.metric_name",
    "Metric.description": "metrics.description",
    "Metric.unit": "metrics.unit",
    "Metric.gauge": "metrics.type",
    "Metric.sum": "metrics.type",
    "Metric.histogram": "metrics.type",
    "Metric.exponential_histogram": "metrics.type",
    "Metric.summary": "metrics.type",
    "Metric.metadata": "metrics.metadata",
    "Gauge.data_points": (LEVEL,),
    "Sum.data_points": (LEVEL,),
    "Sum.aggregation_temporality": "metrics.aggregation_temporality",
    "Sum.is_monotonic": "metrics.is_monotonic",
    "Histogram.data_points": (LEVEL,),
    "Histogram.aggregation_temporality": "metrics.aggregation_temporality",
    "ExponentialHistogram.data_points": (LEVEL,),
    "ExponentialHistogram.aggregation_temporality": "metrics.aggregation_temporality",
    "Summary.data_points": (LEVEL,),
    **{
        f"{point}.{name}": f"metrics.{column}"
        for point in ("NumberDataPoint", "HistogramDataPoint", "ExponentialHistogramDataPoint", "SummaryDataPoint")
        for name, column in (
            ("attributes", "attribute_values"),
            ("start_time_unix_nano", "start_time"),
            ("time_unix_nano", "time"),
            ("flags", "flags"),
        )
    },
    "NumberDataPoint.as_double": "metrics.value",
    "NumberDataPoint.as_int": "metrics.value_int",
    "NumberDataPoint.exemplars": "metrics.exemplars",
    **{
        f"{point}.{name}": f"metrics.{name}"
        for point in ("HistogramDataPoint", "ExponentialHistogramDataPoint")
        for name in ("count", "sum", "min", "max", "exemplars")
    },
    "HistogramDataPoint.bucket_counts": "metrics.bucket_counts",
    "HistogramDataPoint.explicit_bounds": "metrics.explicit_bounds",
    "ExponentialHistogramDataPoint.scale": "metrics.scale",
    "ExponentialHistogramDataPoint.zero_count": "metrics.zero_count",
    "ExponentialHistogramDataPoint.zero_threshold": "metrics.zero_threshold",
    "ExponentialHistogramDataPoint.positive": "metrics.positive_bucket_counts",
    "ExponentialHistogramDataPoint.negative": "metrics.negative_bucket_counts",
    "Buckets.offset": "metrics.positive_offset",
    "Buckets.bucket_counts": "metrics.positive_bucket_counts",
    "SummaryDataPoint.count": "metrics.count",
    "SummaryDataPoint.sum": "metrics.sum",
    "SummaryDataPoint.quantile_values": "metrics.quantiles",
    "ValueAtQuantile.quantile": "quantile.quantile",
    "ValueAtQuantile.value": "quantile.value",
    "Exemplar.filtered_attributes": "exemplar.attributes",
    "Exemplar.time_unix_nano": "exemplar.time",
    "Exemplar.as_double": "exemplar.value",
    "Exemplar.as_int": "exemplar.value_int",
    "Exemplar.span_id": "exemplar.span_id",
    "Exemplar.trace_id": "exemplar.trace_id",
    "Resource.attributes": "resources.attributes",
    "Resource.dropped_attributes_count": "resources.dropped_attributes_count",
    "Resource.entity_refs": "resources.entity_refs",
    "EntityRef.schema_url": "resources.entity_refs",
    "EntityRef.type": "resources.entity_refs",
    "EntityRef.id_keys": "resources.entity_refs",
    "EntityRef.description_keys": "resources.entity_refs",
    "InstrumentationScope.name": "scopes.name",
    "InstrumentationScope.version": "scopes.version",
    "InstrumentationScope.attributes": "scopes.attributes",
    "InstrumentationScope.dropped_attributes_count": "scopes.dropped_attributes_count",
    "KeyValue.key": "spans.attribute_keys",
    "KeyValue.value": "spans.attribute_values",
    "KeyValue.key_strindex": (PROFILES_ONLY,),
    **{
        f"AnyValue.{kind}_value": "spans.attribute_types"
        for kind in ("string", "bool", "int", "double", "bytes", "array", "kvlist")
    },
    "AnyValue.string_value_strindex": (PROFILES_ONLY,),
    "ArrayValue.values": (AS_TEXT,),
    "KeyValueList.values": (AS_TEXT,),
}


def fields(message: Any, seen: set[str]) -> set[str]:
    """Every field that a message can carry at any depth, as ``Message.field``."""
    if message.full_name in seen:
        return set()
    seen.add(message.full_name)
    found = {f"{message.name}.{field.name}" for field in message.fields}
    return found.union(*(fields(field.message_type, seen) for field in message.fields if field.message_type))


def test_every_field_has_a_column_or_a_reason() -> None:
    """A field that a newer protocol adds fails here, as does one listed that is gone."""
    seen: set[str] = set()
    protocol = set[str]().union(*(fields(PROTOCOL[signal].request.DESCRIPTOR, seen) for signal in Signal))
    assert protocol == set(COLUMNS)


def test_message_names_are_unique() -> None:
    """The table above names messages without their package."""
    seen: set[str] = set()
    for signal in Signal:
        fields(PROTOCOL[signal].request.DESCRIPTOR, seen)
    assert len({name.rpartition(".")[2] for name in seen}) == len(seen)


@pytest.mark.parametrize("column", sorted({column for column in COLUMNS.values() if isinstance(column, str)}))
def test_listed_columns_exist(column: str) -> None:
    """Each is a column of a table or a field of a struct."""
    table, _, name = column.partition(".")
    names = TABLES[table].names if isinstance(TABLES[table], pa.Schema) else [field.name for field in TABLES[table]]
    assert name in names


def test_columns_without_a_field_are_known() -> None:
    """What decoding adds on its own: types, digests, and columns that repeat an attribute."""
    used = {column for column in COLUMNS.values() if isinstance(column, str)}
    tables = {name: schema for name, schema in TABLES.items() if isinstance(schema, pa.Schema)}
    every = {f"{table}.{column}" for table, schema in tables.items() for column in schema.names}
    assert every - used - {f"spans.{known.column}" for known in WELL_KNOWN} == {
        *(f"{table}.attribute_{part}" for table in ("logs", "metrics") for part in ("keys", "types")),
        *(f"{table}.{column}" for table in ("resources", "scopes") for column in ("digest", "attribute_types")),
        *(f"resources.{column}" for column in ("environment", "service_name", "service_namespace")),
        *(f"resources.{column}" for column in ("service_version", "service_instance_id")),
        "logs.body_type",
        "metrics.metadata_types",
        "metrics.negative_offset",
    }
