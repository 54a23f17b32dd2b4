"""Hypothesis strategies for OTLP requests: everything the protocol can carry, and what a receiver must refuse."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

LAST_UNIX_NANO = 2**63 - 2

# Few of each, so that rows share shapes and values; the odd ones are keys and texts that SQL, JSON or maps trip over.
KEYS = st.sampled_from(
    [
        "http.route",
        "http.method",
        "http.status_code",
        "server.port",
        "a",
        "A",
        "",
        "o'clock",
        'say "x"',
        "é😀",
        "n\0l",
        "\n--",
    ]
) | st.text(max_size=4)
TEXTS = st.sampled_from(["", "x", "200", "0200", "99999999999", "-7", "it's", '{"a": 1}', "n\0l", "é😀\n"]) | st.text(
    max_size=8
)
UINT32 = st.integers(0, 3) | st.integers(0, 2**32 - 1)
INT64 = st.integers(-3, 600) | st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(0, 3) | st.integers(0, 2**64 - 1)
TIMES = st.sampled_from([0, 1, 1_700_000_000_123_456_789, LAST_UNIX_NANO]) | st.integers(0, LAST_UNIX_NANO)
LATE_TIMES = st.integers(LAST_UNIX_NANO + 1, 2**64 - 1)
ENUMS = st.integers(0, 5) | st.sampled_from([-1, 6, 2**31 - 1, -(2**31)])
DOUBLES = st.floats() | st.sampled_from([0.0, -0.0, 200.0, 1e300, 5e-324])


def ids(size: int) -> st.SearchStrategy[bytes]:
    """Ids as they should be."""
    return st.binary(min_size=size, max_size=size).filter(any) | st.sampled_from([b"\1" * size, b"\xff" * size])


def optional_ids(size: int) -> st.SearchStrategy[bytes]:
    """Ids that may be absent or, as some senders write absent, all zero."""
    return ids(size) | st.sampled_from([b"", b"\0" * size])


def _some_bad(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly good values: one in eight is bad."""
    return st.integers(0, 7).flatmap(lambda number: good if number else bad)


def _message(cls: Any, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Messages each of whose fields is drawn or left out."""
    return st.fixed_dictionaries({}, optional=fields).map(lambda drawn: cls(**drawn))


def values() -> st.SearchStrategy[Any]:
    """``AnyValue`` of every kind, nested ones included."""
    plain = st.one_of(
        st.just(common_pb2.AnyValue()),
        TEXTS.map(lambda value: common_pb2.AnyValue(string_value=value)),
        st.booleans().map(lambda value: common_pb2.AnyValue(bool_value=value)),
        INT64.map(lambda value: common_pb2.AnyValue(int_value=value)),
        DOUBLES.map(lambda value: common_pb2.AnyValue(double_value=value)),
        st.binary(max_size=4).map(lambda value: common_pb2.AnyValue(bytes_value=value)),
    )
    return st.recursive(plain, _containers, max_leaves=4)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    arrays = st.lists(inner, max_size=3).map(
        lambda items: common_pb2.AnyValue(array_value=common_pb2.ArrayValue(values=items))
    )
    maps = st.lists(st.tuples(KEYS, inner), max_size=3).map(
        lambda items: common_pb2.AnyValue(
            kvlist_value=common_pb2.KeyValueList(
                values=[common_pb2.KeyValue(key=key, value=value) for key, value in items]
            )
        )
    )
    return arrays | maps


_KEY_VALUES = st.one_of(
    st.tuples(KEYS, values()).map(lambda pair: common_pb2.KeyValue(key=pair[0], value=pair[1])),
    KEYS.map(lambda key: common_pb2.KeyValue(key=key)),
)
ATTRIBUTES = st.lists(_KEY_VALUES, max_size=5)

_EVENTS = _message(
    trace_pb2.Span.Event,
    time_unix_nano=TIMES | LATE_TIMES,
    name=TEXTS,
    attributes=ATTRIBUTES,
    dropped_attributes_count=UINT32,
)
_LINKS = _message(
    trace_pb2.Span.Link,
    trace_id=ids(16) | st.binary(max_size=17),
    span_id=ids(8) | st.binary(max_size=9),
    trace_state=TEXTS,
    attributes=ATTRIBUTES,
    dropped_attributes_count=UINT32,
    flags=UINT32,
)
_STATUSES = _message(trace_pb2.Status, message=TEXTS, code=ENUMS)


def spans(*, refusable: bool = False) -> st.SearchStrategy[Any]:
    """Spans; ``refusable`` makes some that a receiver refuses."""
    return st.builds(
        trace_pb2.Span,
        trace_id=_id(16, refusable=refusable),
        span_id=_id(8, refusable=refusable),
        parent_span_id=_id(8, refusable=refusable, optional=True),
        start_time_unix_nano=_time(refusable=refusable),
        end_time_unix_nano=_time(refusable=refusable),
        trace_state=TEXTS,
        flags=UINT32,
        name=TEXTS,
        kind=ENUMS,
        attributes=ATTRIBUTES,
        dropped_attributes_count=UINT32,
        events=st.lists(_EVENTS, max_size=2),
        dropped_events_count=UINT32,
        links=st.lists(_LINKS, max_size=2),
        dropped_links_count=UINT32,
        status=st.none() | _STATUSES,
    )


def _id(size: int, *, refusable: bool, optional: bool = False) -> st.SearchStrategy[bytes]:
    good = optional_ids(size) if optional else ids(size)
    return _some_bad(good, st.binary(max_size=size + 1)) if refusable else good


def _time(*, refusable: bool) -> st.SearchStrategy[int]:
    return _some_bad(TIMES, LATE_TIMES) if refusable else TIMES


def log_records(*, refusable: bool = False) -> st.SearchStrategy[Any]:
    """Log records; ``refusable`` makes some that a receiver refuses."""
    return st.builds(
        logs_pb2.LogRecord,
        time_unix_nano=_time(refusable=refusable),
        observed_time_unix_nano=_time(refusable=refusable),
        trace_id=_id(16, refusable=refusable, optional=True),
        span_id=_id(8, refusable=refusable, optional=True),
        severity_number=st.integers(0, 24) | ENUMS,
        severity_text=TEXTS,
        body=st.none() | values(),
        attributes=ATTRIBUTES,
        dropped_attributes_count=UINT32,
        flags=UINT32,
        event_name=TEXTS,
    )


_EXEMPLARS = st.one_of(
    *(
        _message(
            metrics_pb2.Exemplar,
            filtered_attributes=ATTRIBUTES,
            time_unix_nano=TIMES | LATE_TIMES,
            span_id=optional_ids(8),
            trace_id=optional_ids(16),
            **value,
        )
        for value in ({"as_double": DOUBLES}, {"as_int": INT64})
    )
)
_COUNTS = st.lists(UINT64, max_size=3)


def _points(cls: Any, *, refusable: bool, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    times = {name: _time(refusable=refusable) for name in ("start_time_unix_nano", "time_unix_nano")}
    return st.lists(_message(cls, attributes=ATTRIBUTES, flags=UINT32, **times, **fields), max_size=3)


def _numbers(*, refusable: bool) -> st.SearchStrategy[Any]:
    exemplars = st.lists(_EXEMPLARS, max_size=2)
    point = metrics_pb2.NumberDataPoint
    return st.one_of(
        _points(point, refusable=refusable, as_double=DOUBLES, exemplars=exemplars),
        _points(point, refusable=refusable, as_int=INT64, exemplars=exemplars),
    )


def _histogram_fields() -> dict[str, st.SearchStrategy[Any]]:
    return {
        "count": UINT64,
        "sum": DOUBLES,
        "min": DOUBLES,
        "max": DOUBLES,
        "exemplars": st.lists(_EXEMPLARS, max_size=2),
    }


def metrics(*, refusable: bool = False) -> st.SearchStrategy[Any]:
    """Metrics of every type; ``refusable`` makes some points that a receiver refuses."""
    buckets = _message(
        metrics_pb2.ExponentialHistogramDataPoint.Buckets,
        offset=st.integers(-(2**31), 2**31 - 1),
        bucket_counts=_COUNTS,
    )
    quantile = _message(metrics_pb2.SummaryDataPoint.ValueAtQuantile, quantile=DOUBLES, value=DOUBLES)
    histogram = _points(
        metrics_pb2.HistogramDataPoint,
        refusable=refusable,
        bucket_counts=_COUNTS,
        explicit_bounds=st.lists(DOUBLES, max_size=3),
        **_histogram_fields(),
    )
    exponential = _points(
        metrics_pb2.ExponentialHistogramDataPoint,
        refusable=refusable,
        scale=st.integers(-(2**31), 2**31 - 1),
        zero_count=UINT64,
        zero_threshold=DOUBLES,
        positive=buckets,
        negative=buckets,
        **_histogram_fields(),
    )
    summary = _points(
        metrics_pb2.SummaryDataPoint,
        refusable=refusable,
        count=UINT64,
        sum=DOUBLES,
        quantile_values=st.lists(quantile, max_size=2),
    )
    numbers = _numbers(refusable=refusable)
    kinds = {
        "gauge": _message(metrics_pb2.Gauge, data_points=numbers),
        "sum": _message(
            metrics_pb2.Sum, data_points=numbers, aggregation_temporality=ENUMS, is_monotonic=st.booleans()
        ),
        "histogram": _message(metrics_pb2.Histogram, data_points=histogram, aggregation_temporality=ENUMS),
        "exponential_histogram": _message(
            metrics_pb2.ExponentialHistogram, data_points=exponential, aggregation_temporality=ENUMS
        ),
        "summary": _message(metrics_pb2.Summary, data_points=summary),
    }
    common = {"name": TEXTS, "description": TEXTS, "unit": TEXTS, "metadata": ATTRIBUTES}
    every: st.SearchStrategy[Any] = st.one_of(
        *(_message(metrics_pb2.Metric, **common, **{kind: data}) for kind, data in kinds.items())
    )
    return every


_ENTITIES = _message(
    common_pb2.EntityRef,
    schema_url=TEXTS,
    type=TEXTS,
    id_keys=st.lists(KEYS, max_size=2),
    description_keys=st.lists(KEYS, max_size=2),
)
_RESOURCE_KEYS = st.sampled_from(
    [
        "service.name",
        "service.namespace",
        "service.version",
        "service.instance.id",
        "deployment.environment",
        "deployment.environment.name",
    ]
)
_RESOURCE_ATTRIBUTES = st.lists(
    _KEY_VALUES | st.tuples(_RESOURCE_KEYS, values()).map(lambda pair: common_pb2.KeyValue(key=pair[0], value=pair[1])),
    max_size=5,
)
_RESOURCES = _message(
    resource_pb2.Resource,
    attributes=_RESOURCE_ATTRIBUTES,
    dropped_attributes_count=UINT32,
    entity_refs=st.lists(_ENTITIES, max_size=2),
)
_SCOPES = _message(
    common_pb2.InstrumentationScope,
    name=TEXTS,
    version=TEXTS,
    attributes=ATTRIBUTES,
    dropped_attributes_count=UINT32,
)


def _requests(
    request: Any, level: Any, scope_level: Any, names: tuple[str, str, str], record: Any
) -> st.SearchStrategy[Any]:
    resources_name, scopes_name, records_name = names
    scopes = _message(scope_level, scope=_SCOPES, schema_url=TEXTS, **{records_name: st.lists(record, max_size=3)})
    resources = _message(level, resource=_RESOURCES, schema_url=TEXTS, **{scopes_name: st.lists(scopes, max_size=2)})
    return st.lists(resources, max_size=2).map(lambda drawn: request(**{resources_name: drawn}))


def trace_requests(*, refusable: bool = False) -> st.SearchStrategy[ExportTraceServiceRequest]:
    """Trace export requests."""
    names = ("resource_spans", "scope_spans", "spans")
    record = spans(refusable=refusable)
    return _requests(ExportTraceServiceRequest, trace_pb2.ResourceSpans, trace_pb2.ScopeSpans, names, record)


def log_requests(*, refusable: bool = False) -> st.SearchStrategy[ExportLogsServiceRequest]:
    """Log export requests."""
    names = ("resource_logs", "scope_logs", "log_records")
    record = log_records(refusable=refusable)
    return _requests(ExportLogsServiceRequest, logs_pb2.ResourceLogs, logs_pb2.ScopeLogs, names, record)


def metric_requests(*, refusable: bool = False) -> st.SearchStrategy[ExportMetricsServiceRequest]:
    """Metric export requests."""
    names = ("resource_metrics", "scope_metrics", "metrics")
    record = metrics(refusable=refusable)
    return _requests(ExportMetricsServiceRequest, metrics_pb2.ResourceMetrics, metrics_pb2.ScopeMetrics, names, record)
