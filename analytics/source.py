"""The only module that reads the store: its rows as the frames that the analysis takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analytics.schema import RESOURCES, SPANS, conform
from collector.semconv import HOST, WELL_KNOWN

if TYPE_CHECKING:
    import pyarrow as pa

_VIEW = {
    "resource_id": "resource",
    "span_name": "span_name",
    "kind": "kind",
    "start_unix_nano": "start_unix_nano",
    "duration_ns": "duration_ns",
    "status_code": "status",
    "trace_state": "trace_state",
    **{known.column: known.column for known in WELL_KNOWN},
}
_IDS = ["trace_id", "span_id", "parent_span_id"]
_RESOURCE = {
    "environment": "environment",
    "service_namespace": "namespace",
    "service_name": "service",
    "service_instance_id": "instance",
}


def spans_of_view(rows: pa.Table) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return SPANS, in the order of the rows, and RESOURCES of rows of the view ``spans``, which has ids as text."""
    frame = pl.DataFrame(pl.from_arrow(rows.select([*_IDS, *_VIEW]))).rename(_VIEW)
    spans = frame.with_columns(
        _integer(pl.col("trace_id").str.head(16)).alias("trace_high"),
        _integer(pl.col("trace_id").str.tail(16)).alias("trace_low"),
        _integer(pl.col("span_id")),
        _integer(pl.col("parent_span_id")),
    )
    return conform(spans, SPANS), _resources(rows)


def _integer(text: pl.Expr) -> pl.Expr:
    return text.str.to_integer(base=16, dtype=pl.UInt64)


def _resources(rows: pa.Table) -> pl.DataFrame:
    """A row a distinct resource: few, however many spans there are."""
    number = pl.Series("resource", pl.from_arrow(rows.column("resource_id")))
    first = number.to_frame().with_row_index("row").unique("resource", keep="first").sort("resource")
    one_each = rows.take(first["row"].to_arrow())
    described = pl.DataFrame(pl.from_arrow(one_each.select(list(_RESOURCE)))).rename(_RESOURCE)
    attributes = [dict(pairs or ()) for pairs in one_each.column("resource_attributes").to_pylist()]
    hosts = [next((found[key] for key in HOST if found.get(key)), None) for found in attributes]
    return conform(described.with_columns(first["resource"], pl.Series("host", hosts, pl.String)), RESOURCES)
