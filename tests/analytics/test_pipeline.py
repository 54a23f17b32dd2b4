"""Minutes are analysed once they rest, again when they change, and the sums are those of all traces at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
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
from tests.collector.store.telemetry import START_NS, decoded, set_attributes

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


def level(second: int, value: float, name: str = "process.cpu.utilization", service: str = "shop") -> Batch:
    """One point of a metric."""
    metrics = ExportMetricsServiceRequest()
    resource = metrics.resource_metrics.add()
    set_attributes(resource.resource.attributes, {"service.name": service, "deployment.environment.name": "live"})
    metric = resource.scope_metrics.add().metrics.add(name=name)
    metric.gauge.data_points.add(time_unix_nano=START_NS + second * 10**9, as_double=value)
    return decoded(metrics)


def used(place: Place) -> list[tuple[int, float]]:
    """Minutes since the start, and what metrics tell of the processor in them."""
    rows = place.kept()["rollup_resources"].sort("minute").filter(pl.col("metric") == "process.cpu.utilization")
    return [(row["minute"] - START_NS // (60 * 10**9), row["utilisation"]) for row in rows.iter_rows(named=True)]


def test_metrics_are_kept_by_minute_with_spans_or_without(place: Place) -> None:
    """A point that comes late replaces what its minute said, and leaves the traces as they are."""
    place.append(*requests(1), level(2, 0.2), level(130, 0.6))
    place.step()
    assert place.step(after_s=30) == 2
    traces = place.kept()["rollup_endpoints"]
    assert used(place) == [(0, 0.2), (2, 0.6)]
    place.append(level(140, 0.8), level(3, 0.4))
    place.step()
    assert place.step(after_s=30) == 2
    minutes, shares = zip(*used(place), strict=True)
    assert minutes == (0, 2)
    assert shares == pytest.approx((0.3, 0.7))
    assert_frame_equal(place.kept()["rollup_endpoints"], traces)


def test_a_limit_that_was_told_before_holds(place: Place) -> None:
    """A minute is read with some before it, though these are not kept anew."""
    name = "container.cpu.usage"
    place.append(level(1, 0.5, name), level(1, 2.0, "container.cpu.limit"))
    place.step()
    place.step(after_s=30)
    place.append(level(61, 1.0, name))
    place.step()
    assert place.step(after_s=30) == 1
    rows = place.kept()["rollup_resources"].sort("minute")
    assert rows["utilisation"].to_list() == [0.25, 0.5]


def test_environments_are_kept_apart(place: Place) -> None:
    """Also in one minute, and where they share a trace."""
    place.append(request(1, 10, 5), request(2, 20, 5, "test"), request(1, 30, 5, "test"))
    place.step()
    place.step(after_s=30)
    rows = place.kept()["rollup_endpoints"].sort("environment")
    assert rows.select("environment", "traces", "duration_ns").rows() == [("live", 1, 15e6), ("test", 2, 60e6)]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a few spans are too many to be read one by one."""
    monkeypatch.setattr(windows, "MOST_EXACT_SPANS", 20)


@pytest.mark.usefixtures("few")
def test_a_report_takes_what_is_settled_from_rollups_and_the_rest_from_spans(place: Place) -> None:
    """Minutes in part at both ends of the window, and those that have not been analysed yet."""
    place.append(*requests(*range(1, 300, 7)))
    place.step()
    place.step(after_s=30)
    place.append(*requests(301, 302))
    analysis = TraceAnalysis()
    whole = analysis.report(place.store, {})
    settled = START_NS // (60 * 10**9) + 5
    assert (whole["window"]["traces"], whole["window"]["settled_through"]) == (45, settled * 60 * 10**9)
    begin, end = START_NS // 10**9 + 30, START_NS // 10**9 + 299
    part = analysis.report(place.store, {"from": f"{begin}", "to": f"{end}"})
    windows.MOST_EXACT_SPANS = 10**6
    exact = analysis.report(place.store, {"from": f"{begin}", "to": f"{end}"})
    assert part["window"] | {"settled_through": None} == exact["window"]
    assert part["window"]["settled_through"] is not None
    for key in ("calls", "error_rate", "critical_path_ms", "blast_radius", "self_time_ms", "concurrency"):
        assert [row[key] for row in part["services"]] == pytest.approx([row[key] for row in exact["services"]])


@pytest.mark.usefixtures("few")
def test_a_report_says_from_where_on_minutes_wait(place: Place) -> None:
    """Late spans of an old minute are not in it yet."""
    place.append(*requests(*range(1, 300, 7)))
    place.step()
    place.step(after_s=30)
    place.append(*requests(65))
    place.step()
    window = TraceAnalysis().report(place.store, {})["window"]
    assert (window["traces"], window["settled_through"]) == (43, (START_NS // (60 * 10**9) + 1) * 60 * 10**9)


@pytest.mark.usefixtures("few")
def test_rollups_that_know_the_less_are_not_asked(place: Place) -> None:
    """A file into which more was imported than was analysed is read."""
    place.append(*requests(*range(1, 30, 2)))
    place.step()
    place.step(after_s=30)
    place.append(*requests(*range(200, 280, 2)))
    window = TraceAnalysis().report(place.store, {})["window"]
    assert (window["traces"], window["settled_through"]) == (55, None)


def test_nothing_is_nothing_to_do(place: Place) -> None:
    """And no rollups."""
    assert place.step() == 0
    assert all(frame.is_empty() for frame in place.kept().values())
