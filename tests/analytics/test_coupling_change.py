"""What came and what went between two sides, and how sure that is."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from analytics.coupling_change import Coupling, coupling_changes, find_cycles
from analytics.coupling_text import print_coupling

NAMES = "abcdef"
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(("sync", "async"))))


def edge(
    caller: str, callee: str, mode: str = "sync", calls: int = 100, callee_type: str = "service"
) -> dict[str, Any]:
    """What a comparison reads of an edge."""
    return {"caller": caller, "callee": callee, "callee_type": callee_type, "mode": mode, "calls": calls}


def finding(
    rule: str, *services: str, status: str = "found", edges: tuple[str, ...] = (), **evidence: Any
) -> dict[str, Any]:
    """What a comparison reads of a finding."""
    found = {"rule": rule, "status": status, "severity": "warning", "title": f"A {rule}", "evidence": evidence}
    return found | {"services": list(services), "edges": list(edges)}


def printed(coupling: dict[str, Any]) -> list[str]:
    """What a terminal shows."""
    file = io.StringIO()
    print_coupling(coupling, Console(file=file, width=100))
    return [line.rstrip() for line in file.getvalue().splitlines()]


BEFORE = Coupling(
    score=40.0,
    traces=1000,
    edges=[edge("user", "a"), edge("a", "b"), edge("b", "c"), edge("c", "b"), edge("a", "d", calls=30), edge("a", "e")],
    findings=[finding("hub", "a"), finding("cycle", "b", "c"), finding("queueing", status="unknown")],
)
AFTER = Coupling(
    score=55.5,
    traces=100,
    edges=[edge("user", "b"), edge("a", "b"), edge("b", "c"), edge("c", "b"), edge("c", "a"), edge("a", "e", "async")],
    findings=[finding("cycle", "c", "b", edges=("b->c",)), finding("cycle", "a", "b"), finding("queueing", "a")],
)


def test_what_came_and_went() -> None:
    """Users are no edge of the system; a mode is part of an edge; a rule that was blind before proves nothing new."""
    assert coupling_changes(BEFORE, AFTER) == {
        "index_before": 40.0,
        "index_after": 55.5,
        "missing_before": None,
        "missing_after": None,
        "new_edges": [
            {"caller": "a", "callee": "e", "mode": "async", "calls": 100, "certain": True},
            {"caller": "c", "callee": "a", "mode": "sync", "calls": 100, "certain": True},
        ],
        "gone_edges": [
            {"caller": "a", "callee": "e", "mode": "sync", "calls": 100, "certain": True},
            {"caller": "a", "callee": "d", "mode": "sync", "calls": 30, "certain": False},
        ],
        "new_cycles": [["a", "b", "c"]],
        "new_findings": [
            finding("cycle", "a", "b") | {"certain": True},
            finding("queueing", "a") | {"certain": False},
        ],
        "gone_findings": [finding("hub", "a") | {"certain": True}],
        "changed_findings": [],
    }


def test_the_change_in_words() -> None:
    """What is new first; doubts are told."""
    doubt = "  (or too little data on the other side)"
    assert printed(coupling_changes(BEFORE, AFTER)) == [
        "",
        "Coupling: index 40 -> 55.5 (+15.5)",
        "new cycle     a, b, c",
        "new edge      a -> e, async, 100 calls",
        "new edge      c -> a, sync, 100 calls",
        "new finding   warning: A cycle (cycle)",
        f"new finding   warning: A queueing (queueing){doubt}",
        "gone edge     a -> e, sync, 100 calls",
        f"gone edge     a -> d, sync, 30 calls{doubt}",
        "gone finding  warning: A hub (hub)",
    ]


def test_a_chain_that_ends_elsewhere_is_the_same_finding() -> None:
    """Of one rule, about one endpoint or mostly the same services: it neither came nor went. Each is told once."""
    chain = finding("sync-chain", *"abcd", endpoint="a GET /") | {"severity": "info", "title": "A B C D"}
    longer = finding("sync-chain", *"abce", endpoint="a GET /")
    elsewhere = finding("sync-chain", *"axyz", endpoint="a GET /")
    half, other = finding("retry-storm", "a", "b"), finding("retry-storm", "c", "d")
    before, after = (
        Coupling(None, 99, [], findings)
        for findings in ([chain, half], [elsewhere, longer, other, finding("hub", *"abcd")])
    )
    changes = coupling_changes(before, after)
    assert [(pair["before"]["services"], pair["after"]["services"]) for pair in changes["changed_findings"]] == [
        (list("abcd"), list("abce"))
    ]
    assert [row["services"] for row in changes["new_findings"]] == [list("axyz"), ["c", "d"], list("abcd")]
    assert [row["services"] for row in changes["gone_findings"]] == [["a", "b"]]
    assert "changed       warning: A sync-chain (sync-chain); before: info: A B C D" in printed(changes)
    apart = coupling_changes(
        Coupling(None, 99, [], [finding("chatty-call", "a", "b")]),
        Coupling(None, 99, [], [finding("chatty-call", "b")]),
    )
    assert apart["changed_findings"] == []
    alone = coupling_changes(Coupling(None, 99, [], [chain]), Coupling(None, 99, [], [elsewhere]))
    assert (len(alone["changed_findings"]), alone["new_findings"], alone["gone_findings"]) == (1, [], [])


def test_an_index_of_few_traces_is_told_as_such() -> None:
    """With what it lacks, and a difference of what is shown."""
    few = Coupling(83.54, 28, [], [], "30 traces, there are 28")
    changes = coupling_changes(few, Coupling(80.36, 68, [], []))
    assert printed(changes)[1] == (
        "Coupling: index 83.5 -> 80.4 (-3.1); before not certain: it takes 30 traces, there are 28"
    )


def test_the_same_twice_is_no_change() -> None:
    """Nor is nothing at all."""
    for side in (BEFORE, Coupling(None, 0, [], [])):
        changes = coupling_changes(side, side)
        assert [name for name, value in changes.items() if value and not name.startswith("index")] == []
        assert printed(changes)[2:] == ["No edge, cycle or finding came or went."]


def test_a_smaller_cycle_is_not_new() -> None:
    """One service fewer in a circle is no news."""
    circle = [edge("a", "b"), edge("b", "c"), edge("c", "a"), edge("b", "a")]
    before, after = Coupling(None, 9, circle, []), Coupling(None, 9, [circle[0], circle[3]], [])
    assert coupling_changes(before, after)["new_cycles"] == []
    assert coupling_changes(after, before)["new_cycles"] == [["a", "b", "c"]]


@given(PAIRS)
def test_cycles_are_who_reaches_each_other(pairs: list[tuple[str, str, str]]) -> None:
    """Against walking along the calls: two services are in one cycle when each reaches the other."""
    calls = {(caller, callee) for caller, callee, mode in pairs if mode == "sync"}

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            name = waiting.pop()
            further = {callee for caller, callee in calls if caller == name} - found
            found |= further
            waiting += further
        return found

    circles = {tuple(sorted({name, *(b for b in reached(name) if name in reached(b))})) for name in NAMES}
    expected = sorted((circle for circle in circles if len(circle) > 1), key=lambda circle: (-len(circle), circle))
    assert find_cycles([edge(*pair) for pair in pairs]) == expected
