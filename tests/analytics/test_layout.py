"""The map's places: callers left of callees, nobody on top of anybody, the same whatever the order of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from analytics.layout import layered_layout

if TYPE_CHECKING:
    import random

NAMES = [f"s{number}" for number in range(8)]
EDGES = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([*NAMES, "elsewhere"])), max_size=20)


@given(EDGES, st.randoms(use_true_random=False))
def test_every_node_has_a_place_of_its_own(edges: list[tuple[str, str]], rng: random.Random) -> None:
    """Cycles, calls of oneself and ends that are no nodes included; shuffling changes nothing."""
    places = layered_layout(NAMES, edges)
    assert sorted(places) == sorted(NAMES)
    assert len(set(places.values())) == len(NAMES)
    nodes, shuffled = list(NAMES), list(edges)
    rng.shuffle(nodes)
    rng.shuffle(shuffled)
    assert layered_layout(nodes, shuffled) == places


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_without_a_cycle_all_edges_lead_right(pairs: list[tuple[int, int]]) -> None:
    """Each callee is at least one layer after each of its callers."""
    edges = [(NAMES[min(pair)], NAMES[max(pair)]) for pair in pairs if pair[0] != pair[1]]
    places = layered_layout(NAMES, edges)
    assert all(places[caller][0] < places[callee][0] for caller, callee in edges)


def test_lines_across_a_layer_have_room() -> None:
    """What lies between the ends of a long line is moved aside, also for ten lines to one database."""
    chain = [(NAMES[i], NAMES[i + 1]) for i in range(7)]
    places = layered_layout(NAMES, [*chain, (NAMES[0], NAMES[7])])
    assert places[NAMES[0]][1] == places[NAMES[7]][1] == 0
    assert all(places[name][1] != 0 for name in NAMES[1:7])


def test_nothing_has_no_places() -> None:
    """An empty map is no error."""
    assert layered_layout([], []) == {}
