"""Minutes are analysed once they rest, again when they change, and the sums are those of all traces at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analytics import windows
from analytics.analysis import analyse
from analytics.pipeline import MinutePipeline
from analytics.rollups import merge_rollups, roll_up
from analytics.schema import ROLLUPS
from analytics.service import TraceAnalysis
from analytics.source import read_traces
from collector.decode.decoder import concatenate
from collector.position import LogPosition
from collector.store import open_store
from collector.store.minutes import ROLLUPS as TABLES
from collector.store.protocol import QueryLimits, TraceWindow
from tests.analytics.test_report import request
from tests.collector.store.telemetry import START_NS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.batch import Batch
    from collector.store.protocol import Store

ALL = TraceWindow(0, 2**62)


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = START_NS / 1e9

    def __call__(self) -> float:
        """Seconds, of either kind of clock."""
        return self.now


class Place:
    """A store in a file, with a pipeline that runs when told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.number = 0
        self.store: Store = open_store(path)
        self.pipeline = MinutePipeline(self.store, clock=self.clock)

    def append(self, *batches: Batch) -> None:
        """Store batches."""
        self.number += 1
        self.store.append(concatenate(batches), LogPosition(1, self.number))

    def step(self, after_s: float = 0) -> int:
        """Let time pass, then one step."""
        self.clock.now += after_s
        return self.pipeline.step()

    def restart(self) -> None:
        """As after a crash: what the pipeline knew is gone, what the file has is not."""
        self.store.close()
        self.store = open_store(self.path)
        self.pipeline = MinutePipeline(self.store, clock=self.clock)

    def kept(self) -> dict[str, pl.DataFrame]:
        """The rollups in the file."""
        self.store.close()
        with duckdb.connect(str(self.path), read_only=True) as connection:
            tables = {name: pl.DataFrame(pl.from_arrow(_table(connection, name))) for name in ROLLUPS}
        self.restart()
        return tables


def _table(connection: duckdb.DuckDBPyConnection, name: str) -> object:
    return connection.sql(f"SELECT * FROM store.{name}").to_arrow_table()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty one."""
    place = Place(tmp_path / "t.duckdb")
    yield place
    place.store.close()


def at_once(store: Store) -> dict[str, pl.DataFrame]:
    """What the rollups must be."""
    return roll_up(analyse(read_traces(store, ALL)))


def assert_same(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    """But for the order of rows, and of additions."""
    for name, columns in ROLLUPS.items():
        assert list(found[name].columns) == list(columns)
        assert_frame_equal(found[name], expected[name], check_row_order=False, check_dtypes=False, rel_tol=1e-9)


def requests(*seconds: int) -> list[Batch]:
    """A request each at so many seconds after the start; its number is its second, so it is the same each time."""
    return [request(second, service_ms=10 + second % 7, database_ms=5) for second in seconds]


def test_the_tables_are_those_of_the_schema(place: Place) -> None:
    """Names, columns and their order are declared in the analysis and made by the store."""
    assert tuple(ROLLUPS) == TABLES
    assert {name: frame.columns for name, frame in place.kept().items()} == {
        name: list(columns) for name, columns in ROLLUPS.items()
    }


def test_minutes_are_analysed_when_they_rest(place: Place) -> None:
    """Not while spans still come; then once, and their sums are those of all traces at once."""
    place.append(*requests(1, 2, 61, 130))
    assert place.step() == 0
    assert place.step(after_s=10) == 0
    assert place.step(after_s=15) == 3
    assert place.step(after_s=60) == 0
    assert_same(place.kept(), at_once(place.store))


def test_late_spans_count_as_if_they_had_been_in_time(place: Place) -> None:
    """Their minute is analysed again, and no other."""
    place.append(*requests(1, 61))
    place.step()
    assert place.step(after_s=30) == 2
    place.append(*requests(2))
    place.step()
    assert place.step(after_s=30) == 1
    assert_same(place.kept(), at_once(place.store))


def test_a_crash_before_the_end_of_a_step_changes_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not written is done after the restart."""
    place.append(*requests(1, 61, 200))
    place.step()
    with monkeypatch.context() as patch:
        patch.setattr(place.store, "finish_minutes", _crash)
        with pytest.raises(KeyboardInterrupt):
            place.step(after_s=30)
    place.restart()
    assert place.step() == 3
    assert_same(place.kept(), at_once(place.store))


def _crash(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_minute_that_never_rests_is_analysed_all_the_same(place: Place) -> None:
    """Once a minute, when it is over."""
    done = []
    for second in range(50):
        place.append(*requests(second + 1))
        done.append(place.step(after_s=10))
    assert 0 < sum(count > 0 for count in done) <= 500 / 60 + 1


def test_the_view_says_what_the_report_says(place: Place) -> None:
    """Of all settled traces; quantiles to the width of a bucket."""
    place.append(*requests(*range(1, 200)))
    place.step()
    place.step(after_s=30)
    (row,) = place.store.query("SELECT * FROM endpoints", QueryLimits()).to_pylist()
    (endpoint,) = TraceAnalysis().report(place.store, {})["endpoints"]
    for name in ("service", "operation", "traces"):
        assert row[name] == endpoint[name]
    for name in ("error_rate", "mean_ms"):
        assert row[name] == pytest.approx(endpoint[name])
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        assert row[name] == pytest.approx(endpoint[name], rel=0.0055)


def test_parts_add_up_to_the_whole(place: Place) -> None:
    """Each trace is in one part."""
    place.append(*requests(*range(1, 100)))
    parts = [roll_up(analyse(read_traces(place.store, TraceWindow(0, 2**62, part=part, parts=3)))) for part in range(3)]
    assert_same(merge_rollups(parts), at_once(place.store))


def test_when_it_falls_behind_it_looks_at_fewer_traces_and_says_so(place: Place) -> None:
    """Those it looks at stand for the others, and it goes back to all of them once it has caught up."""
    place.append(*requests(*range(1, 60)))
    place.step()
    assert place.step(after_s=145) == 1
    windows = place.kept()["rollup_windows"]
    assert windows["kept"].to_list() == [0.5]
    assert 0 < windows["traces"].sum() < 59
    assert windows["weight"].sum() == pytest.approx(windows["traces"].sum() * 2)
    place.append(*requests(400))
    assert (place.step(), place.step(after_s=30)) == (0, 1)
    assert place.pipeline.kept == 1


def test_old_data_is_no_lag(place: Place) -> None:
    """An import of last year's traces is analysed whole."""
    place.clock.now += 365 * 86_400
    place.append(*requests(*range(1, 60)))
    place.step()
    assert (place.step(after_s=25), place.pipeline.kept) == (1, 1)
    assert place.pipeline.lag_s < 10
    place.append(*requests(61))
    place.restart()
    assert (place.step(), place.step(after_s=25), place.pipeline.kept) == (0, 1, 1)


def test_a_minute_that_cannot_be_analysed_keeps_no_other_waiting(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again later."""
    place.append(*requests(1, 200))
    place.step()
    outcomes = [ZeroDivisionError()]

    def fail_once(*given: Any, **options: Any) -> Any:
        if outcomes:
            raise outcomes.pop()
        return roll_up(*given, **options)

    monkeypatch.setattr(windows, "roll_up", fail_once)
    assert [place.step(after_s=25) for _ in range(2)] == [1, 1]
    assert_same(place.kept(), at_once(place.store))


def test_nothing_is_nothing_to_do(place: Place) -> None:
    """And no rollups."""
    assert place.step() == 0
    assert all(frame.is_empty() for frame in place.kept().values())
