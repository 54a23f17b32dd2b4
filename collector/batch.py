"""What decoding hands to the store: flat Arrow tables and the few resources and scopes they point at."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

ATTRIBUTE_KEYS = pa.dictionary(pa.int32(), pa.string())
"""An attribute column's keys, as the JSON text of a list: few distinct lists occur, whatever the number of spans."""

_ATTRIBUTES = [
    pa.field("attribute_keys", ATTRIBUTE_KEYS),
    pa.field("attribute_values", pa.list_(pa.string())),
    pa.field("attribute_types", pa.dictionary(pa.int32(), pa.string())),
    pa.field("dropped_attributes_count", pa.uint32()),
]
_ORIGIN = [pa.field("resource", pa.uint64()), pa.field("scope", pa.uint64())]

_MAP = pa.map_(pa.string(), pa.string())

EVENT = pa.struct(
    [
        pa.field("time", pa.timestamp("ns")),
        pa.field("name", pa.string()),
        pa.field("attributes", _MAP),
        pa.field("attribute_types", pa.string()),
        pa.field("dropped_attributes_count", pa.uint32()),
    ]
)

LINK = pa.struct(
    [
        pa.field("trace_id", pa.string()),
        pa.field("span_id", pa.string()),
        pa.field("attributes", _MAP),
        pa.field("trace_state", pa.string()),
        pa.field("flags", pa.uint32()),
        pa.field("attribute_types", pa.string()),
        pa.field("dropped_attributes_count", pa.uint32()),
    ]
)

EXEMPLAR = pa.struct(
    [
        pa.field("time", pa.timestamp("ns")),
        pa.field("value", pa.float64()),
        pa.field("value_int", pa.int64()),
        pa.field("trace_id", pa.string()),
        pa.field("span_id", pa.string()),
        pa.field("attributes", _MAP),
        pa.field("attribute_types", pa.string()),
    ]
)

QUANTILE = pa.struct([pa.field("quantile", pa.float64()), pa.field("value", pa.float64())])

SPANS = pa.schema(
    [
        pa.field("trace_id", pa.uuid()),
        pa.field("span_id", pa.uint64()),
        pa.field("parent_span_id", pa.uint64()),
        pa.field("trace_state", pa.string()),
        pa.field("flags", pa.uint32()),
        pa.field("span_name", pa.string()),
        pa.field("kind", pa.dictionary(pa.int32(), pa.string())),
        pa.field("start_time", pa.timestamp("ns")),
        pa.field("duration_ns", pa.int64()),
        pa.field("status_code", pa.dictionary(pa.int32(), pa.string())),
        pa.field("status_message", pa.string()),
        pa.field("events", pa.list_(EVENT)),
        pa.field("dropped_events_count", pa.uint32()),
        pa.field("links", pa.list_(LINK)),
        pa.field("dropped_links_count", pa.uint32()),
        *_ATTRIBUTES,
        *_ORIGIN,
    ]
)
"""One row a span, in the order of the request; well-known attribute columns (``collector.semconv``) follow these."""

LOGS = pa.schema(
    [
        pa.field("time", pa.timestamp("ns")),
        pa.field("observed_time", pa.timestamp("ns")),
        pa.field("trace_id", pa.uuid()),
        pa.field("span_id", pa.uint64()),
        pa.field("flags", pa.uint32()),
        pa.field("severity_text", pa.string()),
        pa.field("severity_number", pa.int32()),
        pa.field("event_name", pa.string()),
        pa.field("body", pa.string()),
        pa.field("body_type", pa.string()),
        *_ATTRIBUTES,
        *_ORIGIN,
    ]
)
"""One row a log record; a time of 0 ("unknown" in OTLP) is null, as are ids that are absent."""

METRICS = pa.schema(
    [
        pa.field("time", pa.timestamp("ns")),
        pa.field("start_time", pa.timestamp("ns")),
        pa.field("metric_name", pa.string()),
        pa.field("description", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("type", pa.string()),
        pa.field("aggregation_temporality", pa.string()),
        pa.field("is_monotonic", pa.bool_()),
        pa.field("value", pa.float64()),
        pa.field("value_int", pa.int64()),
        pa.field("count", pa.uint64()),
        pa.field("sum", pa.float64()),
        pa.field("min", pa.float64()),
        pa.field("max", pa.float64()),
        pa.field("bucket_counts", pa.list_(pa.uint64())),
        pa.field("explicit_bounds", pa.list_(pa.float64())),
        pa.field("scale", pa.int32()),
        pa.field("zero_count", pa.uint64()),
        pa.field("zero_threshold", pa.float64()),
        pa.field("positive_offset", pa.int32()),
        pa.field("positive_bucket_counts", pa.list_(pa.uint64())),
        pa.field("negative_offset", pa.int32()),
        pa.field("negative_bucket_counts", pa.list_(pa.uint64())),
        pa.field("quantiles", pa.list_(QUANTILE)),
        pa.field("exemplars", pa.list_(EXEMPLAR)),
        pa.field("metadata", pa.string()),
        pa.field("metadata_types", pa.string()),
        pa.field("flags", pa.uint32()),
        *_ATTRIBUTES[:-1],
        *_ORIGIN,
    ]
)
"""One row a data point; fields that its metric type does not have are null."""

RESOURCES = pa.schema(
    [
        pa.field("digest", pa.uint64()),
        pa.field("environment", pa.string()),
        pa.field("service_name", pa.string()),
        pa.field("service_namespace", pa.string()),
        pa.field("service_version", pa.string()),
        pa.field("service_instance_id", pa.string()),
        pa.field("attributes", _MAP),
        pa.field("attribute_types", pa.string()),
        pa.field("dropped_attributes_count", pa.uint32()),
        pa.field("entity_refs", pa.string()),
        pa.field("schema_url", pa.string()),
    ]
)
"""One row a distinct resource; ``digest`` is the 64-bit xxh3 of its wire bytes and schema URL."""

SCOPES = pa.schema(
    [
        pa.field("digest", pa.uint64()),
        pa.field("name", pa.string()),
        pa.field("version", pa.string()),
        pa.field("attributes", _MAP),
        pa.field("attribute_types", pa.string()),
        pa.field("dropped_attributes_count", pa.uint32()),
        pa.field("schema_url", pa.string()),
    ]
)
"""One row a distinct instrumentation scope; ``digest`` as for resources."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Decoded telemetry of one or more requests; tables that have no rows keep their schema.

    ``requests`` are the 16-byte digests of the request bodies, for recognising a retry.
    """

    spans: pa.Table
    logs: pa.Table
    metrics: pa.Table
    resources: pa.Table
    scopes: pa.Table
    requests: tuple[bytes, ...] = field(default=())

    @property
    def rows(self) -> int:
        """Spans, log records and data points together."""
        return int(self.spans.num_rows + self.logs.num_rows + self.metrics.num_rows)

    @property
    def nbytes(self) -> int:
        """Bytes of Arrow memory held."""
        return int(self.spans.nbytes + self.logs.nbytes + self.metrics.nbytes)
