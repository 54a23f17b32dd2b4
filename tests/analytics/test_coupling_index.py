"""The coupling index holds its promises on any system, and says of the sample shop what is true of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analytics import coupling_index as module
from analytics.calls import find_calls
from analytics.coupling import needs
from analytics.coupling_index import ENOUGH_TRACES, GRADES, WEIGHTS, coupling_index, grade
from analytics.schema import LINKS, conform, empty
from analytics.service_schema import EDGES as EDGES_COLUMNS
from analytics.shapes import find_shapes
from tests.analytics.call_trees import Call, chain, subject_of
from tests.analytics.frames import PATIENT, forest_of
from tests.analytics.oracle import CLIENT, SERVER, Span
from tests.analytics.shop import shop

if TYPE_CHECKING:
    from collections.abc import Iterable

from analytics.coupling_index import CouplingIndex

SERVICES = ("a", "b", "c", "d", "e")
Edge = tuple[str, str]


def index_of(requests: Iterable[Call]) -> CouplingIndex:
    """The index of requests, each of which came once."""
    return coupling_index(subject_of(requests))


def score_of(requests: Iterable[Call]) -> float:
    """The score, which must be known."""
    score = index_of(requests).score
    assert score is not None
    return score


def everywhere(call: Call, change: dict[Edge, str]) -> Call:
    """The same request with the modes of these edges."""
    calls = tuple(
        replace(everywhere(below, change), mode=change.get((call.service, below.service), below.mode))
        for below in call.calls
    )
    return replace(call, calls=calls)


def with_call(call: Call, edge: Edge, often: int = 1) -> Call:
    """The same request, in which the one service calls the other, too, wherever it is called."""
    calls = tuple(with_call(below, edge, often) for below in call.calls)
    return replace(call, calls=calls + (Call(edge[1]),) * often if call.service == edge[0] else calls)


def without_call(call: Call, edge: Edge) -> Call:
    """The same request without these calls and all behind them."""
    kept = (below for below in call.calls if (call.service, below.service) != edge)
    return replace(call, calls=tuple(without_call(below, edge) for below in kept))


def edges_of(call: Call) -> set[Edge]:
    """The edges of a request."""
    return {(call.service, below.service) for below in call.calls}.union(*map(edges_of, call.calls))


MODE = st.sampled_from(["sync", "async"])
CALLS = st.recursive(
    st.builds(Call, st.sampled_from(SERVICES), mode=MODE),
    lambda below: st.builds(Call, st.sampled_from(SERVICES), st.lists(below, max_size=3).map(tuple), mode=MODE),
    max_leaves=8,
)
REQUESTS = st.lists(CALLS.map(lambda call: replace(call, mode="sync")), min_size=1, max_size=4)
EDGES = st.tuples(st.sampled_from(SERVICES), st.sampled_from(SERVICES)).filter(lambda edge: edge[0] != edge[1])
EVERYONE = [Call(service) for service in SERVICES]
"""A request to each service alone, so that all are there whatever is called."""


@settings(PATIENT, max_examples=25)
@given(REQUESTS, EDGES, st.integers(1, 3))
def test_a_sync_edge_never_lowers_it(requests: list[Call], edge: Edge, often: int) -> None:
    """Requests that wait for more are coupled as much or more."""
    before = EVERYONE + requests
    assert score_of(with_call(call, edge, often) for call in before) >= score_of(before) - 1e-9


@settings(PATIENT, max_examples=25)
@given(REQUESTS, st.data())
def test_making_an_edge_async_never_raises_it(requests: list[Call], data: st.DataObject) -> None:
    """Whatever else is sync, and however the work behind it goes on."""
    edges = sorted(set().union(*map(edges_of, requests)))
    assume(edges)
    change = {data.draw(st.sampled_from(edges)): "async"}
    before = EVERYONE + requests
    assert score_of(everywhere(call, change) for call in before) <= score_of(before) + 1e-9


@settings(PATIENT, max_examples=15)
@given(REQUESTS)
def test_it_is_0_when_nobody_waits(requests: list[Call]) -> None:
    """Services that are called through queues only are free of each other."""
    freed = [everywhere(call, dict.fromkeys(edges_of(call), "async")) for call in requests]
    assert score_of(EVERYONE + freed) == 0


def test_one_shared_database_alone_is_no_monolith() -> None:
    """An async system stays under 10 when all its services write to one database."""
    requests = [Call(name, (Call(other, mode="async", database="shop"),)) for name in "abc" for other in "abc"]
    index = index_of(requests * 5)
    assert index.score == pytest.approx(100 * WEIGHTS["shared-database"])
    assert index.grade == "loose"


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 20])
def test_a_ring_is_one_monolith(count: int) -> None:
    """Of a chain in which every service needs every other, each with a database of its own."""
    names = [f"s{number}" for number in range(count)]
    index = index_of([chain(*names, names[0])] * ENOUGH_TRACES)
    assert index.score is not None
    assert index.score > 90
    assert index.grade == "monolith"


@settings(PATIENT, max_examples=15)
@given(REQUESTS, EDGES)
def test_an_edge_without_traffic_changes_nothing(requests: list[Call], edge: Edge) -> None:
    """Neither the score nor what is said of it."""
    subject = subject_of([*EVERYONE, chain("a", "b"), *requests])
    known = coupling_index(subject)
    node = [SERVICES.index(service) for service in edge]
    idle = subject.direct_edges.filter(pl.col("caller_type") == "service").head(1)
    idle = idle.with_columns(caller=pl.lit(edge[0]), callee=pl.lit(edge[1]), caller_node=node[0], callee_node=node[1])
    idle = conform(idle.with_columns(weight=pl.lit(0.0), calls=pl.lit(0)), EDGES_COLUMNS)
    subject.__dict__["direct_edges"] = pl.concat([subject.direct_edges, idle])
    assert coupling_index(subject) == known


def test_of_a_large_system_only_the_busiest_edges_are_tried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """And at least one."""
    requests = EVERYONE + [Call("a", (chain("b", "c"),))] * 3 + [Call("a", (Call("b"),))] * 2
    every = index_of(requests).lowers
    monkeypatch.setattr(module, "_MOST_STEPS", 1)
    (busiest,) = index_of(requests).lowers
    assert busiest.edge == "a->b"
    assert len(every) > 1
    assert busiest in every


@settings(PATIENT, max_examples=20)
@given(REQUESTS)
def test_what_lowers_it_is_the_index_of_the_changed_system(requests: list[Call]) -> None:
    """For every sync edge, and for the first together: the requests replayed with it async."""
    before = EVERYONE + requests
    index = index_of(before)
    sync = {edge for call in requests for edge in edges_of(call)}
    names = {f"{caller}->{callee}": (caller, callee) for caller, callee in sync}
    for lower in index.lowers:
        edge = names[lower.edge]
        freed = score_of(everywhere(call, {edge: "async"}) for call in before)
        assert index.score is not None
        assert lower.if_async == pytest.approx(index.score - freed, abs=1e-9)
    if index.together:
        changed = {names[edge]: "async" for edge in index.together.edges}
        assert index.together.score == pytest.approx(score_of(everywhere(call, changed) for call in before), abs=1e-9)


def test_an_edge_that_goes_away_lowers_it_as_much() -> None:
    """The index without the calls of a service that calls nobody."""
    before = EVERYONE + [Call("a", (chain("b", "c"), Call("d", mode="async")))] * 3
    index = index_of(before)
    found = {lower.edge: lower.if_removed for lower in index.lowers}
    removed = score_of(without_call(call, ("b", "c")) for call in before)
    assert index.score is not None
    assert found["b->c"] == pytest.approx(index.score - removed)
    assert list(found) == ["a->b", "b->c"]


@settings(PATIENT, max_examples=20)
@given(REQUESTS)
def test_needs_and_hops_are_those_of_the_trees(requests: list[Call]) -> None:
    """The neediest piece of work and the longest wait of each request, by walking its tree."""
    subject = subject_of(requests)
    shapes = find_shapes(subject.analysed.graph, subject.analysed.weights)
    services, depth = needs(shapes)
    found = [(int(services[shape]), int(depth[shape])) for shape in shapes.shape_of]
    assert found == [walked(call) for call in requests]


def walked(call: Call) -> tuple[int, int]:
    """The services of the neediest piece of work, and the hops of the longest wait."""
    works: list[set[str]] = []
    deepest = 0

    def walk(call: Call, work: set[str], depth: int) -> None:
        nonlocal deepest
        work.add(call.service)
        deepest = max(deepest, depth)
        for below in call.calls:
            if below.mode == "async":
                works.append(set())
                walk(below, works[-1], 0)
            else:
                walk(below, work, depth + (below.service != call.service))

    works.append(set())
    walk(call, works[0], 0)
    return max(map(len, works)), deepest


def test_a_call_after_the_answer_is_not_waited_for() -> None:
    """Nor is a call whose answer begins when the caller has gone on."""
    late = Call("a", (Call("b", (Call("c"),), mode="late"), Call("d")))
    spans = [Span(1, 1, None, 0, SERVER, 0, 10), Span(1, 2, 1, 0, CLIENT, 1, 2), Span(1, 3, 2, 1, SERVER, 5, 2)]
    forest = forest_of(spans)
    weights = np.ones(1)
    subject = subject_of([late])
    assert [list(found) for found in needs(subject.shapes)] == [[2], [1]]
    assert [list(found) for found in needs(find_shapes(find_calls(forest, empty(LINKS), weights), weights))] == [
        [1],
        [0],
    ]


@settings(PATIENT, max_examples=20)
@given(REQUESTS)
def test_shapes_are_the_distinct_trees_of_who_waits_for_whom(requests: list[Call]) -> None:
    """However often a service calls another one, and in whatever order."""
    shapes = subject_of(requests).shapes
    expected = [frozenset(works(replace(call, mode="async"))) for call in requests]
    first = {tree: place for place, tree in reversed(list(enumerate(expected)))}
    found = {shape: place for place, shape in reversed(list(enumerate(shapes.shape_of.tolist())))}
    assert [found[shape] for shape in shapes.shape_of.tolist()] == [first[tree] for tree in expected]
    assert shapes.traces.sum() == shapes.weight.sum() == len(requests)


def works(call: Call) -> set[Any]:
    """The pieces of work that begin in this call and below, each as nested sets; its own is there if it is async."""
    below: set[Any] = set().union(*map(works, call.calls))
    return below | {tree(call)} if call.mode == "async" else below


def tree(call: Call) -> Any:
    """The services that wait for each other."""
    return call.service, frozenset(tree(below) for below in call.calls if below.mode == "sync")


def test_probes_are_no_requests() -> None:
    """However often somebody asks whether a service is alive: nothing waits less for that."""
    requests = [chain("a", "b", "c", "d")] * 3
    probes = [Call(service, operation=name) for service in "abcd" for name in ("GET /healthz", "/grpc.health.v1.H/C")]
    assert score_of(requests + probes * 10) == score_of(requests)


def test_a_user_may_be_called_health() -> None:
    """Operations with such words further on are requests."""
    names = ("GET /orders/ready", "GET /health-insurance/7", "GET /shipping", "op")
    subject = subject_of(Call("a", operation=name) for name in names)
    assert len(find_shapes(subject.analysed.graph, subject.analysed.weights).shape_of) == 4
    assert find_shapes(subject.analysed.graph, subject.analysed.weights).traces.sum() == 4


@pytest.mark.parametrize("requests", [[], [Call("a")], [Call("a", operation="GET /healthz")]])
def test_without_two_services_there_is_nothing_to_couple(requests: list[Call]) -> None:
    """No score, and it says what is missing."""
    described = index_of(requests).describe()
    assert described["score"] is None
    assert described["grade"] == "unknown"
    assert described["missing"]


def test_few_traces_have_a_score_and_no_grade() -> None:
    """A score of a handful of traces is nothing to rely on."""
    few, enough = (index_of([chain("a", "b", "c")] * count) for count in (ENOUGH_TRACES - 1, ENOUGH_TRACES))
    assert few.score == enough.score
    assert (few.grade, few.missing) == ("unknown", f"{ENOUGH_TRACES} traces, there are {ENOUGH_TRACES - 1}")
    assert (enough.grade, enough.missing) == ("tight", None)


@settings(PATIENT, max_examples=15)
@given(REQUESTS)
def test_the_object_adds_up_and_is_finite(requests: list[Call]) -> None:
    """Weights to 1, contributions to the score, values from 0 to 1, with a sentence each."""
    described = index_of(EVERYONE + requests).describe()
    components = described["components"]
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert [list(part) for part in components] == [["name", "value", "weight", "contribution", "explanation"]] * 6
    assert sum(part["weight"] for part in components) == pytest.approx(1)
    assert sum(part["contribution"] for part in components) == pytest.approx(described["score"])
    assert all(0 <= part["value"] <= 1 and part["explanation"] for part in components)
    assert 0 <= described["score"] <= 100


def test_grades_have_no_gap() -> None:
    """Each grade begins where it says."""
    assert [grade(least) for least, _ in GRADES] == [name for _, name in GRADES]
    assert grade(math.nextafter(25, 0)) == "loose"


@pytest.mark.parametrize(("state", "low", "high"), [("monolith", 70, 100), ("decoupled", 0, 25), ("incident", 70, 100)])
def test_the_sample_shop(state: str, low: int, high: int) -> None:
    """The monolith is one, and the decoupled shop is not."""
    score = coupling_index(shop(state)).score
    assert score is not None
    assert low < score < high
