"""Changes are named so that they can be chosen and linked to."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard.what_if import possible_changes, remedy, simulate_options

SERVICES = [{"name": "a", "type": "service"}, {"name": "db", "type": "database"}, {"name": "user", "type": "user"}]
EDGES = [
    {"caller": "user", "callee": "a", "mode": "sync"},
    {"caller": "a", "callee": "db", "mode": "sync"},
    {"caller": "a", "callee": "q", "mode": "async"},
]


def test_what_can_change() -> None:
    """Whatever is called, and calls that are waited for, but for those of users."""
    assert possible_changes(SERVICES, EDGES) == {
        "a is slower": ("slow", "a"),
        "db is slower": ("slow", "db"),
        "a fails": ("fail", "a"),
        "db fails": ("fail", "db"),
        "a->db becomes a message": ("async", "a->db"),
        "a->db gets a circuit breaker": ("breaker", "a->db"),
    }


def test_options_are_the_command_s() -> None:
    """Each with all its values."""
    changes = [("slow", "a"), ("fail", "db"), ("slow", "db"), ("async", "a->db")]
    assert simulate_options(changes, 200, 0.5) == {
        "slow": ["a=+200ms", "db=+200ms"],
        "fail": ["db=0.5"],
        "async": ["a->db"],
    }


def finding(rule: str, *edges: str, services: tuple[str, ...] = ()) -> dict[str, Any]:
    """A finding as far as its remedy goes."""
    return {"rule": rule, "edges": list(edges), "services": list(services)}


@pytest.mark.parametrize(
    ("found", "change"),
    [
        (finding("async-candidate", "a->b"), "a->b becomes a message"),
        (finding("cycle", "a->b", "b->c", "c->a"), "b->c becomes a message"),
        (finding("sync-chain", "x->y", "y->z"), "y->z becomes a message"),
        (finding("missing-circuit-breaker", "a->b"), "a->b gets a circuit breaker"),
        (finding("shared-fate", "a->b"), "b fails"),
        (finding("saturated-resource", services=("a",)), "a is slower"),
        (finding("shared-fate"), None),
        (finding("shared-database", "a->db"), None),
    ],
)
def test_what_would_mend_a_finding(found: dict[str, Any], change: str | None) -> None:
    """Of a cycle, the call that lowers the index most; a change of calls mends not everything."""
    mended = remedy(found, [{"edge": "z->z"}, {"edge": "b->c"}, {"edge": "a->b"}])
    assert (mended and mended.change) == change
