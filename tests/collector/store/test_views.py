"""The views have the contract's columns, and what was sent comes back in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.decode.decoder import concatenate
from collector.errors import QueryError
from tests.collector.store.places import LIMITS
from tests.collector.store.telemetry import START_NS, logs, points, spans

if TYPE_CHECKING:
    from tests.collector.store.places import Place

ONE = b"\1" * 16


# The contract's columns, in its order; more may follow, none of these may go.
CONTRACT = {
    "spans": (
        *("trace_id", "span_id", "parent_span_id", "trace_state", "environment", "service_name", "service_namespace"),
        *("service_version", "service_instance_id", "span_name", "kind", "start_time", "end_time", "start_unix_nano"),
        *("duration_ns", "status_code", "status_message", "attributes", "resource_attributes", "scope_name"),
        *("scope_version", "events", "links", "http_method", "http_route", "http_status_code", "rpc_system"),
        *("rpc_method", "db_system", "db_namespace", "db_operation", "messaging_system", "messaging_destination"),
        *("messaging_operation", "server_address", "server_port", "peer_service"),
    ),
    "traces": (
        *("trace_id", "root_service", "root_name", "start_time", "duration_ns", "span_count", "service_count"),
        *("error_count", "complete", "environment"),
    ),
    "logs": (
        *("time", "trace_id", "span_id", "service_name", "severity_text", "severity_number", "body", "attributes"),
        "resource_attributes",
    ),
    "metrics": (
        *("time", "service_name", "service_instance_id", "metric_name", "unit", "type", "value", "count", "sum"),
        *("bucket_counts", "explicit_bounds", "attributes", "resource_attributes"),
    ),
}
ADDED = {
    "spans": (
        *("flags", "attribute_types", "dropped_attributes_count", "dropped_events_count", "dropped_links_count"),
        *("resource_id", "scope_id"),
    ),
    "traces": (),
    "logs": (
        *("observed_time", "event_name", "body_type", "scope_name", "scope_version", "flags", "attribute_types"),
        *("dropped_attributes_count", "resource_id", "scope_id", "environment"),
    ),
    "metrics": (
        *("start_time", "description", "aggregation_temporality", "is_monotonic", "value_int", "min", "max", "scale"),
        *("zero_count", "zero_threshold", "positive_offset", "positive_bucket_counts", "negative_offset"),
        *("negative_bucket_counts", "quantiles", "exemplars", "metadata", "metadata_types", "flags"),
        *("attribute_types", "scope_name", "scope_version", "resource_id", "scope_id", "environment"),
    ),
}
TYPES = {
    "trace_id": "VARCHAR",
    "span_id": "VARCHAR",
    "parent_span_id": "VARCHAR",
    "start_time": "TIMESTAMP_NS",
    "end_time": "TIMESTAMP_NS",
    "start_unix_nano": "BIGINT",
    "duration_ns": "BIGINT",
    "attributes": "MAP(VARCHAR, VARCHAR)",
    "resource_attributes": "MAP(VARCHAR, VARCHAR)",
    "http_status_code": "INTEGER",
    "server_port": "INTEGER",
}


@pytest.mark.parametrize("view", CONTRACT)
def test_views_have_the_columns_of_the_contract(place: Place, view: str) -> None:
    """Each of them, those that were added, and no others."""
    described = {row["column_name"]: row["column_type"] for row in place.rows(f"DESCRIBE {view}")}
    assert sorted(described) == sorted((*CONTRACT[view], *ADDED[view]))
    wrong = {name: kind for name, kind in described.items() if TYPES.get(name, kind) != kind and view == "spans"}
    assert wrong == {}


RESOURCE = {
    "service.name": "shop",
    "service.namespace": "eu",
    "service.version": "3",
    "service.instance.id": "i-1",
    "deployment.environment.name": "prod",
    "cpus": 8,
}
EVENT = {"name": "retry", "time_unix_nano": START_NS + 1, "attributes": [{"key": "n", "value": {"int_value": 2}}]}
LINK = {
    "trace_id": b"\xab" * 16,
    "span_id": b"\xcd" * 8,
    "attributes": [{"key": "k", "value": {"string_value": "v"}}],
}
SENT = {
    "trace_id": bytes(range(16)),
    "span_id": b"\0" * 7 + b"\1",
    "parent_span_id": b"\xff" * 8,
    "trace_state": "a=b",
    "kind": 3,
    "end_time_unix_nano": START_NS + 1_000_000_001,
    "status": {"code": 2, "message": "no"},
    "attributes": {"http.route": "/x", "http.status_code": 503, "it's": 'a "quote"'},
    "events": [EVENT],
    "links": [LINK],
}
SEEN = {
    "trace_id": "000102030405060708090a0b0c0d0e0f",
    "span_id": "0000000000000001",
    "parent_span_id": "f" * 16,
    "trace_state": "a=b",
    "environment": "prod",
    "service_name": "shop",
    "service_namespace": "eu",
    "service_version": "3",
    "service_instance_id": "i-1",
    "span_name": "op 1",
    "kind": "client",
    "start_unix_nano": START_NS,
    "duration_ns": 1_000_000_001,
    "status_code": "error",
    "status_message": "no",
    "attributes": [("http.route", "/x"), ("http.status_code", "503"), ("it's", 'a "quote"')],
    "resource_attributes": [(key, str(value)) for key, value in RESOURCE.items()],
    "scope_name": "library",
    "scope_version": "1.2",
    "links": [
        {
            "trace_id": "ab" * 16,
            "span_id": "cd" * 8,
            "attributes": [("k", "v")],
            "trace_state": None,
            "flags": 0,
            "attribute_types": "s",
            "dropped_attributes_count": 0,
        }
    ],
    "http_route": "/x",
    "http_status_code": 503,
    "start_ns": START_NS,
    "end_ns": START_NS + 1_000_000_001,
    "t": START_NS + 1,
    "e": "retry",
    "a": "2",
}


def test_a_span_comes_back_as_the_contract_says(place: Place) -> None:
    """Every column of the contract, with ids as hex, names for enumerations, and times in nanoseconds."""
    place.append(spans(SENT, resource=RESOURCE))
    columns = ", ".join(name for name in CONTRACT["spans"] if name not in {"start_time", "end_time", "events"})
    times = "epoch_ns(start_time) AS start_ns, epoch_ns(end_time) AS end_ns"
    event_columns = "epoch_ns(events[1].time) AS t, events[1].name AS e, events[1].attributes['n'] AS a"
    (row,) = place.rows(f"SELECT {columns}, {times}, {event_columns} FROM spans")
    assert {name: value for name, value in row.items() if value is not None} == SEEN


def test_attributes_are_found_by_key(place: Place) -> None:
    """``attributes['http.route']``, NULL when it is not there; enumerations compare with any text."""
    place.append(spans({"attributes": {"http.route": "/x"}}, {}))
    found = place.rows("SELECT attributes['http.route'] AS route FROM spans WHERE kind <> 'nonsense' ORDER BY span_id")
    assert [row["route"] for row in found] == ["/x", None]


@pytest.mark.parametrize("start", [0, 1, 2**63 - 2])
def test_times_at_the_ends_of_the_range_come_back(place: Place, start: int) -> None:
    """Also of a span that ends before it starts."""
    place.append(spans({"start_time_unix_nano": start, "end_time_unix_nano": 0}))
    found = place.rows("SELECT start_unix_nano AS s, epoch_ns(end_time) AS e, duration_ns AS d FROM spans")
    assert found == [{"s": start, "e": 0, "d": -start}]


def test_a_log_record_comes_back(place: Place) -> None:
    """Its own time, else the time it was observed."""
    place.append(
        logs(
            {"time_unix_nano": START_NS + 7, "trace_id": ONE, "span_id": b"\2" * 8, "severity_number": 9},
            {"observed_time_unix_nano": START_NS + 8, "severity_text": "WARN", "body": "second"},
        )
    )
    columns = "epoch_ns(time) AS t, trace_id, span_id, service_name, severity_text, severity_number, body"
    assert place.rows(f"SELECT {columns} FROM logs ORDER BY time") == [
        {
            "t": START_NS + 7,
            "trace_id": "01" * 16,
            "span_id": "02" * 8,
            "service_name": "shop",
            "severity_text": None,
            "severity_number": 9,
            "body": "hello",
        },
        {
            "t": START_NS + 8,
            "trace_id": None,
            "span_id": None,
            "service_name": "shop",
            "severity_text": "WARN",
            "severity_number": 0,
            "body": "second",
        },
    ]


def test_a_point_comes_back(place: Place) -> None:
    """With its value as a double and, when it is whole, as an integer."""
    place.append(points({"as_int": 2**53 + 1}, {"as_double": 0.5, "time_unix_nano": START_NS + 1}))
    assert place.rows("SELECT metric_name, unit, type, value, value_int FROM metrics ORDER BY time") == [
        {"metric_name": "requests", "unit": "1", "type": "gauge", "value": 2.0**53, "value_int": 2**53 + 1},
        {"metric_name": "requests", "unit": "1", "type": "gauge", "value": 0.5, "value_int": None},
    ]


def test_traces_sum_up_their_spans(place: Place) -> None:
    """Complete is one root and no orphan; the duration is the root's."""
    child = {"parent_span_id": (1).to_bytes(8), "start_time_unix_nano": START_NS + 1, "status": {"code": 2}}
    orphan = {"trace_id": b"\2" * 16, "parent_span_id": b"\7" * 8}
    place.append(concatenate([spans({"name": "root"}, child), spans(orphan, resource={"service.name": "b"})]))
    columns = "trace_id, root_service, root_name, duration_ns, span_count, service_count, error_count, complete"
    names = columns.split(", ")
    assert [tuple(row[name] for name in names) for row in place.rows(f"SELECT {columns} FROM traces ORDER BY 1")] == [
        ("01" * 16, "shop", "root", 5, 2, 1, 1, True),
        ("02" * 16, None, None, None, 1, 1, 0, False),
    ]


def test_every_signal_says_its_environment(place: Place) -> None:
    """Under either name of the attribute; none where there is none; a query that joins or counts by it sees it too."""
    for name, number in (("deployment.environment.name", 1), ("deployment.environment", 2), ("other", 3)):
        resource = {"service.name": f"s{number}", name: "prod"}
        row = {"trace_id": bytes([number]) * 16}
        place.append(concatenate([spans(row, resource=resource), logs(row, resource=resource)]))
        place.append(points({"as_int": 1}, resource=resource))
    expected = [{"service_name": f"s{number}", "environment": "prod" if number < 3 else None} for number in (1, 2, 3)]
    for view in ("spans", "logs", "metrics"):
        assert place.rows(f"SELECT service_name, environment FROM {view} ORDER BY 1") == expected
        assert place.rows(f"SELECT count(*) AS n FROM {view} WHERE environment = 'prod'") == [{"n": 2}]
    joined = "SELECT l.Environment AS e FROM logs AS l JOIN spans AS s USING (trace_id) ORDER BY s.service_name"
    assert [row["e"] for row in place.rows(joined)] == ["prod", "prod", None]


# -- trace ------------------------------------------------------------------------------------------------------------


def test_a_trace_is_found_by_its_id_in_either_case(place: Place) -> None:
    """Its spans as the view has them, by start time; other traces are not among them."""
    late = {"trace_id": b"\xab" * 16, "start_time_unix_nano": START_NS + 9}
    place.append(spans(late, {"trace_id": b"\xab" * 16}, {"trace_id": b"\xac" * 16}))
    for trace_id in ("ab" * 16, "AB" * 16, "aB" * 16):
        assert place.store.trace(trace_id).column("span_name").to_pylist() == ["op 2", "op 1"]
    view = place.store.query("SELECT * FROM spans", LIMITS)
    assert place.store.trace("ab" * 16).schema == view.schema
    assert place.store.trace("ad" * 16).num_rows == 0


@pytest.mark.parametrize(
    "trace_id", ["", "ab", "g" * 32, "a" * 33, "a" * 31 + "'", "01" * 15 + "é" * 2, "a" * 32 + "\n"]
)
def test_what_is_no_trace_id_is_an_error(place: Place, trace_id: str) -> None:
    """Not an empty trace, and never SQL."""
    with pytest.raises(QueryError, match="not a trace id"):
        place.store.trace(trace_id)
