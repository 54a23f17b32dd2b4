"""Circles of services and requests that come back are found, told apart, and not made up from replies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.coupling import ServiceGraph, reach
from analytics.rules.cycle import RULE, Limits, best_cut, find_re_entries
from analytics.shapes import Visits
from tests.analytics.call_trees import Call, chain, subject_of
from tests.analytics.frames import PATIENT
from tests.analytics.planted import SEEDS, clean_requests, found, mixed
from tests.analytics.shop import shop, truth

CIRCLE = [chain("ring1", "ring2"), chain("ring2", "ring3"), chain("ring3", "ring1")]
"""A circle that no request goes all around."""
BACK = chain("home", "away", "further", "home")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_circle_is_found(seed: int) -> None:
    """And no request comes back."""
    (finding,) = found(RULE, subject_of(mixed(seed, *CIRCLE * 10)))
    assert finding.services == ("ring1", "ring2", "ring3")
    assert finding.edges == ("ring1->ring2", "ring2->ring3", "ring3->ring1")
    assert finding.evidence["re_entry"] is False
    assert finding.evidence["services_left"] == 1
    assert finding.trace_ids


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_re_entry_is_found(seed: int) -> None:
    """A request that comes back goes around a circle, which is told of apart."""
    circle, back = found(RULE, subject_of(mixed(seed, *[BACK] * 10)))
    assert (circle.evidence["re_entry"], back.evidence["re_entry"]) == (False, True)
    assert circle.services == ("away", "further", "home")
    assert back.services == ("home", "away", "further")
    assert back.edges == ("home->away", "away->further", "further->home")
    assert (back.evidence["hops"], back.evidence["traces"]) == (3, 10)
    assert "home -> away -> further -> home" in back.title


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """Services that tell each other by messages are no circle."""
    assert not found(RULE, subject_of(clean_requests(seed)))


@pytest.mark.parametrize("answer", ["home", "away"])
def test_a_reply_by_message_is_no_circle(answer: str) -> None:
    """Whether the question or the answer is the message: nobody waits for himself."""
    question = Call("home", (Call("away", (Call("home", mode="async"),)),))
    order = Call("home", (Call("away", (Call("home"),), mode="async"),))
    assert RULE.find(subject_of([question if answer == "home" else order] * 40), Limits()) == []


def test_the_order_of_calls_decides() -> None:
    """Two calls back and forth, one after the other, do not come back to anybody who waits."""
    subject = subject_of([Call("user", (chain("home", "away"), chain("away", "home")))] * 40)
    assert [finding.evidence["re_entry"] for finding in RULE.find(subject, Limits())] == [False]


def test_a_call_within_a_service_is_no_circle() -> None:
    """One instance that asks another."""
    assert RULE.find(subject_of([chain("home", "home", "away")] * 40), Limits()) == []


def test_an_odd_call_makes_no_circle() -> None:
    """Fewer calls than the limit."""
    subject = subject_of([chain("home", "away")] * 40 + [chain("away", "home")] * 4)
    assert RULE.find(subject, Limits()) == []
    assert len(RULE.find(subject, Limits(calls=4))) == 1


def test_an_odd_way_back_is_not_told_of() -> None:
    """Fewer traces than the limit, of a circle that is there."""
    kinds = [f.evidence["re_entry"] for f in RULE.find(subject_of([BACK] * 4 + CIRCLE[:1] * 40), Limits(calls=4))]
    assert kinds == [False]


def test_large_circles_are_critical() -> None:
    """Four services that need each other are one."""
    small, large = (subject_of([chain(*names)] * 40) for names in ("abca", "abcda"))
    assert [f.severity for f in RULE.find(small, Limits()) if not f.evidence["re_entry"]] == ["warning"]
    assert [f.severity for f in RULE.find(large, Limits()) if not f.evidence["re_entry"]] == ["critical"]


def test_the_advice_names_the_edge_that_opens_most() -> None:
    """Two circles that share an edge: both open without it."""
    requests = [chain("a", "b"), chain("b", "c"), chain("b", "d"), chain("c", "a"), chain("d", "a")] * 10
    requests += [chain("a", "b")] * 10
    (finding,) = found(RULE, subject_of(requests))
    assert "a->b" in finding.advice


def test_too_few_traces_are_unknown() -> None:
    """A circle may not have shown yet."""
    (finding,) = RULE.find(subject_of([chain("a", "b")] * 29), Limits())
    assert (finding.status, finding.evidence) == ("unknown", {"traces": 29, "traces_limit": 30})
    assert RULE.find(subject_of([chain("a", "b")] * 30), Limits()) == []


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Stays by who waits for them, each above its own, and their services."""
    count = draw(st.integers(1, 12))
    return [draw(st.integers(-1, row - 1)) for row in range(count)], [draw(st.integers(0, 3)) for _ in range(count)]


@settings(PATIENT)
@given(trees())
def test_re_entries_are_those_of_a_walk(tree: tuple[list[int], list[int]]) -> None:
    """By walking up from each stay to the nearest of its service, over another one."""
    up, service = tree
    expected = {}
    for row, home in enumerate(service):
        path, above = [home], up[row]
        while above >= 0 and service[above] != home:
            path.append(service[above])
            above = up[above]
        if above >= 0 and len(path) > 1:
            expected[row] = tuple(path)
    arrays = (np.array(values, np.int32) for values in ([0] * len(up), up, service))
    rows, ways = find_re_entries(Visits(*arrays))
    assert sorted(rows) == sorted(expected)
    assert len(set(ways.tolist())) == len(set(expected.values()))


@pytest.mark.parametrize("state", ["monolith", "incident"])
def test_the_shops_circle_and_its_way_back(state: str) -> None:
    """Exactly those that the shop is configured with."""
    findings = found(RULE, shop(state))
    circles = [set(f.services) for f in findings if not f.evidence["re_entry"]]
    backs = [(f.services[0], [*f.services, f.services[0]]) for f in findings if f.evidence["re_entry"]]
    assert circles == [set(names) for names in truth(state)["cycles"]]
    assert backs == [(entry["service"], entry["path"]) for entry in truth(state)["re_entries"]]


def test_the_decoupled_shop_has_none() -> None:
    """Although its services tell each other in circles."""
    assert truth("decoupled")["cycles"] == truth("decoupled")["re_entries"] == []
    assert RULE.find(shop("decoupled"), Limits()) == []


@PATIENT
@given(
    st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda e: e[0] != e[1]), st.integers(1, 9))
)
def test_the_cut_is_the_best_of_all(calls: dict[tuple[int, int], int]) -> None:
    """No other edge leaves a smaller circle, nor as small a one with fewer calls."""
    graph = ServiceGraph({node: f"s{node}" for node in range(7)}, calls, {})
    for group in reach(graph.names, calls).cycles:
        inside = sorted(edge for edge in calls if set(edge) <= group)
        left = {edge: max(map(len, reach(group, set(inside) - {edge}).cycles), default=1) for edge in inside}
        cut = min(inside, key=lambda edge: (left[edge], calls[edge], edge))
        assert best_cut(group, inside, graph) == (cut, left[cut])
