"""Contributions add up to the latency of each endpoint, and tail excesses to its tail's excess."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analytics.attribution import Attribution, attribute_sections
from analytics.contributions import Profile, Requests, critical_path_sums, endpoint_requests, profile_endpoints
from analytics.critical_path import critical_path
from analytics.intervals import bootstrap_intervals
from analytics.quantiles import bucket_of
from analytics.sampling import trace_weights
from analytics.schema import CONTRIBUTIONS, ENDPOINTS, INTERVALS, empty
from tests.analytics import oracle
from tests.analytics.frames import PATIENT, forest_of
from tests.analytics.oracle import CLIENT, INTERNAL, SERVER, Request, Span

WEIGHTS = {1: None, 2: "ot=th:8", 4: "ot=th:c"}


def one_trace(trace: int, name: str, latency: int, called: int, *, error: bool = False) -> list[Span]:
    """Return a request to s0 that calls s1 for some time."""
    return [
        Span(trace, 1, None, 0, SERVER, 0, latency, name=name),
        Span(trace, 2, 1, 0, CLIENT, 5, called, name="failed" if error else "call"),
        Span(trace, 3, 2, 1, SERVER, 7, called // 2, name="serve"),
    ]


def analyse(spans: list[Span], weights: list[int] | None = None) -> tuple[Requests, Attribution, Profile]:
    """Return the requests, the attribution and the profile of spans; weights are by trace."""
    by_trace = dict(enumerate(weights or [], start=1))
    forest = forest_of(spans, trace_state=[WEIGHTS[by_trace.get(s.trace, 1)] for s in spans])
    attribution = attribute_sections(forest, critical_path(forest))
    requests = endpoint_requests(forest, trace_weights(forest))
    return requests, attribution, profile_endpoints(requests, attribution)


Traces = list[tuple[str, int, int, int]]
TRACES = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 60), st.integers(-1, 80), st.sampled_from([1, 2, 4])),
    min_size=1,
    max_size=25,
)


def all_spans(traces: Traces) -> list[Span]:
    """Return the spans of traces that are numbered from 1."""
    rows = enumerate(traces, start=1)
    return [span for place, (name, latency, called, _) in rows for span in one_trace(place, name, latency, called)]


@PATIENT
@given(TRACES)
def test_contributions_are_the_oracles(traces: Traces) -> None:
    """Mean, middle, tail and excess of every node of every endpoint."""
    spans = all_spans(traces)
    _, attribution, profile = analyse(spans, [weight for *_, weight in traces])
    names = attribution.nodes.select("node", "name")
    got = profile.contributions.join(names, on="node").join(
        profile.endpoints.select("endpoint", "operation"), on="endpoint"
    )
    for operation in {name for name, *_ in traces}:
        expected = oracle.contributions(_requests(spans, traces, operation))
        mine = {row["name"]: row for row in got.filter(operation=operation).iter_rows(named=True)}
        assert set(mine) == set(expected["all"]) - {None}
        for node, row in mine.items():
            assert row["critical_path_ms"] == _ms(expected["all"][node])
            assert row["middle_ms"] == _ms(expected["middle"][node])
            assert row["tail_ms"] == _ms(expected["tail"][node])


def _requests(spans: list[Span], traces: Traces, operation: str) -> list[Request]:
    forest = oracle.trees(spans)
    found = []
    for trace, (name, _, _, weight) in enumerate(traces, start=1):
        root = oracle.root_of(forest, trace)
        if root and name == operation:
            sections = oracle.critical_path(root)
            nodes: dict[object, int] = {}
            for (_, begin, end), node in zip(sections, oracle.attribute(sections, forest), strict=True):
                label = f"s{node[1]}->s{node[2]}" if node[0] == "edge" else f"s{node[1]}"
                nodes[label] = nodes.get(label, 0) + end - begin
            found.append(Request(root.duration, weight, nodes))
    return found


def _ms(value: float | None) -> object:
    return value if value is None else pytest.approx(value / 1e6, rel=1e-9, abs=1e-15)


@PATIENT
@given(TRACES)
def test_contributions_add_up(traces: Traces) -> None:
    """To the mean, to the middle's and the tail's mean, to the tail's excess; shares to 1."""
    spans = all_spans(traces)
    _, _, profile = analyse(spans, [weight for *_, weight in traces])
    for row in profile.endpoints.iter_rows(named=True):
        mine = profile.contributions.filter(endpoint=row["endpoint"])
        sums = {
            "critical_path_ms": row["mean_ms"],
            "middle_ms": row["middle_mean_ms"],
            "tail_ms": row["tail_mean_ms"],
            "excess_ms": row["tail_excess_ms"],
            "share": float(row["mean_ms"] > 0),
            "middle_share": float((row["middle_mean_ms"] or 0) > 0),
            "tail_share": float(row["tail_mean_ms"] > 0),
        }
        for column, total in sums.items():
            assert mine[column].sum() == pytest.approx(total or 0.0, rel=1e-9, abs=1e-12), column


def test_an_endpoint_says_what_is_known() -> None:
    """Counts, quantiles in milliseconds, weighted errors, and whether there is enough to tell."""
    spans = [s for i in range(1, 101) for s in one_trace(i, "a", i * 1_000_000, i * 500_000)]
    forest_spans = [*spans, Span(500, 1, 7, 0, SERVER, 0, 10)]
    requests, _, profile = analyse(forest_spans)
    assert requests.left_out == 1
    row = profile.endpoints.row(0, named=True)
    assert profile.endpoints.schema == pl.Schema(ENDPOINTS)
    assert row == {
        "endpoint": 0,
        "environment": None,
        "namespace": None,
        "service": "s0",
        "operation": "a",
        "traces": 100,
        "weight": 100.0,
        "error_rate": 0.0,
        "mean_ms": 50.5,
        "p50_ms": 50.5,
        "p95_ms": 95.05,
        "p99_ms": 99.01,
        "p99_known": True,
        "middle_traces": 20,
        "middle_mean_ms": 50.5,
        "tail_traces": 5,
        "tail_weight": 5.0,
        "tail_mean_ms": 98.0,
        "tail_excess_ms": 47.5,
        "tail_known": False,
    }


def test_errors_are_weighted() -> None:
    """A failed trace that stands for four is four of five requests."""
    spans = [*one_trace(1, "a", 10, 5), *one_trace(2, "a", 10, 5)]
    status = ["ok", "unset", "error", "error", "ok", "ok"]
    forest = forest_of(spans, status=status, trace_state=[None] * 3 + ["ot=th:c"] * 3)
    requests = endpoint_requests(forest, trace_weights(forest))
    attribution = attribute_sections(forest, critical_path(forest))
    assert profile_endpoints(requests, attribution).endpoints["error_rate"].to_list() == [0.8]


def test_equal_latencies_are_middle_and_tail_at_once() -> None:
    """Then the tail exceeds nothing."""
    _, _, profile = analyse([s for i in range(1, 41) for s in one_trace(i, "a", 50, 20)])
    row = profile.endpoints.row(0, named=True)
    assert (row["middle_traces"], row["tail_traces"], row["tail_known"]) == (40, 40, True)
    assert profile.contributions["excess_ms"].to_list() == [0.0] * profile.contributions.height


def test_two_different_traces_have_no_middle_and_say_so() -> None:
    """Null, not a number and not NaN."""
    _, _, profile = analyse([*one_trace(1, "a", 50, 20), *one_trace(2, "a", 90, 20)])
    assert profile.endpoints["tail_excess_ms"].to_list() == [None]
    assert profile.contributions["excess_ms"].null_count() == profile.contributions.height
    assert not profile.contributions["tail_share"].is_nan().any()


def test_a_root_without_length_or_name_is_an_endpoint() -> None:
    """It has no contributions to a latency of nothing."""
    forest = forest_of([Span(1, 1, None, 0, INTERNAL, 0, 0)], span_name=[None])
    requests = endpoint_requests(forest, trace_weights(forest))
    profile = profile_endpoints(requests, attribute_sections(forest, critical_path(forest)))
    assert profile.endpoints.select("operation", "mean_ms", "p99_ms").rows() == [("", 0.0, 0.0)]
    assert profile.contributions.equals(empty(CONTRIBUTIONS))


def test_no_traces_give_empty_frames() -> None:
    """With all columns."""
    requests, attribution, profile = analyse([])
    assert profile.endpoints.equals(empty(ENDPOINTS))
    assert profile.contributions.equals(empty(CONTRIBUTIONS))
    assert critical_path_sums(requests, attribution).height == 0
    assert bootstrap_intervals(requests, attribution, replicates=3).equals(empty(INTERVALS))


def test_sums_of_rollups_add_up_to_the_means() -> None:
    """By minute and bucket of latency; those at and above the bucket of p95 are the tail."""
    spans = [s for i in range(1, 101) for s in one_trace(i, "a", 1000 + 100 * i, 500)]
    for late in spans[150:]:
        late.start += oracle.MINUTE
    requests, attribution, profile = analyse(spans)
    sums = critical_path_sums(requests, attribution)
    assert sums.columns == ["endpoint", "node", "minute", "bucket", "critical_path_ns"]
    assert sums["minute"].unique().sort().to_list() == [0, 1]
    means = sums.group_by("node").agg(pl.col("critical_path_ns").sum() / 100 / 1e6).sort("node")
    expected = profile.contributions.select("node", "critical_path_ms").sort("node")
    assert means["critical_path_ns"].to_list() == pytest.approx(expected["critical_path_ms"].to_list())
    at_tail = requests.traces.filter(pl.Series(bucket_of(requests.traces["duration_ns"].to_numpy()) >= 839))
    tail = sums.filter(pl.col("bucket") >= 839)["critical_path_ns"].sum()
    assert tail == at_tail["duration_ns"].sum()


def test_intervals_hold_the_contribution_and_repeat_with_the_seed() -> None:
    """A node that every trace has the same of has no width."""
    spans = [s for i in range(1, 81) for s in one_trace(i, "a", 1000 + 13 * i, 500)]
    requests, attribution, profile = analyse(spans)
    intervals = bootstrap_intervals(requests, attribution, replicates=40, seed=3)
    assert intervals.schema == pl.Schema(INTERVALS)
    assert_frame_equal(intervals, bootstrap_intervals(requests, attribution, replicates=40, seed=3))
    both = intervals.join(profile.contributions, on=["endpoint", "node"])
    assert both.height == profile.contributions.height
    for name in ("critical_path", "excess"):
        middle, low, high = both[f"{name}_ms"], both[f"{name}_low_ms"], both[f"{name}_high_ms"]
        assert ((low <= middle + 1e-12) & (middle <= high + 1e-12)).all()
    widths = both.join(attribution.nodes, on="node").select(
        "name", width=pl.col("critical_path_high_ms") - pl.col("critical_path_low_ms")
    )
    assert dict(widths.rows())["s0->s1"] == pytest.approx(0, abs=1e-12)
    assert dict(widths.rows())["s0"] > 0
