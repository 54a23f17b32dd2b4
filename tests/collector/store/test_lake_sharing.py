"""Several collectors in one lake: one of them analyses, and another one takes over; all of them append meanwhile."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from collector.errors import QueryError
from collector.store import lake_store, open_lake
from tests.collector.store.conftest import NEEDS_LAKE, new_catalog
from tests.collector.store.places import Place
from tests.collector.store.telemetry import START_NS, spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.batch import Batch
    from collector.store.protocol import Store

pytestmark = NEEDS_LAKE
HORIZON = 600 * 10**9
LEASE_S = 2.0


@pytest.fixture
def collectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Place]]:
    """Three stores in one lake, whose leader is taken for dead after two seconds of silence."""
    monkeypatch.setattr(lake_store, "_LEASE", timedelta(seconds=LEASE_S))
    catalog = new_catalog()

    def opening(name: str) -> Store:
        return open_lake(f"ducklake:{catalog}", str(tmp_path / "data"), name)

    places = [Place(name, opening) for name in ("one", "two", "three")]
    yield places
    for place in places:
        place.store.close()


def trace(number: int, service: str = "shop", minute: float = 0) -> Batch:
    """A span of a trace of this number, whose resource says which service it is."""
    start = START_NS + int(minute * 60e9)
    row = {"trace_id": number.to_bytes(16), "start_time_unix_nano": start, "end_time_unix_nano": start + 5}
    return spans(row, resource={"service.name": service})


def touched(place: Place) -> dict[int, int]:
    """How many spans wait in each minute after the first."""
    return {int(m - START_NS // 60e9): spans for m, spans in place.store.touch_minutes(HORIZON).pending.items()}


def test_one_leads_for_what_all_have_received(collectors: list[Place]) -> None:
    """The others find nothing to do."""
    first, second, third = collectors
    second.append(trace(1))
    third.append(trace(2))
    assert touched(first) == {0: 2}
    assert touched(second) == touched(third) == {}
    second.append(trace(3, minute=2))
    assert touched(first) == {0: 2, 2: 1}


def test_another_takes_over_when_the_leader_falls_silent(collectors: list[Place]) -> None:
    """With what was left to do; and what the old one had begun changes nothing."""
    first, second, _ = collectors
    first.append(trace(1))
    assert touched(first) == {0: 1}
    time.sleep(LEASE_S + 0.1)
    assert touched(second) == {0: 1}
    minute = START_NS // 60_000_000_000
    first.store.finish_minutes([minute], {"rollup_windows": pa.Table.from_pylist([])})
    assert touched(first) == {}
    assert touched(second) == {0: 1}
    assert first.store.delete_before(2**62, rows=100) == 0
    first.append(trace(2))
    assert touched(second) == {0: 2}


def test_a_leader_that_stops_leaves_at_once(collectors: list[Place]) -> None:
    """Nobody waits for the end of its lease."""
    first, second, _ = collectors
    first.append(trace(1))
    assert touched(first) == {0: 1}
    first.reopen()
    assert touched(second) == {0: 1}


def test_a_span_sent_again_to_another_collector_is_recognised(collectors: list[Place]) -> None:
    """As when the answer of the first was lost."""
    first, second, third = collectors
    assert first.append(trace(1)).duplicates == 0
    assert [place.append(trace(1)).duplicates for place in (second, third, first)] == [1, 1, 1]
    assert third.rows("SELECT count(*) AS n FROM spans") == [{"n": 1}]


def test_new_services_at_once_get_ids_of_their_own(collectors: list[Place]) -> None:
    """Dense ones, and each span is of the service that sent it."""

    def send(place: Place, begin: int) -> None:
        for number in range(begin, begin + 8):
            place.append(trace(number, f"service {number}"))

    run([threading.Thread(target=send, args=(place, 1 + index * 8)) for index, place in enumerate(collectors)])
    rows = collectors[0].rows("SELECT service_name, trace_id FROM spans ORDER BY trace_id")
    assert rows == [{"service_name": f"service {number}", "trace_id": f"{number:032x}"} for number in range(1, 25)]
    assert collectors[1].rows("SELECT count(DISTINCT id) AS ids, max(id) AS top FROM store.resources") == [
        {"ids": 24, "top": 23}
    ]


def test_upkeep_and_retention_go_on_beside_appends(collectors: list[Place]) -> None:
    """Nothing new is lost or doubled, what is old goes, and small files are merged."""
    leader, *others = collectors
    old = [trace(number, minute=-100) for number in range(10_000, 10_040)]
    for batch in old:
        leader.append(batch)
    assert touched(leader)

    def send(place: Place, begin: int) -> None:
        for number in range(begin, begin + 25):
            place.append(trace(number))

    sending = [threading.Thread(target=send, args=(place, 1 + index * 25)) for index, place in enumerate(others)]
    for thread in sending:
        thread.start()
    deleted = 0
    while any(thread.is_alive() for thread in sending) or deleted < len(old):
        deleted += leader.store.delete_before(START_NS, rows=15)
        leader.store.compact()
    run([], sending)
    leader.store.compact()
    assert deleted == len(old)
    for place in collectors:
        assert place.rows("SELECT count(*) AS n, count(DISTINCT trace_id) AS traces FROM spans") == [
            {"n": 50, "traces": 50}
        ]
    leader.reopen()
    assert leader.rows("SELECT count(*) AS n FROM spans") == [{"n": 50}]


def test_a_query_does_not_learn_where_the_catalog_is(collectors: list[Place]) -> None:
    """Nor with which user and password."""
    for sql in ("FROM duckdb_databases()", "FROM duckdb_secrets()", "CALL ducklake_settings('lake')"):
        with pytest.raises(QueryError):
            collectors[0].rows(sql)
    shown = str(collectors[0].rows("SELECT * FROM duckdb_schemas()") + collectors[0].rows("SHOW DATABASES"))
    assert "host=" not in shown


def run(new: list[threading.Thread], running: list[threading.Thread] | None = None) -> None:
    """Start some threads and wait for all."""
    for thread in new:
        thread.start()
    for thread in [*new, *(running or [])]:
        thread.join(120)
        assert not thread.is_alive()
