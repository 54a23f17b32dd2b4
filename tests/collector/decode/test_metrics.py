"""Metric requests come out of decoding as the protobuf classes read them, a row a data point."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector.batch import METRICS
from collector.decode.validate import Rejection
from collector.signals import Signal
from tests.collector.decode import oracle
from tests.collector.decode.messages import metric_requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
REASONS = ["time_unix_nano lies beyond the year 2262", "start_time_unix_nano lies beyond the year 2262"]
ABSENT = {name: None for name in METRICS.names if not name.startswith(("attribute_", "metadata_"))}


def expected(requests: Sequence[ExportMetricsServiceRequest]) -> tuple[list[oracle.Row], list[Rejection]]:
    """The rows and rejections that requests must yield: type by type, then in request order."""
    rows: list[oracle.Row] = []
    refused: list[list[Rejection]] = [[] for _ in requests]
    for kind in KINDS:
        for request, answers in zip(requests, refused, strict=True):
            problems = []
            for metric, origin in _metrics(request):
                if metric.WhichOneof("data") != kind:
                    continue
                for point in getattr(metric, kind).data_points:
                    if problem := oracle.late_time_of(point):
                        problems.append(problem)
                    else:
                        rows.append(ABSENT | _metric(metric, kind) | _point(point) | origin)
            answers.append(oracle.rejection_of(problems, REASONS))
    return rows, [_merged(answers) for answers in refused]


def _merged(answers: list[Rejection]) -> Rejection:
    messages = [answer.message for answer in answers if answer.message]
    return Rejection(sum(answer.count for answer in answers), " ".join(messages))


def _metrics(request: ExportMetricsServiceRequest) -> Iterator[tuple[Any, oracle.Row]]:
    for level in request.resource_metrics:
        for scope_level in level.scope_metrics:
            origin = {"resource": oracle.resource_of(level), "scope": oracle.scope_of(scope_level)}
            for metric in scope_level.metrics:
                yield metric, origin


def _metric(metric: Any, kind: str) -> oracle.Row:
    data = getattr(metric, kind)
    row = {
        "metric_name": metric.name,
        "description": metric.description or None,
        "unit": metric.unit or None,
        "type": kind,
        "metadata": oracle.attributes_of(metric.metadata),
    }
    if hasattr(data, "aggregation_temporality"):
        row["aggregation_temporality"] = oracle.name_of(data.aggregation_temporality, oracle.TEMPORALITIES)
    return row | ({"is_monotonic": data.is_monotonic} if hasattr(data, "is_monotonic") else {})


def _point(point: Any) -> oracle.Row:
    fields = dict(point.DESCRIPTOR.fields_by_name.items())
    row = {
        "time": point.time_unix_nano or None,
        "start_time": point.start_time_unix_nano or None,
        "flags": point.flags,
        "attributes": oracle.attributes_of(point.attributes),
    }
    if "exemplars" in fields:
        row["exemplars"] = [_exemplar(exemplar) for exemplar in point.exemplars]
    if "as_double" in fields:
        return row | _value(point)
    for name in {"count", "scale", "zero_count", "zero_threshold", "sum", "min", "max"} & fields.keys():
        there = not fields[name].has_presence or point.HasField(name)
        row[name] = getattr(point, name) if there else None
    for name in {"bucket_counts", "explicit_bounds"} & fields.keys():
        row[name] = list(getattr(point, name))
    for side in {"positive", "negative"} & fields.keys():
        buckets, there = getattr(point, side), point.HasField(side)
        row[f"{side}_offset"] = buckets.offset if there else None
        row[f"{side}_bucket_counts"] = list(buckets.bucket_counts) if there else None
    if "quantile_values" in fields:
        row["quantiles"] = [{"quantile": at.quantile, "value": at.value} for at in point.quantile_values]
    return row


def _value(point: Any) -> oracle.Row:
    kind = point.WhichOneof("value")
    return {
        "value": None if kind is None else float(getattr(point, kind)),
        "value_int": point.as_int if kind == "as_int" else None,
    }


def _exemplar(exemplar: Any) -> oracle.Row:
    kind = exemplar.WhichOneof("value")
    return {
        "time": oracle.nanoseconds(exemplar.time_unix_nano),
        "value": exemplar.as_double if kind == "as_double" else None,
        "value_int": exemplar.as_int if kind == "as_int" else None,
        "trace_id": exemplar.trace_id.hex() or None,
        "span_id": exemplar.span_id.hex() or None,
        "attributes": oracle.attributes_of(exemplar.filtered_attributes),
    }


def comparable(value: object) -> object:
    """Floats as their text: NaN equals NaN, and 0.0 is not -0.0."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value)
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    return [comparable(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None, max_examples=150)
@given(st.lists(metric_requests() | metric_requests(refusable=True), max_size=3))
def test_every_field_comes_back_and_bad_points_are_refused_alone(requests: list[ExportMetricsServiceRequest]) -> None:
    """Whole rows and the counts of what was refused equal the oracle's, for every type of metric."""
    rows, rejections = _decoded(requests)
    wanted, answers = expected(requests)
    assert comparable(rows) == comparable(wanted)
    assert rejections == answers


def _decoded(requests: list[ExportMetricsServiceRequest]) -> tuple[list[oracle.Row], list[Rejection]]:
    """Rows with metadata in the oracle's form: they are kept as JSON text and a letter for each type."""
    rows, rejections = oracle.decoded_rows(Signal.METRICS, [request.SerializeToString() for request in requests])
    for row in rows:
        values = json.loads(row["metadata"] or "{}")
        row["metadata"] = oracle.typed(list(values), list(values.values()), row.pop("metadata_types") or "")
    return rows, rejections


def test_metadata_is_a_json_object_of_text_with_a_letter_for_each_type() -> None:
    """What a metric says about itself is kept, types too."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="requests")
    metric.metadata.add(key="prometheus.type").value.string_value = "counter"
    metric.metadata.add(key="limit").value.int_value = 5
    metric.gauge.data_points.add(as_int=2**63 - 1)
    rows, _ = oracle.decoded_rows(Signal.METRICS, [request.SerializeToString()])
    found = [(json.loads(row["metadata"]), row["metadata_types"], row["value"], row["value_int"]) for row in rows]
    assert found == [({"prometheus.type": "counter", "limit": "5"}, "si", 2.0**63, 2**63 - 1)]


def test_points_behind_a_refused_one_keep_their_metric() -> None:
    """Of one type, over several metrics, scopes and requests."""
    requests = []
    for name in ("a", "b"):
        request = ExportMetricsServiceRequest()
        for part in ("1", "2"):
            metrics = request.resource_metrics.add().scope_metrics.add().metrics
            for unit in ("s", "By"):
                points = metrics.add(name=name + part, unit=unit).gauge.data_points
                for time in (1, 2**64 - 1, 2):
                    points.add(time_unix_nano=time)
        requests.append(request)
    assert _decoded(requests) == expected(requests)
    assert [rejection.count for rejection in _decoded(requests)[1]] == [4, 4]
