"""What ``collector.store.protocol`` promises, on every implementation."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from collector.decode.decoder import concatenate
from collector.errors import QueryError, StoreError, UnstorableError
from collector.position import LogPosition
from collector.store.protocol import Appended, QueryLimits
from tests.collector.store.places import LIMITS, Place
from tests.collector.store.telemetry import START_NS, logs, nothing, points, signed, spans

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from collector.store.protocol import Store

ONE = b"\1" * 16

# -- emptiness --------------------------------------------------------------------------------------------------------


def test_everything_has_an_answer_before_the_first_append(place: Place) -> None:
    """No rows, the start of the log, no time."""
    store = place.store
    for view in ("spans", "traces", "logs", "metrics", "resources", "scopes"):
        assert place.rows(f"SELECT * FROM {view}") == []
    assert store.trace("0" * 32).num_rows == 0
    assert (store.log_position(), store.recent_requests(), store.time_at(0.5)) == (LogPosition(0, 0), [], None)
    assert store.delete_before(2**62, rows=10) == 0
    assert store.usage().used_bytes >= 0
    store.compact()


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


def test_spans_are_counted_by_when_they_start(place: Place) -> None:
    """From the beginning of a window on, and not at its end."""
    place.append(spans(*({"span_id": bytes(7) + bytes([at]), "start_time_unix_nano": at} for at in (5, 6, 9))))
    assert [place.store.count_spans(*window) for window in ((0, 2**62), (5, 9), (6, 7), (7, 9))] == [3, 2, 1, 0]
