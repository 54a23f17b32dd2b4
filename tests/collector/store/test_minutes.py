"""The analysis reads whole traces, each in the minute of its earliest span, and hears which minutes have changed."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.decode.decoder import concatenate
from collector.store import minutes as module
from collector.store import trace_minutes
from collector.store.lake_store import LakeStore
from collector.store.protocol import TraceWindow
from tests.collector.store.places import Place
from tests.collector.store.telemetry import spans

if TYPE_CHECKING:
    from collector.batch import Batch

MINUTE = 60 * 10**9
FIRST = 29_000_000
HORIZON = 10 * MINUTE


def window(spans: int, kept: float = 1.0) -> dict[str, Any]:
    """What is kept of the first minute, of so many spans."""
    return {
        "minute": FIRST,
        "environment": "live",
        "traces": 1,
        "spans": spans,
        "incomplete_traces": 0,
        "sampled_traces": 0,
        "weight": 1.0,
        "kept": kept,
    }


def trace(number: int, *minutes: float) -> Batch:
    """Spans of one trace, which start so many minutes after the first."""
    starts = [int((FIRST + minute) * 60) * 10**9 for minute in minutes]
    ids = {"trace_id": bytes([number]) * 16}
    return spans(*(ids | {"span_id": (start // 10**9).to_bytes(8), "start_time_unix_nano": start} for start in starts))


def found(place: Place, begin: int, end: int, part: int = 0, parts: int = 1) -> dict[int, int]:
    """How many spans of which trace a window has."""
    window = TraceWindow((FIRST + begin) * MINUTE, (FIRST + end) * MINUTE, HORIZON, part, parts)
    ids = [content[0] for content in place.store.traces_within(window).column("trace_id").to_pylist()]
    return {number: ids.count(number) for number in ids}


def touched(place: Place) -> tuple[dict[int, int], set[int]]:
    """Minutes after the first that wait, with their spans, and those that were touched now."""
    answer = place.store.touch_minutes(HORIZON)
    return {minute - FIRST: spans for minute, spans in answer.pending.items()}, {m - FIRST for m in answer.now}


def test_a_trace_belongs_to_the_minute_of_its_earliest_span(place: Place) -> None:
    """With all of its spans, whenever they start; and to no other."""
    for number, minutes in enumerate([(0.1, 0.9), (0.5, 1.5, 2.5), (1.0,), (2.9, 1.2)], 1):
        place.append(trace(number, *minutes))
    assert found(place, 0, 1) == {1: 2, 2: 3}
    assert found(place, 1, 2) == {3: 1, 4: 2}
    assert found(place, 2, 3) == {}
    assert found(place, 0, 3) == {1: 2, 2: 3, 3: 1, 4: 2}


def test_a_trace_ends_at_the_horizon(place: Place) -> None:
    """What starts later than that is not read, so that a minute costs the same however long data was kept."""
    place.append(trace(1, 0, 9, 11))
    assert found(place, 0, 1) == {1: 2}


def test_parts_divide_the_traces(place: Place) -> None:
    """Each trace is in one of them, whole."""
    for number in range(1, 41):
        place.append(trace(number, 0, 1))
    parts = [found(place, 0, 1, part, 3) for part in range(3)]
    assert sorted(number for part in parts for number in part) == list(range(1, 41))
    assert all(parts)
    assert {count for part in parts for count in part.values()} == {2}


def test_all_that_the_analysis_takes_is_there(place: Place) -> None:
    """Ids as bytes and numbers, enumerations as text, links as text where there are any."""
    link = {"trace_id": b"\7" * 16, "span_id": b"\7" * 8}
    row = {"trace_id": b"\1" * 16, "span_id": bytes(7) + b"\2", "kind": 3, "links": [link], "trace_state": "ot=th:8"}
    place.append(spans(row | {"attributes": {"http.route": "/x", "server.port": 80}}))
    place.append(spans({"trace_id": b"\2" * 16, "parent_span_id": b"\xff" * 8}))
    rows = place.store.traces_within(TraceWindow(0, 2**62)).sort_by("trace_id").to_pylist()
    assert [row["parent_span_id"] for row in rows] == [None, 2**64 - 1]
    assert [row["links"] for row in rows] == [[{"trace_id": "07" * 16, "span_id": "07" * 8}], None]
    names = ("trace_id", "span_id", "resource_id", "kind", "duration_ns", "status_code", "http_route", "server_port")
    assert [rows[0][name] for name in names] == [b"\1" * 16, 2, 0, "client", 5, "unset", "/x", 80]


def test_minutes_wait_until_they_are_finished(place: Place) -> None:
    """Also over a restart; a minute that is touched again waits again."""
    place.append(trace(1, 0.5, 1.5))
    place.append(trace(2, 3))
    assert touched(place) == ({0: 2, 3: 1}, {0, 3})
    assert touched(place) == ({0: 2, 3: 1}, set())
    place.store.finish_minutes([FIRST], {"rollup_windows": pa.Table.from_pylist([window(spans=2)])})
    place.reopen()
    assert touched(place) == ({3: 1}, set())
    place.append(trace(1, 4.5))
    assert touched(place) == ({0: 3, 3: 1}, {0})


def test_what_there_is_to_read_adds_up(place: Place) -> None:
    """Of all that came while a minute waited, and what was read before; of a share that was looked at, the whole."""
    for number in range(1, 4):
        place.append(trace(number, 0.1, 0.2))
        touched(place)
    assert touched(place) == ({0: 6}, set())
    place.store.finish_minutes([FIRST], {"rollup_windows": pa.Table.from_pylist([window(spans=3, kept=0.5)])})
    place.append(trace(9, 0.1))
    assert touched(place) == ({0: 7}, {0})


SPAN = st.tuples(st.integers(1, 4), st.integers(0, 10)).map(lambda span: (span[0], span[0] * 7 + span[1]))
ARRIVALS = st.lists(st.lists(SPAN, min_size=1, max_size=4), max_size=6)


@given(ARRIVALS, st.sampled_from([0, 10**6]), st.sampled_from(["as it was", "opened again"]))
@settings(deadline=None, max_examples=24)
def test_a_trace_touches_the_minute_it_begins_in_and_the_one_it_leaves(
    arrivals: list[list[tuple[int, int]]], most: int, place_is: str
) -> None:
    """Whatever is remembered of minutes, and what had to be read again."""
    place = Place(":memory:")
    stored: dict[int, list[int]] = {}
    seconds = count()
    with patch.object(trace_minutes, "_MOST_TRACES", most):
        for arrived in arrivals:
            fresh = {number: min(m for other, m in arrived if other == number) for number, _ in arrived}
            expected = set()
            for number, begin in fresh.items():
                had = min(stored.get(number, [begin]))
                expected |= {min(had, begin), had}
            place.append(concatenate([trace(number, minute + next(seconds) / 60) for number, minute in arrived]))
            if place_is == "opened again":
                place.store._trace_minutes = trace_minutes.TraceMinutes()  # type: ignore[attr-defined]
            assert touched(place)[1] == expected
            for number, minute in arrived:
                stored.setdefault(number, []).append(minute)
    place.store.close()


def test_an_insert_waits_for_no_reading(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came is looked up while others write."""
    place.append(trace(1, 0))
    owner: Any = (place.store, "_find_fresh") if isinstance(place.store, LakeStore) else (module, "find_fresh")
    find = getattr(*owner)

    def append_then_find(*given: Any) -> Any:
        place.append(trace(2, 5))
        return find(*given)

    monkeypatch.setattr(owner[0], owner[1], append_then_find)
    assert touched(place) == ({0: 1}, {0})
    monkeypatch.undo()
    assert touched(place) == ({0: 1, 5: 1}, {5})


def test_times_at_the_end_of_the_clock_are_minutes_too(place: Place) -> None:
    """A sender's clock may say anything."""
    last = 2**63 - 10
    place.append(spans({"start_time_unix_nano": last, "end_time_unix_nano": last}, {"start_time_unix_nano": 0}))
    assert {minute + FIRST for minute in touched(place)[1]} == {0}
    place.append(spans({"trace_id": b"\2" * 16, "start_time_unix_nano": last, "end_time_unix_nano": last}))
    assert {minute + FIRST for minute in touched(place)[1]} == {last // MINUTE}


def test_a_span_before_all_others_touches_both_minutes(place: Place) -> None:
    """The trace moves: the minute that it leaves must be done again too."""
    place.append(trace(1, 2))
    touched(place)
    place.store.finish_minutes([FIRST + 2], {})
    place.append(trace(1, 0))
    assert touched(place) == ({0: 1, 2: 0}, {0, 2})


def test_an_empty_store_has_nothing_to_do(place: Place) -> None:
    """And answers so."""
    assert touched(place) == ({}, set())
    assert found(place, 0, 100) == {}


def test_the_last_minute_of_the_clock_is_one_like_others(place: Place) -> None:
    """What is read around it ends beyond 64 bits, and so do the longest windows that can be asked for."""
    if isinstance(place.store, LakeStore):
        pytest.skip("DuckLake cannot read the last two days that 64 bits hold; what is there is left out")
    latest = 2**63 - 3  # windows end before their end
    times = {"start_time_unix_nano": latest, "end_time_unix_nano": latest}
    place.append(spans(times, {"trace_id": b"\2" * 16, "start_time_unix_nano": 0}))
    last = latest // MINUTE
    assert place.store.touch_minutes(HORIZON).pending == {0: 1, last: 1}
    for begin, end, starts in [(last * MINUTE, (last + 1) * MINUTE, [latest]), (-(2**63), 2**63 - 1, [0, latest])]:
        rows = place.store.traces_within(TraceWindow(begin, end))
        assert sorted(rows.column("start_unix_nano").to_pylist()) == starts
        assert place.store.count_spans(begin, end) == len(starts)
        assert place.store.points_within(begin, end, ["cpu"]).num_rows == 0
