"""What is kept of a minute outlives its spans: what comes late does not have it analysed anew without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from analytics import service
from analytics.hours import HOUR_NS, HourKeeper
from analytics.options import Options
from analytics.service import TraceAnalysis
from collector.retention import Retention
from collector.store.protocol import QueryLimits
from tests.analytics.test_pipeline import Place, assert_same, level, requests
from tests.collector.store.telemetry import START_NS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MINUTE_NS = 60 * 10**9
FIRST = START_NS // MINUTE_NS
LATE = (7, 8)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A store with two minutes that were analysed half an hour apart, spans and metrics."""
    place = Place(tmp_path / "t.duckdb")
    place.append(*requests(1, 2, 3, 1801, 1802), level(4, 0.4), level(1803, 0.6))
    place.step()
    assert place.step(after_s=30) == 2
    yield place
    place.store.close()


def delete_before(place: Place, second: float, rows: int = 10**6) -> int:
    """Delete what began before so many seconds after the start, in one step of so many rows."""
    return place.store.delete_before(START_NS + int(second * 10**9), rows=rows)


def settle(place: Place) -> int:
    """Have what came analysed; return how many minutes were."""
    return place.step() + place.step(after_s=30)


def too_late(place: Place) -> float:
    """What ``/metrics`` says came too late."""
    registry = CollectorRegistry()
    service._register(registry, place.pipeline)
    assert b"lithoscope_analysis_too_late_total" in generate_latest(registry)
    return registry.get_sample_value("lithoscope_analysis_too_late_total") or 0


def report(place: Place, **window: int) -> dict[str, Any]:
    """What is kept of a window, in seconds after the start; propagation is not, but replayed from what is left."""
    options = {key: f"{START_NS // 10**9 + at}" for key, at in window.items()}
    found: dict[str, Any] = TraceAnalysis().report(place.store, options)
    del found["propagation"]
    return found


def test_a_late_span_leaves_a_minute_as_it_was_whose_spans_are_gone(place: Place) -> None:
    """So does a late point; both are counted, and the report over the minute stays the same."""
    kept = place.kept()
    assert HourKeeper(place.store, Options()).step() == 1
    Retention(place.store, retain_s=900, max_bytes=None, clock=lambda: START_NS / 1e9 + 1800).enforce()
    before = report(place, **{"from": 0, "to": 60})
    assert before["window"]["traces"] == 3
    place.append(*requests(*LATE), level(5, 0.9))
    assert settle(place) == 0
    assert too_late(place) == len(LATE) * 2 + 1
    assert report(place, **{"from": 0, "to": 60}) == before
    assert_same(place.kept(), kept)


def test_a_minute_of_which_a_part_is_gone_stays_too(place: Place) -> None:
    """What is left of it says less than what was kept."""
    kept = place.kept()
    assert delete_before(place, 2.5) == 4
    place.append(*requests(*LATE))
    assert settle(place) == 0
    assert too_late(place) == len(LATE) * 2
    assert_same(place.kept(), kept)


def test_a_kill_between_two_steps_of_retention_changes_nothing(place: Place) -> None:
    """With the first step it is known up to where the others would have gone."""
    kept = place.kept()
    assert delete_before(place, 60, rows=1) == 2
    place.restart()
    place.append(*requests(*LATE))
    assert settle(place) == 0
    assert_same(place.kept(), kept)


def test_what_retention_deletes_before_the_analysis_reads_it_is_not_missed(place: Place) -> None:
    """The minute waited already when its other spans went."""
    kept = place.kept()
    place.append(*requests(*LATE))
    place.step()
    delete_before(place, 60)
    assert place.step(after_s=30) == 0
    assert too_late(place) == len(LATE) * 2
    assert_same(place.kept(), kept)


def test_what_retention_deletes_while_the_analysis_reads_it_is_not_missed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The minute stays as it was, and is told of at the next step."""
    kept = place.kept()
    place.append(*requests(*LATE), *requests(1804))
    place.step()
    read = place.store.traces_within

    def delete_then_read(window: Any) -> Any:
        delete_before(place, 60)
        return read(window)

    monkeypatch.setattr(place.store, "traces_within", delete_then_read)
    assert place.step(after_s=30) == 2
    assert place.step() == 0
    assert too_late(place) == len(LATE) * 2
    rows = place.kept()["rollup_windows"].sort("minute").select("minute", "traces").rows()
    assert rows == [(FIRST, 3), (FIRST + 30, 3)]
    assert kept["rollup_windows"].sort("minute")["traces"].to_list() == [3, 2]


def test_a_trace_whose_head_is_gone_does_not_count_again(place: Place) -> None:
    """Within ten minutes of what was deleted, a trace may seem to begin where it goes on."""
    place.append(*requests(601, 602))
    assert settle(place) == 1
    delete_before(place, 1.5)
    place.append(*requests(603))
    assert settle(place) == 0
    delete_before(place, 2)
    place.append(*requests(1804))
    assert settle(place) == 1
    assert too_late(place) == 2


def test_a_minute_that_was_never_analysed_is(place: Place) -> None:
    """However old: what there is is all that will be known of it."""
    delete_before(place, 60)
    place.append(*requests(121, 122))
    assert settle(place) == 1
    assert too_late(place) == 0
    assert place.kept()["rollup_windows"]["traces"].to_list().count(2) == 2


def test_an_hour_of_which_a_part_is_gone_stays_judged_by_more_traces(place: Place) -> None:
    """The rest of it says less, until it is of more."""
    now = [1000.0]
    keeper = HourKeeper(place.store, Options(), clock=lambda: now[0])
    judged = "SELECT hour, traces FROM store.hour_index ORDER BY hour"
    hour = START_NS // HOUR_NS
    for seconds, traces in (((), 5), ((1804,), 5), ((1805, 1806, 1807), 6)):
        place.append(*requests(*seconds)) if seconds else None
        settle(place)
        now[0] += 1000
        assert keeper.step() == 1
        assert place.store.query(judged, QueryLimits()).to_pylist() == [{"hour": hour, "traces": traces}]
        delete_before(place, 60)
