"""Services that belong together stand side by side."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from analytics.communities import matrix_order, service_calls

NAMES = st.sampled_from("abcdefgh")


@given(st.dictionaries(st.tuples(NAMES, NAMES), st.integers(1, 1000), max_size=30), st.randoms(use_true_random=False))
def test_each_service_has_one_place_whatever_the_order(calls: dict[tuple[str, str], int], random: Any) -> None:
    """Also without calls, with calls to itself and with circles."""
    names = list("abcdefgh")
    expected = matrix_order(names, calls)
    assert sorted(name for members in expected for name in members) == names
    random.shuffle(names)
    shuffled = list(calls.items())
    random.shuffle(shuffled)
    assert matrix_order(names, dict(shuffled)) == expected


def test_callers_come_first() -> None:
    """Among the communities and within them, so that calls stand above the diagonal."""
    calls = {("web", "cart"): 90, ("cart", "stock"): 80, ("mail", "sms"): 70, ("stock", "mail"): 1, ("x", "web"): 5}
    assert matrix_order(["sms", "mail", "stock", "cart", "web"], calls) == [["web", "cart", "stock"], ["mail", "sms"]]


def edge(caller: str, callee: str, mode: str, calls: int) -> dict[str, Any]:
    """An edge of a report."""
    return {"caller": caller, "callee": callee, "mode": mode, "calls": calls, "protocol": "x"}


def test_messages_go_through_queues() -> None:
    """From each sender to each that takes them; databases, users and calls to itself are none of services' calls."""
    types = {"user": "user", "a": "service", "b": "service", "c": "service", "q": "queue", "db": "database"}
    edges = [
        edge("user", "a", "sync", 9),
        edge("a", "a", "sync", 9),
        edge("a", "b", "sync", 5),
        edge("b", "db", "sync", 5),
        edge("a", "q", "async", 7),
        edge("b", "q", "async", 2),
        edge("q", "b", "async", 8),
        edge("q", "c", "async", 0),
    ]
    assert service_calls([{"name": name, "type": kind} for name, kind in types.items()], edges) == [
        {"caller": "a", "callee": "b", "mode": "sync", "calls": 5, "via": None},
        {"caller": "a", "callee": "b", "mode": "async", "calls": 8, "via": "q"},
    ]
