"""A report from rollups says what one from the spans says: sums exactly, quantiles to the width of a bucket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analytics.analysis import Analysed, analyse
from analytics.figures import figures_of
from analytics.report import build_report
from analytics.rolled import rolled_figures
from analytics.rollups import merge_rollups, roll_up
from analytics.schema import LINKS, ROLLUPS, conform, empty
from analytics.service import TraceAnalysis
from analytics.service_schema import SATURATION
from analytics.source import Traces
from collector.store import open_store
from collector.store.protocol import QueryLimits
from tests.analytics.dozen import resources, traces
from tests.analytics.frames import FORESTS, PATIENT, resource_frame, span_columns
from tests.analytics.test_graph import LINKED, link_frame, saying_forest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analytics.figures import Figures
    from collector.store.protocol import Store
    from tests.analytics.graph_oracle import Link
    from tests.analytics.oracle import Span

APPROXIMATE = ("middle", "tail", "excess")
HOUR = 60


@pytest.fixture(scope="module")
def analysed() -> Analysed:
    """Traces of five minutes between twelve services, with errors, of which some stand for several."""
    spans = traces(400)
    root = pl.col("parent_span_id").is_null()
    sampled = root & (pl.col("trace_low") % 3 == 0)
    states = spans.with_columns(trace_state=pl.when(sampled).then(pl.lit("ot=th:8")))  # each of these for two
    return analyse(Traces(states, resources(), empty(LINKS)))


def merged(rollups: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The sum over minutes."""
    timeless = {name: frame.with_columns(minute=pl.lit(None, pl.Int64)) for name, frame in rollups.items()}
    return merge_rollups([timeless, {name: empty(columns) for name, columns in ROLLUPS.items()}])


def report(figures: Figures) -> dict[str, Any]:
    """The contract's object."""
    return build_report(figures, empty(SATURATION))


def by(rows: list[dict[str, Any]], *keys: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows by what names them."""
    return {tuple(row[key] for key in keys): row for row in rows}


def near(value: Any, rel: float = 1e-9) -> Any:
    """What equals the value, or is near it if it is a number."""
    return pytest.approx(value, rel=rel) if isinstance(value, float) else value


def assert_alike(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Sums are equal, quantiles are within a bucket; middle and tail are looked at elsewhere."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if key.startswith("p") and key.endswith("_ms"):
            assert found[key] == near(value, rel=0.0055), key
        elif not key.startswith(APPROXIMATE) and not isinstance(value, list):
            assert found[key] == near(value), key


def test_services_edges_and_endpoints_are_those_of_the_spans(analysed: Analysed) -> None:
    """With all that adds up: calls, errors, concurrency, who needs whom, how failures travel, shares of the path."""
    exact, rolled = report(figures_of(analysed)), report(rolled_figures(merged(roll_up(analysed)), None))
    assert rolled["window"] == exact["window"]
    for part, keys in (
        ("services", ("type", "name")),
        ("edges", ("caller", "callee", "callee_type", "mode")),
        ("endpoints", ("service", "operation")),
    ):
        found, expected = by(rolled[part], *keys), by(exact[part], *keys)
        assert list(found) == list(expected)
        for name, row in expected.items():
            assert_alike(found[name], row)


def test_contributions_are_those_of_the_spans_and_add_up(analysed: Analysed) -> None:
    """Shares of the mean exactly; those of middle and tail add up to one."""
    exact, rolled = report(figures_of(analysed)), report(rolled_figures(merged(roll_up(analysed)), None))
    for found, expected in zip(rolled["endpoints"], exact["endpoints"], strict=True):
        parts, wanted = (by(row["contributions"], "kind", "type", "node") for row in (found, expected))
        assert parts.keys() == wanted.keys()
        for name, row in wanted.items():
            assert_alike(parts[name], row)
        for share in ("share", "middle_share", "tail_share"):
            assert sum(row[share] for row in parts.values()) == pytest.approx(1, rel=1e-12)
        assert sum(row["excess_ms"] for row in parts.values()) == pytest.approx(found["tail_excess_ms"])
        assert sum(row["critical_path_ms"] for row in parts.values()) == pytest.approx(found["mean_ms"])


@pytest.fixture(scope="module")
def shared() -> Iterator[Store]:
    """A store that keeps what examples wrote before, in one minute that each replaces."""
    store = open_store(":memory:")
    yield store
    store.close()


@settings(PATIENT, max_examples=10)
@given(FORESTS, LINKED)
def test_any_spans_go_through_the_store(shared: Store, spans: list[Span], links: list[Link]) -> None:
    """Whatever they look like, services and edges come out as they went in, and the views can be read."""
    forest = saying_forest(spans)
    found = analyse(Traces(forest.source, resource_frame(), link_frame(links)))
    rollups = roll_up(found)
    minutes = rollups["rollup_windows"]["minute"].to_list()
    shared.finish_minutes(minutes or [0], {name: frame.to_arrow() for name, frame in rollups.items()})
    tables = shared.sum_rollups(0, 10**9, "")
    kept = {name: conform(pl.DataFrame(pl.from_arrow(tables[name])), columns) for name, columns in ROLLUPS.items()}
    exact, rolled = report(figures_of(found)), report(rolled_figures(kept, None))
    for part, keys in (("services", ("type", "name")), ("edges", ("caller", "callee", "callee_type", "mode"))):
        found_rows, expected = by(rolled[part], *keys), by(exact[part], *keys)
        assert found_rows.keys() == expected.keys()
        for name, row in expected.items():
            assert_alike(found_rows[name], row)
        assert shared.query(f"SELECT * FROM {part}", QueryLimits()).num_rows == len(expected)
    assert json.loads(json.dumps(rolled, allow_nan=False)) == rolled


def test_a_service_that_only_its_callers_name_is_there() -> None:
    """In a report from spans as in one from rollups, whether its answer is waited for or not."""
    rows = span_columns(
        span_id=[1, 2, 3],
        parent_span_id=[None, 1, 1],
        kind=["server", "client", "client"],
        start_unix_nano=[0, 1, 20],
        duration_ns=[10, 5, 30],
        peer_service=[None, "s1", "s2"],
    )
    found = analyse(Traces(rows, resource_frame(), empty(LINKS)))
    exact, rolled = report(figures_of(found)), report(rolled_figures(merged(roll_up(found)), None))
    names = [sorted(row["name"] for row in told["services"]) for told in (exact, rolled)]
    assert names[0] == names[1]
    assert {edge["callee"] for edge in exact["edges"]} <= set(names[0])
    assert {"s1", "s2"} <= set(names[0])


def test_middle_and_tail_are_near_those_of_the_spans() -> None:
    """Where there are enough traces to tell: a request in a bucket with a bound in it counts in part."""
    spans = traces(1000)
    one_endpoint = pl.when(pl.col("parent_span_id").is_null()).then(pl.lit("GET /")).otherwise(
        pl.col("span_name").cast(pl.String)
    )  # fmt: skip
    found = analyse(Traces(spans.with_columns(span_name=one_endpoint), resources(), empty(LINKS)))
    (exact,), (rolled,) = (
        report(figures)["endpoints"] for figures in (figures_of(found), rolled_figures(merged(roll_up(found)), None))
    )
    assert exact["tail_known"]
    assert rolled["tail_known"]
    assert rolled["tail_excess_ms"] == pytest.approx(exact["tail_excess_ms"], rel=0.02)
    parts, wanted = (by(row["contributions"], "kind", "type", "node") for row in (rolled, exact))
    for name, row in wanted.items():
        for share in ("middle_share", "tail_share"):
            assert parts[name][share] == pytest.approx(row[share], abs=0.01)


def test_a_share_that_was_looked_at_makes_a_sample() -> None:
    """Also when the traces that were looked at all weigh alike."""
    whole = analyse(Traces(traces(10), resources(), empty(LINKS)))
    assert not rolled_figures(merged(roll_up(whole)), None).window["sampled"]
    assert rolled_figures(merged(roll_up(whole, kept=0.5)), None).window["sampled"]


def test_no_rollups_make_an_empty_report() -> None:
    """With the keys of the contract."""
    found = report(rolled_figures({name: empty(columns) for name, columns in ROLLUPS.items()}, None))
    assert (found["services"], found["edges"], found["endpoints"], found["window"]["traces"]) == ([], [], [], 0)


def durations(shape: str, count: int, seed: int) -> np.ndarray[Any, Any]:
    """Nanoseconds as services take them."""
    rng = np.random.default_rng(seed)
    slow = rng.lognormal(np.log(2e9), 0.1, count)
    shapes = {
        "lognormal": rng.lognormal(np.log(2e7), 1.0, count),
        "bimodal": np.where(rng.random(count) < 0.05, slow, rng.lognormal(np.log(1e7), 0.2, count)),
        "constant": np.full(count, rng.integers(1, 10**9)),
        "zero": np.zeros(count),
        "heavy": rng.pareto(1.2, count) * 1e6,
    }
    return shapes[shape].astype(np.int64)


@settings(PATIENT, max_examples=30)
@given(
    st.sampled_from(["lognormal", "bimodal", "constant", "zero", "heavy"]),
    st.integers(100, 2000),
    st.integers(0, 2**32 - 1),
)
def test_quantiles_are_within_a_hundredth_of_the_exact_ones(shape: str, count: int, seed: int) -> None:
    """Whatever the distribution, over many minutes."""
    place = np.arange(count)
    spans = span_columns(
        span_id=place + 1,
        trace_low=place + 1,
        kind=["server"] * count,
        start_unix_nano=place * 10**9 * 7,
        duration_ns=durations(shape, count, seed),
    )
    found = analyse(Traces(spans, resource_frame(), empty(LINKS)))
    (exact,), (rolled,) = (
        report(figures)["endpoints"] for figures in (figures_of(found), rolled_figures(merged(roll_up(found)), None))
    )
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        assert rolled[name] == pytest.approx(exact[name], rel=0.01)


def over_hours(rollups: Mapping[str, pl.DataFrame], count: int) -> dict[str, pl.DataFrame]:
    """The same traces in many minutes, half an hour apart from the first to the last of each."""
    first = rollups["rollup_windows"]["minute"].to_numpy().min()
    apart = (pl.col("minute") - int(first)) * 7
    minutes = [
        {name: frame.with_columns(minute=apart + begin) for name, frame in rollups.items()}
        for begin in range(0, count * 40, 40)
    ]
    return merge_rollups(minutes)


@pytest.mark.parametrize(("begin", "end"), [(0, 1000), (20, 50), (60, 180), (59, 181), (90, 91), (61, 240), (500, 400)])
def test_the_store_adds_up_as_the_analysis_does(store: Store, analysed: Analysed, begin: int, end: int) -> None:
    """Over any minutes, with sums of whole hours and without."""
    rollups = over_hours(roll_up(analysed), 8)
    minutes = rollups["rollup_windows"]["minute"].unique().to_list()
    store.finish_minutes(minutes, {name: frame.to_arrow() for name, frame in rollups.items()})
    within = {name: frame.filter(pl.col("minute").is_between(begin, end - 1)) for name, frame in rollups.items()}
    tables = store.sum_rollups(begin, end, "prod")
    for name, expected in merged(within).items():
        found = conform(pl.DataFrame(pl.from_arrow(tables[name])), ROLLUPS[name])
        assert_frame_equal(found, expected, check_row_order=False, rel_tol=1e-9)


def test_a_minute_that_is_replaced_is_replaced_in_its_hour(store: Store, analysed: Analysed) -> None:
    """Nothing of what it was is left."""
    rollups = over_hours(roll_up(analysed), 2)
    minutes = rollups["rollup_windows"]["minute"].unique().sort().to_list()
    for _ in range(2):
        store.finish_minutes(minutes, {name: frame.to_arrow() for name, frame in rollups.items()})
    store.finish_minutes(minutes[:3], {})
    left = {name: frame.filter(pl.col("minute") > minutes[2]) for name, frame in rollups.items()}
    tables = store.sum_rollups(0, 1000 * HOUR, "prod")
    for name, expected in merged(left).items():
        found = conform(pl.DataFrame(pl.from_arrow(tables[name])), ROLLUPS[name])
        assert_frame_equal(found, expected, check_row_order=False, rel_tol=1e-9)


FAR = 10**9
"""A minute in the year 3871: somebody's clock."""


def latencies(written: Mapping[int, int]) -> dict[str, pl.DataFrame]:
    """Rollups of a request in each of these minutes, in the bucket that is written for it."""
    one = {"environment": "prod", "service": "shop", "operation": "GET /", "weight": 1.0, "kept": 1.0}
    one |= dict.fromkeys(("traces", "spans", "incomplete_traces", "sampled_traces"), 1)
    rows = pl.DataFrame({"minute": list(written), "bucket": list(written.values())}, schema=["minute", "bucket"])
    frame = rows.with_columns(pl.lit(value).alias(name) for name, value in one.items())
    return {name: conform(frame, ROLLUPS[name]) for name in ("rollup_windows", "rollup_latency")}


@settings(PATIENT, max_examples=12)
@given(
    steps=st.lists(
        st.dictionaries(st.sampled_from([0, 1, 59, 60, 61, 100, 119, 120, 200, 240, 300, FAR]), st.integers(0, 3)),
        min_size=1,
        max_size=8,
    ),
    begin=st.sampled_from([0, 1, 60, 100, 120]),
    end=st.sampled_from([60, 61, 119, 180, 300, 301, FAR + 1]),
)
def test_hours_are_the_sum_of_their_minutes(steps: list[dict[int, int]], begin: int, end: int) -> None:
    """In whatever order minutes come and are replaced, and wherever a window begins and ends."""
    store = open_store(":memory:")
    expected: dict[int, int] = {}
    for step in steps:
        store.finish_minutes(list(step), {name: frame.to_arrow() for name, frame in latencies(step).items()})
        expected |= step
    within = [bucket for minute, bucket in expected.items() if begin <= minute < end]
    rows = store.sum_rollups(begin, end, "prod")["rollup_latency"].to_pylist()
    assert {row["bucket"]: row["weight"] for row in rows} == {bucket: within.count(bucket) for bucket in set(within)}
    total = store.query("SELECT coalesce(sum(weight), 0) AS n FROM store.all_latency", QueryLimits())
    assert total["n"].to_pylist() == [len(expected)]
    store.close()


def test_an_hour_is_added_up_when_it_is_over(store: Store) -> None:
    """Not with each of its minutes; a minute far ahead does not end it."""
    hourly = []
    for minute in (60, 61, FAR, 62, 119, 120, 121):
        store.finish_minutes([minute], {name: frame.to_arrow() for name, frame in latencies({minute: 1}).items()})
        hourly.append(store.query("SELECT minute, weight FROM store.hourly_latency", QueryLimits()).to_pylist())
    assert hourly == [[]] * 5 + [[{"minute": 60, "weight": 4.0}]] * 2


def test_the_views_say_what_a_report_from_rollups_says(
    store: Store, analysed: Analysed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Services, edges and endpoints, quantiles included."""
    rollups = over_hours(roll_up(analysed), 3)
    minutes = rollups["rollup_windows"]["minute"].unique().to_list()
    use = [["prod", None, "stock", "stock-1", "cpu", "process.cpu.utilization", part, at] for part, at in USED]
    columns = ["environment", "namespace", "service", "instance", "resource", "metric", "part", "utilisation"]
    rows = pl.DataFrame(use, schema=columns, orient="row").with_columns(minute=pl.lit(minutes[0]), level=pl.lit(1.0))
    rollups["rollup_resources"] = conform(rows, ROLLUPS["rollup_resources"])
    store.finish_minutes(minutes, {name: frame.to_arrow() for name, frame in rollups.items()})
    monkeypatch.setattr("analytics.windows.MOST_EXACT_SPANS", 1)
    expected = TraceAnalysis().report(store, {})
    assert {row["saturation"] for row in expected["services"]} == {None, 0.9}
    for view, keys in (
        ("services", ("type", "namespace", "name")),
        ("edges", ("caller", "callee", "callee_type", "mode")),
        ("endpoints", ("service", "operation")),
    ):
        found = by(store.query(f"SELECT * FROM {view}", QueryLimits()).to_pylist(), *keys)
        assert list(found) == list(by(expected[view], *keys))
        for name, row in by(expected[view], *keys).items():
            assert found[name]["environment"] == "prod"
            told = {key: value for key, value in row.items() if key not in LEFT_OUT}
            assert {key: found[name][key] for key in told} == {key: near(value) for key, value in told.items()}


USED = (("a=1", 0.4), ("", 0.9), ("b=2", None))
LEFT_OUT = ("contributions", "tail_known", "tail_excess_ms")
"""Of endpoints; the view of services has the last one, too."""
