"""What ``collector.store.protocol`` promises, on every implementation."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from collector.decode.decoder import concatenate
from collector.errors import QueryError, StoreError, UnstorableError
from collector.position import LogPosition
from collector.store import open_store
from collector.store.protocol import Appended, QueryLimits
from tests.collector.store.telemetry import START_NS, Log, logs, nothing, points, signed, spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from collector.store.protocol import Store

LIMITS = QueryLimits()
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
        *("error_count", "complete"),
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
        *("dropped_attributes_count", "resource_id", "scope_id"),
    ),
    "metrics": (
        *("start_time", "description", "aggregation_temporality", "is_monotonic", "value_int", "min", "max", "scale"),
        *("zero_count", "zero_threshold", "positive_offset", "positive_bucket_counts", "negative_offset"),
        *(
            "negative_bucket_counts",
            "quantiles",
            "exemplars",
            "metadata",
            "metadata_types",
            "flags",
            "attribute_types",
            "scope_name",
        ),
        *("scope_version", "resource_id", "scope_id"),
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


class Place:
    """Where a store lives; only a file can be opened again."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.store = open_store(path)
        self.log = Log()
        self.lasts = path != ":memory:"

    def append(self, batch: Any) -> Appended:
        """Append at the next position."""
        return self.store.append(batch, self.log.next())

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The answer to a query, as dictionaries."""
        return list(self.store.query(sql, LIMITS).to_pylist())

    def reopen(self) -> None:
        """Close and open again, which for a store in memory changes nothing."""
        if self.lasts:
            self.store.close()
            self.store = open_store(self._path)


@pytest.fixture(params=["file", ":memory:"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A new store."""
    place = Place(":memory:" if request.param == ":memory:" else str(tmp_path / "t.duckdb"))
    yield place
    place.store.close()


# -- emptiness --------------------------------------------------------------------------------------------------------


def test_everything_has_an_answer_before_the_first_append(place: Place) -> None:
    """No rows, the start of the log, no time."""
    store = place.store
    for view in (*CONTRACT, "resources", "scopes"):
        assert place.rows(f"SELECT * FROM {view}") == []
    assert store.trace("0" * 32).num_rows == 0
    assert (store.log_position(), store.recent_requests(), store.time_at(0.5)) == (LogPosition(0, 0), [], None)
    assert store.delete_before(2**62, rows=10) == 0
    assert store.usage().used_bytes >= 0
    store.compact()


@pytest.mark.parametrize("view", CONTRACT)
def test_views_have_the_columns_of_the_contract(place: Place, view: str) -> None:
    """Each of them, those that were added, and no others."""
    described = {row["column_name"]: row["column_type"] for row in place.rows(f"DESCRIBE {view}")}
    assert sorted(described) == sorted((*CONTRACT[view], *ADDED[view]))
    wrong = {name: kind for name, kind in described.items() if TYPES.get(name, kind) != kind and view == "spans"}
    assert wrong == {}


# -- append -----------------------------------------------------------------------------------------------------------


def test_an_append_is_there_with_its_position_and_its_requests(place: Place) -> None:
    """Rows of all signals, also after the file was opened again."""
    batch = signed(concatenate([spans({}, {}), logs({}), points({}, {}, {})]), b"d" * 16, b"e" * 16)
    assert place.append(batch) == Appended(6, 0)
    for _ in range(2):
        counts = [place.rows(f"SELECT count(*) AS n FROM {view}")[0]["n"] for view in ("spans", "logs", "metrics")]
        assert counts == [2, 1, 3]
        assert place.store.log_position() == place.log.position
        assert sorted(place.store.recent_requests()) == [b"d" * 16, b"e" * 16]
        place.reopen()


def test_a_batch_without_rows_moves_the_position(place: Place) -> None:
    """The log behind it can go."""
    assert place.append(nothing()) == Appended(0, 0)
    assert place.store.log_position() == place.log.position


def test_an_append_is_visible_as_a_whole_or_not_at_all(place: Place) -> None:
    """Readers that ask all the time see batches of a hundred, whole, and positions that fit."""
    batches = [
        concatenate([spans(*({"trace_id": bytes([number + 1]) * 16} for _ in range(100))), logs(*[{}] * 50)])
        for number in range(10)
    ]
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            row = place.rows("SELECT (SELECT count(*) FROM spans) AS s, (SELECT count(*) FROM logs) AS l")[0]
            seen.append((row["s"], row["l"]))

    reader = threading.Thread(target=read)
    reader.start()
    for batch in batches:
        place.append(batch)
    done.set()
    reader.join()
    assert all(spans_ % 100 == 0 and spans_ == 2 * logs_ for spans_, logs_ in seen)
    assert seen == sorted(seen)


def test_an_append_that_fails_leaves_nothing_and_may_be_made_again(place: Place) -> None:
    """A batch whose last table is wrong takes the good ones and the position with it."""
    good = signed(concatenate([spans({}), logs({})]), b"d" * 16)
    bad = concatenate([good, points({})])
    bad = type(bad)(bad.spans, bad.logs, bad.metrics.drop_columns("type"), bad.resources, bad.scopes, good.requests)
    with pytest.raises(UnstorableError, match="cannot take a batch"):
        place.append(bad)
    assert place.rows("SELECT (SELECT count(*) FROM spans) + (SELECT count(*) FROM logs) AS n") == [{"n": 0}]
    assert (place.store.log_position(), place.store.recent_requests()) == (LogPosition(0, 0), [])
    assert place.rows("SELECT * FROM resources") == []
    assert place.append(good) == Appended(2, 0)


def test_a_closed_store_says_so(place: Place) -> None:
    """With an error of ours."""
    place.store.close()
    with pytest.raises(StoreError):
        place.append(spans({}))
    with pytest.raises(StoreError):
        place.store.log_position()


# -- duplicates -------------------------------------------------------------------------------------------------------


def test_a_span_that_comes_twice_in_a_batch_is_stored_once(place: Place) -> None:
    """The first of them."""
    batch = spans({"name": "first"}, {}, {"span_id": (1).to_bytes(8), "name": "second"})
    assert place.append(batch) == Appended(2, 1)
    assert [row["span_name"] for row in place.rows("SELECT span_name FROM spans ORDER BY span_name")] == [
        "first",
        "op 2",
    ]


def test_a_span_that_came_before_is_left_out(place: Place) -> None:
    """In another batch, beside new ones, and after the file was opened again; logs and points are always new."""
    assert place.append(concatenate([spans({}, {}), logs({}), points({})])) == Appended(4, 0)
    for stored in range(2, 5):
        assert place.append(concatenate([spans(*[{}] * (stored + 1)), logs({}), points({})])) == Appended(3, stored)
        place.reopen()
    assert place.rows("SELECT count(*) AS n FROM spans") == [{"n": 5}]


@pytest.mark.parametrize(
    ("other", "resource"),
    [
        ({"kind": 3}, None),
        ({"trace_id": b"\2" * 16}, None),
        ({"span_id": b"\2" * 8}, None),
        ({}, {"service.name": "shop", "host.name": "b"}),
        ({"start_time_unix_nano": START_NS + 1, "end_time_unix_nano": START_NS + 6}, None),
        ({"end_time_unix_nano": START_NS + 6}, None),
    ],
    ids=["kind", "trace", "span", "resource", "start", "duration"],
)
def test_spans_that_share_an_id_but_not_all_of_their_identity_are_both_kept(
    place: Place, other: dict[str, Any], resource: dict[str, Any] | None
) -> None:
    """Zipkin's client and server halves share a span id; in one batch and in two."""
    pair = [spans({}), spans(other, resource=resource)]
    assert place.append(concatenate(pair)) == Appended(2, 0)
    assert place.append(pair[0]) == Appended(0, 1)
    assert place.append(pair[1]) == Appended(0, 1)
    place.reopen()
    assert place.append(pair[1]) == Appended(0, 1)


def test_thousands_of_spans_are_recognised(place: Place) -> None:
    """Every one of them, and none that is new."""
    rows = [{"trace_id": (number + 1).to_bytes(16)} for number in range(3000)]
    assert place.append(spans(*rows[:2000])) == Appended(2000, 0)
    renumbered = spans(*rows)
    assert place.append(renumbered) == Appended(1000, 2000)


def test_resources_and_scopes_are_kept_once(place: Place) -> None:
    """However many batches carry them, and each span finds its own."""
    names = ["a", "b", "a", "c", "b"]
    for number, name in enumerate(names):
        place.append(spans({"trace_id": bytes([number + 1]) * 16}, resource={"service.name": name}))
        place.reopen()
    assert place.rows("SELECT list(service_name ORDER BY resource_id) AS n FROM resources") == [{"n": ["a", "b", "c"]}]
    assert place.rows("SELECT count(*) AS n FROM scopes") == [{"n": 1}]
    found = place.rows(
        "SELECT resource_attributes['service.name'] AS n, service_name AS s FROM spans ORDER BY trace_id"
    )
    assert [(row["n"], row["s"]) for row in found] == [(name, name) for name in names]


# -- what comes back --------------------------------------------------------------------------------------------------


def test_a_span_comes_back_as_the_contract_says(place: Place) -> None:
    """Every column of the contract, with ids as hex, names for enumerations, and times in nanoseconds."""
    resource = {
        "service.name": "shop",
        "service.namespace": "eu",
        "service.version": "3",
        "service.instance.id": "i-1",
        "deployment.environment.name": "prod",
        "cpus": 8,
    }
    event = {"name": "retry", "time_unix_nano": START_NS + 1, "attributes": [{"key": "n", "value": {"int_value": 2}}]}
    link = {
        "trace_id": b"\xab" * 16,
        "span_id": b"\xcd" * 8,
        "attributes": [{"key": "k", "value": {"string_value": "v"}}],
    }
    place.append(
        spans(
            {
                "trace_id": bytes(range(16)),
                "span_id": b"\0" * 7 + b"\1",
                "parent_span_id": b"\xff" * 8,
                "trace_state": "a=b",
                "kind": 3,
                "end_time_unix_nano": START_NS + 1_000_000_001,
                "status": {"code": 2, "message": "no"},
                "attributes": {"http.route": "/x", "http.status_code": 503, "it's": 'a "quote"'},
                "events": [event],
                "links": [link],
            },
            resource=resource,
        )
    )
    columns = ", ".join(name for name in CONTRACT["spans"] if name not in {"start_time", "end_time", "events"})
    times = "epoch_ns(start_time) AS start_ns, epoch_ns(end_time) AS end_ns"
    event_columns = "epoch_ns(events[1].time) AS t, events[1].name AS e, events[1].attributes['n'] AS a"
    (row,) = place.rows(f"SELECT {columns}, {times}, {event_columns} FROM spans")
    assert {name: value for name, value in row.items() if value is not None} == {
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
        "resource_attributes": [(key, str(value)) for key, value in resource.items()],
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


def test_queries_only_read(place: Place) -> None:
    """And what is wrong with them is a ``QueryError``."""
    for sql in ("DELETE FROM store.spans", "SELECT 1; SELECT 2", "SELEC 1", "SELECT * FROM nowhere"):
        with pytest.raises(QueryError):
            place.rows(sql)
    with pytest.raises(QueryError) as caught:
        place.store.query("SELECT * FROM range(20)", QueryLimits(rows=10))
    assert caught.value.code == "row_limit"


# -- deleting ---------------------------------------------------------------------------------------------------------


def _at(*seconds: int) -> Any:
    rows = [{"trace_id": (second + 1).to_bytes(16), "start_time_unix_nano": second * 10**9} for second in seconds]
    times = [second * 10**9 for second in seconds]
    log_rows = [{"time_unix_nano": time, "observed_time_unix_nano": 0} for time in times if time]
    return concatenate([spans(*rows), logs(*log_rows), points(*({"time_unix_nano": time} for time in times if time))])


def _left(store: Store) -> list[tuple[int, int, int]]:
    table: pa.Table = store.query(
        """
        SELECT (SELECT count(*) FROM spans) AS s, (SELECT count(*) FROM logs) AS l, (SELECT count(*) FROM metrics) AS m
        """,
        LIMITS,
    )
    return [tuple(row.values()) for row in table.to_pylist()]


def test_what_is_older_is_deleted_in_steps(place: Place) -> None:
    """Spans, logs and points that started before the time; what started at it stays, as does the log position."""
    place.append(_at(*range(1, 11)))
    steps = []
    while step := place.store.delete_before(6 * 10**9, rows=2):
        steps.append(step)
    assert sum(steps) == 15
    assert max(steps) <= 3 * 2
    assert len(steps) >= 3
    assert _left(place.store) == [(5, 5, 5)]
    assert place.rows("SELECT min(start_unix_nano) AS t FROM spans") == [{"t": 6 * 10**9}]
    assert place.store.log_position() == place.log.position
    place.store.compact()
    place.reopen()
    assert _left(place.store) == [(5, 5, 5)]


def test_records_without_a_time_are_as_old_as_their_arrival(place: Place) -> None:
    """So that they go one day, and not at once."""
    place.append(concatenate([logs({"observed_time_unix_nano": 0}), points({"time_unix_nano": 0})]))
    assert place.store.delete_before(10**9, rows=10) == 0
    assert place.store.delete_before(2**62, rows=10) == 2


def test_time_at_divides_the_rows(place: Place) -> None:
    """Whatever the signal: a store of logs alone has times too."""
    place.append(_at(*range(101)))
    assert [place.store.time_at(share) for share in (0.0, 0.5, 1.0)] == [0, 50 * 10**9, 100 * 10**9]


def test_time_at_counts_logs_when_there_are_no_spans(place: Place) -> None:
    """Else a store of logs could never be kept within its size."""
    place.append(logs({"time_unix_nano": 5}, {"time_unix_nano": 6}))
    assert place.store.time_at(1) == 6


def test_usage_grows_and_compacting_after_deleting_frees_space(tmp_path: Path) -> None:
    """Only a file has a size on disk."""
    place = Place(str(tmp_path / "t.duckdb"))
    rows = [{"trace_id": (number + 1).to_bytes(16), "attributes": {"a": str(number) * 9}} for number in range(20_000)]
    place.append(spans(*rows))
    place.store.compact()
    full = place.store.usage()
    while place.store.delete_before(2**62, rows=100_000):
        pass
    place.store.compact()
    empty = place.store.usage()
    place.store.close()
    assert full.used_bytes > empty.used_bytes
