"""A replay gives back what was recorded, and moves what waits for changed work, and only that."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calls import find_calls
from analytics.critical_path import link_siblings
from analytics.dependencies import find_awaited
from analytics.forest import Forest, build_forest
from analytics.replay import Cuts, Plan, plan_replay
from analytics.replay import replay as replay_plan
from analytics.schema import LINKS, empty
from tests.analytics.frames import FORESTS, PATIENT, TIDY, forest_of, resource_frame, span_columns
from tests.analytics.oracle import CLIENT, INTERNAL, PRODUCER, SERVER, Span
from tests.analytics.replay_oracle import ReplayOracle

WORK = st.lists(st.integers(0, 30), min_size=64, max_size=64)
PARALLEL, SERIAL = 1, 2
BUSY = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 20), st.integers(0, 6)), min_size=3, max_size=24
)
"""Children: parent among the earlier ones, operation, start and length; many meet at the same moments."""


def plan_of(forest: Forest) -> Plan:
    """The plan of all traces."""
    graph = find_calls(forest, empty(LINKS), np.ones(forest.traces.height))
    return plan_replay(find_awaited(graph, link_siblings(forest)))


def replay(plan: Plan, **changed: Any) -> Any:
    """When spans end."""
    return replay_plan(plan, **changed).end_ns


def busy_spans(rows: list[tuple[int, int, int, int]], traces: int = 2) -> list[Span]:
    """Two traces of a root and such children, with four operations."""
    spans = [Span(t, 1, None, 0, SERVER, 0, 60) for t in range(1, traces + 1)]
    for place, (parent, name, start, length) in enumerate(rows):
        above = 1 + parent % (place // traces + 1) if parent else 1
        spans.append(Span(1 + place % traces, place + 2, above, name % 2, INTERNAL, start, length, name=f"op{name}"))
    return spans


def check(plan: Plan, lead: list[int], own: list[int]) -> None:
    """Compare with the oracle."""
    count = len(plan.awaited)
    extra = [np.array((work * (count // len(work) + 1))[:count], np.int64) for work in (lead, own)]
    found = replay(plan, lead_ns=plan.lead_ns + extra[0], own_ns=plan.own_ns + extra[1])
    assert found.tolist() == ReplayOracle(plan.awaited).ends(*(values.tolist() for values in extra))


@PATIENT
@given(FORESTS, WORK, WORK)
def test_agrees_with_the_definition_on_any_spans(spans: list[Span], lead: list[int], own: list[int]) -> None:
    """Recursion over single spans says the same, whatever the spans look like."""
    check(plan_of(forest_of(spans)), lead, own)


@PATIENT
@given(BUSY, WORK, WORK)
def test_agrees_with_the_definition_on_many_siblings(
    rows: list[tuple[int, int, int, int]], lead: list[int], own: list[int]
) -> None:
    """The same with parallel, sequential and contradictory siblings of few operations."""
    check(plan_of(forest_of(busy_spans(rows))), lead, own)


@PATIENT
@given(FORESTS | st.builds(busy_spans, BUSY))
def test_unchanged_work_is_the_identity(spans: list[Span]) -> None:
    """Every awaited span ends when it did, and no work is negative."""
    plan = plan_of(forest_of(spans))
    assert replay(plan).tolist() == plan.awaited.end.tolist()
    assert (plan.lead_ns >= 0).all()
    assert (plan.own_ns >= 0).all()


@PATIENT
@given(FORESTS | st.builds(busy_spans, BUSY), WORK, WORK)
def test_more_work_ends_nothing_earlier(spans: list[Span], some: list[int], more: list[int]) -> None:
    """Results are monotone in the work, and grow by at most all of it."""
    plan = plan_of(forest_of(spans))
    count = len(plan.awaited)
    little = np.array(some * 2)[:count]
    much = little + np.array(more * 2)[:count]
    ends = [replay(plan, own_ns=plan.own_ns + extra) for extra in (little * 0, little, much)]
    assert (ends[0] <= ends[1]).all()
    assert (ends[1] <= ends[2]).all()
    assert (ends[2] - ends[0] <= much.sum()).all()


@PATIENT
@given(TIDY | st.builds(busy_spans, BUSY), st.integers(0, 63), st.integers(1, 40))
def test_work_within_a_spans_slack_changes_nothing(spans: list[Span], place: int, extra: int) -> None:
    """Slack: how long before the next moment that waits for it a span ends, were all others to stay."""
    plan = plan_of(forest_of(spans))
    count = len(plan.awaited)
    if not count:
        return
    span = place % count
    awaited, oracle = plan.awaited, ReplayOracle(plan.awaited)
    followers = [s for s in range(count) if awaited.parent[s] >= 0 and span in oracle.waits_for(s)]
    latest = [max(awaited.end[x] for x in oracle.waits_for(s)) for s in followers]
    siblings = np.flatnonzero(awaited.parent == awaited.parent[span])
    latest.append(awaited.end[siblings].max())
    slack = min(latest) - awaited.end[span]
    own = plan.own_ns.copy()
    own[span] += min(extra, slack)
    if awaited.parent[span] < 0:
        return
    ends = replay(plan, own_ns=own)
    others = np.arange(count) != span
    assert (ends[others] == awaited.end[others]).all()


@PATIENT
@given(TIDY, st.integers(1, 1000))
def test_work_on_the_critical_path_is_felt_in_full_by_a_chain(spans: list[Span], extra: int) -> None:
    """A root's own work adds to its latency what it takes."""
    plan = plan_of(forest_of(spans))
    own = plan.own_ns + extra * (plan.awaited.parent < 0)
    assert (replay(plan, own_ns=own) - plan.awaited.end == extra * (plan.awaited.parent < 0)).all()


@PATIENT
@given(st.builds(busy_spans, BUSY), st.lists(WORK, min_size=2, max_size=3))
def test_columns_are_replays_of_their_own(spans: list[Span], works: list[list[int]]) -> None:
    """Several changes at once give what each gives alone."""
    plan = plan_of(forest_of(spans))
    own = plan.own_ns[:, None] + np.array([work[: len(plan.awaited)] for work in works]).T
    together = replay(plan, own_ns=own)
    alone = [replay(plan, own_ns=np.ascontiguousarray(column)) for column in own.T]
    assert together.tolist() == np.stack(alone, axis=1).tolist()


def shop(*rows: tuple[str, int, int], trace: int = 1) -> list[Span]:
    """A root of 100 ns and its calls: operation, begin and end."""
    calls = [Span(trace, n + 2, 1, 0, CLIENT, b, e - b, name=name) for n, (name, b, e) in enumerate(rows)]
    return [Span(trace, 1, None, 0, SERVER, 0, 100), *calls]


def slowed(spans: list[Span], name: str, extra: int) -> list[int]:
    """The latencies of all traces when calls of this name take longer."""
    forest = forest_of(spans)
    plan = plan_of(forest)
    named = (forest.column("span_name", plan.awaited.row) == name).to_numpy()
    ends = replay(plan, own_ns=plan.own_ns + extra * named)
    return [int(end) for end in ends[plan.awaited.parent < 0]]


def test_what_follows_a_fan_out_waits_for_all_of_it() -> None:
    """The shorter of two parallel calls has slack; beyond that the third call and the root wait for it."""
    spans = shop(("a", 10, 50), ("b", 10, 40), ("c", 60, 90))
    assert [slowed(spans, "b", extra) for extra in (10, 11, 60)] == [[100], [101], [150]]
    assert slowed(spans, "a", 5) == [105]


def test_an_order_that_one_trace_contradicts_is_no_dependency() -> None:
    """Call b came after a by chance: another trace shows both at once; then b starts when it did."""
    chance = shop(("a", 10, 20), ("b", 30, 90))
    assert slowed(chance, "a", 50) == [150]
    assert slowed(chance + shop(("a", 10, 40), ("b", 30, 90), trace=2), "a", 50) == [100, 100]
    assert slowed(chance + shop(("b", 10, 40), ("a", 50, 90), trace=2), "a", 50) == [100, 150]
    assert slowed(chance + shop(("b", 10, 40), ("a", 50, 90), trace=2), "b", 50) == [150, 100]


def test_a_loop_over_two_operations_is_sequential() -> None:
    """a, b, a, b: each waits for the one before; turns within one trace contradict no order."""
    spans = shop(("a", 10, 20), ("b", 20, 30), ("a", 30, 40), ("b", 40, 50))
    assert slowed(spans, "a", 7) == [114]
    assert slowed(spans, "b", 7) == [114]


def test_a_parallel_branch_keeps_its_own_order() -> None:
    """Call a runs beside b and then c; that a happened to end before c began does not make c wait for it."""
    rest = (("b", 10, 40), ("c", 40, 90))
    traces = shop(("a", 10, 30), *rest) + shop(("a", 10, 80), *rest, trace=2)
    assert slowed(traces, "a", 15) == [100, 105]
    assert slowed(traces, "b", 15) == [115, 115]


def test_a_call_that_was_given_up_is_not_waited_for() -> None:
    """A server that outlives its client by far changes nothing by taking longer; one that does by little, does."""
    ms = 10**6
    for overhang, grown in ((300 * ms, 0), (ms // 2, 50 * ms)):
        spans = [
            Span(1, 1, None, 0, SERVER, 0, 1000 * ms),
            Span(1, 2, 1, 0, CLIENT, 100 * ms, 800 * ms),
            Span(1, 3, 2, 1, SERVER, 100 * ms, 800 * ms + overhang, name="served"),
        ]
        assert slowed(spans, "served", 50 * ms) == [1000 * ms + grown]


def test_a_consumer_is_not_waited_for() -> None:
    """What takes a message does not hold up who sent it."""
    spans = [
        Span(1, 1, None, 0, SERVER, 0, 100),
        Span(1, 2, 1, 0, PRODUCER, 10, 10),
        Span(1, 3, 2, 1, 5, 15, 5, name="consumed"),
    ]
    assert slowed(spans, "consumed", 50) == [100]


def test_cuts_end_spans_early() -> None:
    """A span over its limit takes what it says instead, waiting for others or not; others stay."""
    spans = [*shop(("a", 10, 50), ("b", 60, 90)), Span(1, 9, 2, 1, SERVER, 20, 20, name="inside")]
    plan = plan_of(forest_of(spans))
    a, b = 1, 2
    for span, limit, instead, latency in ((a, 39, 3, 63), (a, 40, 3, 100), (b, 29, 0, 70), (b, 30, 0, 100)):
        cuts = Cuts(*(np.array([value]) for value in (span, limit, instead)))
        assert replay(plan, cuts=cuts)[0] == latency


def test_no_spans_have_no_replay() -> None:
    """Neither fails; nor do traces without a root."""
    for spans in ([], [Span(1, 2, 9, 0, SERVER, 0, 5)]):
        assert replay(plan_of(forest_of(spans))).tolist() == []


@pytest.mark.parametrize("shape", ["chain", "sequence", "names", "stairs", "parallel"])
def test_large_traces_take_under_five_seconds(shape: str) -> None:
    """A chain 10,000 deep; 20,000 calls one after another, of one name and of as many; overlapping, and all at once."""
    count = 10_000 if shape == "chain" else 20_000
    place = np.arange(1, count)
    parent, start, end = {
        "chain": (place, place, 2 * count - place),
        "sequence": (np.ones_like(place), 10 * place, 10 * place + 10),
        "names": (np.ones_like(place), 10 * place, 10 * place + 10),
        "stairs": (np.ones_like(place), 10 * place, 10 * place + 1000),
        "parallel": (np.ones_like(place), place, 2 * count + place),
    }[shape]
    names = [f"op{number}" if shape == "names" else "op" for number in range(count)]
    columns: dict[str, Any] = {"start_unix_nano": [0, *start], "duration_ns": [20 * count, *(end - start)]}
    spans = span_columns(
        span_id=[1, *(place + 1)],
        parent_span_id=[None, *parent],
        span_name=names,
        **columns,
    )
    forest = build_forest(spans, resource_frame())
    began = time.process_time()
    plan = plan_of(forest)
    ends = replay(plan, own_ns=plan.own_ns + 1)
    assert time.process_time() - began < 5
    grown = {"chain": count, "sequence": count, "names": count, "stairs": 2, "parallel": 2}
    assert ends[0] - plan.awaited.end[0] == grown[shape]
