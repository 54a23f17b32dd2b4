"""Metrics to the columns of ``collector.batch.METRICS``: one row a data point, whatever the metric's type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from collector.batch import METRICS
from collector.decode import columns as to
from collector.decode.attributes import Ints, decode_attributes
from collector.decode.nesting import Records, fields_of, parents
from collector.decode.validate import Rejection, late, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.redaction import Redaction

TEMPORALITIES = ("unspecified", "delta", "cumulative")
Columns = dict[str, pa.Array]


def metrics_table(records: Records, requests: int) -> tuple[pa.Table, list[Rejection]]:
    """Return the valid data points, type by type and then in request order, and a ``Rejection`` for each request."""
    metrics = _metric_columns(records.fields, records.redaction)
    tables = []
    rejections = [Rejection()] * requests
    for kind, point_columns in _POINT_COLUMNS.items():
        per_kind = fields_of(records.fields[kind])
        metric_of = parents(per_kind["data_points"])
        points = _points(records, per_kind["data_points"], metric_of)
        kept, refused = refuse(points, _problems(points.fields), requests)
        points, metric_of = (points, metric_of) if kept.all() else (points.take(kept), metric_of[kept])
        index = pa.array(metric_of)
        columns = {name: column.take(index) for name, column in (metrics | _kind_columns(kind, per_kind)).items()}
        tables.append(_table(columns | point_columns(points) | _any_point(points), len(points)))
        rejections = [_merge(*pair) for pair in zip(rejections, refused, strict=True)]
    return pa.concat_tables(tables), rejections


def _points(records: Records, lists: pa.ListArray, metric_of: Ints) -> Records:
    origin = (records.request[metric_of], records.resource[metric_of], records.scope[metric_of])
    return Records(fields_of(lists.flatten()), *origin, records.redaction)


def _problems(fields: Columns) -> dict[str, Ints]:
    return {
        "time_unix_nano lies beyond the year 2262": late(fields["time_unix_nano"]),
        "start_time_unix_nano lies beyond the year 2262": late(fields["start_time_unix_nano"]),
    }


def _merge(one: Rejection, other: Rejection) -> Rejection:
    return Rejection(one.count + other.count, " ".join(filter(None, (one.message, other.message))))


def _metric_columns(fields: Columns, redaction: Redaction | None) -> Columns:
    """What all points of a metric have in common, a row a metric."""
    metadata = decode_attributes(fields["metadata"], redaction)
    return {
        "metric_name": fields["name"],
        "description": to.null_if_empty(fields["description"]),
        "unit": to.null_if_empty(fields["unit"]),
        "metadata": pa.array([json.dumps(row) if row else None for row in metadata.rows()], pa.string()),
        "metadata_types": to.null_if_empty(metadata.types()),
    }


def _kind_columns(kind: str, fields: Columns) -> Columns:
    """What all points of one metric of this type have in common, a row a metric."""
    columns = {"type": pa.array([kind] * len(fields["data_points"]), pa.string())}
    if "aggregation_temporality" in fields:
        names = to.enum_names(fields["aggregation_temporality"], TEMPORALITIES)
        columns["aggregation_temporality"] = names.cast(pa.string())
    if "is_monotonic" in fields:
        columns["is_monotonic"] = fields["is_monotonic"]
    return columns


def _any_point(points: Records) -> Columns:
    fields = points.fields
    return {
        "time": to.timestamps(fields["time_unix_nano"], zero_is_null=True),
        "start_time": to.timestamps(fields["start_time_unix_nano"], zero_is_null=True),
        "flags": fields["flags"],
        **decode_attributes(fields["attributes"], points.redaction).columns(),
        **points.origin(),
    }


def _number(points: Records) -> Columns:
    fields = points.fields
    # An integer is also given as a double, so that `value` answers for both; value_int keeps what a double cannot.
    whole = fields["as_int"]
    return {
        "value": pc.coalesce(fields["as_double"], whole.cast(pa.float64(), safe=False)),
        "value_int": whole,
        "exemplars": to.exemplars(fields["exemplars"], points.redaction),
    }


def _histogram(points: Records) -> Columns:
    fields = points.fields
    same = ("count", "sum", "min", "max", "bucket_counts", "explicit_bounds")
    return {name: fields[name] for name in same} | {"exemplars": to.exemplars(fields["exemplars"], points.redaction)}


def _exponential_histogram(points: Records) -> Columns:
    fields = points.fields
    same = ("count", "sum", "min", "max", "scale", "zero_count", "zero_threshold")
    columns = {name: fields[name] for name in same} | {"exemplars": to.exemplars(fields["exemplars"], points.redaction)}
    for side in ("positive", "negative"):
        buckets = fields_of(fields[side])
        columns |= {f"{side}_offset": buckets["offset"], f"{side}_bucket_counts": buckets["bucket_counts"]}
    return columns


def _summary(points: Records) -> Columns:
    fields = points.fields
    return {"count": fields["count"], "sum": fields["sum"], "quantiles": fields["quantile_values"]}


_POINT_COLUMNS: dict[str, Callable[[Records], Columns]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential_histogram,
    "summary": _summary,
}


def _table(columns: Columns, rows: int) -> pa.Table:
    """The columns of ``METRICS``, null where this type of metric has none."""
    arrays = [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in METRICS
    ]
    return pa.table(arrays, schema=METRICS)
