"""What chance explains is no change: the spread of means, against numbers taken one by one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.analysis import analyse
from analytics.chance import chance_limits, contribution_spread
from analytics.diff import culprits, node_changes
from tests.analytics.loaded import loaded
from tests.analytics.systems.simulator import Slow, simulate

if TYPE_CHECKING:
    from analytics.analysis import Analysed
    from analytics.source import Traces

SECONDS, RATE = 6.0, 40.0
"""240 requests, a half has 120: fewer are hard to compare, and more only take longer."""
MS = 10**6
TRACES = st.lists(
    st.tuples(
        st.integers(0, 1), st.floats(0.5, 4), st.integers(0, 50), st.lists(st.integers(0, 9), min_size=2, max_size=2)
    ),
    min_size=1,
    max_size=60,
)
"""Endpoint, weight, start and the milliseconds of each of two nodes."""


def halves(traces: Traces) -> list[Analysed]:
    """The requests that came first, and as many that came later."""
    trace = ["trace_high", "trace_low"]
    starts = traces.spans.group_by(trace).agg(start=pl.col("start_unix_nano").min()).sort("start").with_row_index("at")
    is_first = pl.col("at") < starts.height // 2
    return [
        analyse(replace(traces, spans=traces.spans.join(starts.filter(half).select(trace), on=trace, how="semi")))
        for half in (is_first, ~is_first)
    ]


def blamed(before: Analysed, after: Analysed) -> list[str]:
    """The services to blame for what changed."""
    return culprits(node_changes(before, after, ("test", "test")))["service"].to_list()


def test_two_halves_of_one_system_have_no_culprit() -> None:
    """In at least 98 of 100 systems, each with names, times and order of its own."""
    accused = []
    for seed in range(100):
        run = simulate(loaded(seed, ((SECONDS, RATE),)).system, seed=seed)
        accused += [seed] if blamed(*halves(run.traces)) else []
    assert len(accused) <= 2, accused


@pytest.mark.parametrize("seed", range(6))
def test_what_was_made_slower_is_more_than_chance(seed: int) -> None:
    """By two milliseconds of the five to ten that its requests take."""
    system = loaded(seed, ((SECONDS, RATE),))
    slow = Slow(service=system.callee, ms=2)
    before, after = (analyse(simulate(system.system, seed=9 + seed, faults=faults).traces) for faults in ((), (slow,)))
    assert blamed(before, after)[0] == system.callee


def spread_of(traces: list[Any]) -> Any:
    """The spread of made-up traces."""
    rows = [{"trace": at, "endpoint": endpoint, "weight": weight} for at, (endpoint, weight, *_) in enumerate(traces)]
    sections = [
        {"trace": at, "node": node, "begin_unix_nano": start, "end_unix_nano": start + ms * MS}
        for at, (_, _, start, times) in enumerate(traces)
        for node, ms in enumerate(times)
        if ms
    ]
    schema = {"trace": pl.Int32, "node": pl.Int32, "begin_unix_nano": pl.Int64, "end_unix_nano": pl.Int64}
    columns = {"trace": pl.Int32, "endpoint": pl.Int32, "weight": pl.Float64}
    requests = SimpleNamespace(traces=pl.DataFrame(rows, columns))
    attribution = SimpleNamespace(sections=pl.DataFrame(sections, schema))
    return contribution_spread(cast("Any", requests), cast("Any", attribution))


@given(TRACES)
@settings(deadline=None)
def test_the_variance_is_that_over_all_traces(traces: list[Any]) -> None:
    """Those without the node too, each with its weight."""
    spread = spread_of(traces)
    for row in spread.nodes.iter_rows(named=True):
        own = [trace for trace in traces if trace[0] == row["endpoint"]]
        weights, times = np.array([t[1] for t in own]), np.array([t[3][row["node"]] for t in own], float)
        variance = np.average((times - np.average(times, weights=weights)) ** 2, weights=weights)
        assert row["variance"] == pytest.approx(variance * len(own) / max(len(own) - 1, 1), abs=1e-6)
    weights_of = {e: np.array([t[1] for t in traces if t[0] == e]) for e, *_ in traces}
    expected = {e: pytest.approx(w.sum() ** 2 / (w**2).sum()) for e, w in weights_of.items()}
    assert dict(spread.endpoints.iter_rows()) == expected


def test_requests_that_are_slow_together_say_less() -> None:
    """A hundred that alternate are a hundred numbers; in two blocks they are hardly more than two."""
    alternating = [(0, 1.0, at, [at % 2, 1]) for at in range(100)]
    blocks = [(0, 1.0, at, [int(at >= 50), 1]) for at in range(100)]
    (mixed,), (apart,) = (spread_of(traces).nodes.filter(node=0).rows(named=True) for traces in (alternating, blocks))
    assert mixed["variance"] == apart["variance"] == pytest.approx(0.2525, abs=1e-3)
    assert mixed["unsteady"] < mixed["variance"] < 4 * mixed["variance"] < apart["unsteady"]


@pytest.mark.parametrize(
    ("freedom", "expected"), [(3, 4.541), (5, 3.365), (10, 2.764), (30, 2.457), (120, 2.358), (10**6, 2.326)]
)
def test_the_limit_of_one_mean_is_students(freedom: int, expected: float) -> None:
    """The quantile for one false alarm in a hundred, from its table."""
    assert chance_limits(np.array([2.0]), np.array([float(freedom)]))[0] == pytest.approx(2 * expected, rel=0.03)


def test_many_means_share_the_false_alarms() -> None:
    """The limit grows with their number; what nothing tells of has none."""
    one = chance_limits(np.array([1.0]), np.array([1e6]))[0]
    many = chance_limits(np.ones(50), np.full(50, 1e6))
    assert (many > one).all()
    assert chance_limits(np.array([1.0]), np.array([0.0])).tolist() == [0.0]
    assert chance_limits(np.array([]), np.array([])).tolist() == []
