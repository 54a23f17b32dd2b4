"""How the coupling changed between two sets of traces: edges, cycles and findings that came or went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analytics.arrays import Flags

_TELLING_CALLS = 5
"""Calls to be expected for their absence to tell something: e^-5, so chance alone has it less than once in 100."""

_MOSTLY = 0.5
"""Share of the services of two findings of a rule that both are about, beyond which one has become the other."""

_USER = "user"


@dataclass(frozen=True, slots=True)
class Coupling:
    """One side: the score of its index or None, its traces, and edges and findings as the report has them.

    ``missing`` says what the score lacks to be certain, None for nothing.
    """

    score: float | None
    traces: int
    edges: Sequence[dict[str, Any]]
    findings: Sequence[dict[str, Any]]
    missing: str | None = None


def coupling_changes(before: Coupling, after: Coupling) -> dict[str, Any]:
    """Return the ``coupling`` object of a comparison.

    Edges are ``{caller, callee, mode, calls, certain}``, ``certain`` false when the side that lacks them has so few
    traces that this may be chance. An edge that became asynchronous went and came. New cycles are lists of services
    that no cycle joined before. Findings are the report's, ``certain`` false when the other side had too little data
    for their rule. ``changed_findings`` are ``{before, after}``: of one rule, and about the same endpoint or mostly the
    same services, so that they neither came nor went.
    """
    new, gone, changed = _paired(_findings_without(after, before), _findings_without(before, after))
    return {
        "index_before": before.score,
        "index_after": after.score,
        "missing_before": before.missing,
        "missing_after": after.missing,
        "new_edges": _edges_without(after, before),
        "gone_edges": _edges_without(before, after),
        "new_cycles": _new_cycles(before.edges, after.edges),
        "new_findings": new,
        "gone_findings": gone,
        "changed_findings": changed,
    }


def find_cycles(edges: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return the sets of services that reach each other by synchronous calls, each sorted, the largest first."""
    pairs = [
        (edge["caller"], edge["callee"])
        for edge in edges
        if edge["mode"] == "sync" and edge["callee_type"] == "service" and edge["caller"] not in (_USER, edge["callee"])
    ]
    names = sorted({name for pair in pairs for name in pair})
    number = {name: place for place, name in enumerate(names)}
    calls = np.eye(len(names), dtype=np.bool_)
    for caller, callee in pairs:
        calls[number[caller], number[callee]] = True
    reached = _closure(calls)
    circles = {tuple(np.flatnonzero(row)) for row in reached & reached.T}
    found = [tuple(names[place] for place in circle) for circle in circles if len(circle) > 1]
    return sorted(found, key=lambda circle: (-len(circle), circle))


def _closure(reached: Flags) -> Flags:
    """Who reaches whom, by squaring until nothing is added."""
    while True:
        further = (reached.astype(np.float32) @ reached.astype(np.float32)) > 0
        if np.array_equal(further, reached):
            return reached
        reached = further


def _edges_without(side: Coupling, other: Coupling) -> list[dict[str, Any]]:
    there = {_edge_key(edge) for edge in other.edges}
    share = other.traces / side.traces if side.traces else 0.0
    return [
        {name: edge[name] for name in ("caller", "callee", "mode", "calls")}
        | {"certain": bool(edge["calls"] * share >= _TELLING_CALLS)}
        for edge in sorted(side.edges, key=lambda edge: (-edge["calls"], _edge_key(edge)))
        if edge["caller"] != _USER and _edge_key(edge) not in there
    ]


def _edge_key(edge: dict[str, Any]) -> tuple[str, str, str]:
    return edge["caller"], edge["callee"], edge["mode"]


def _new_cycles(before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> list[list[str]]:
    old = [set(circle) for circle in find_cycles(before)]
    return [list(circle) for circle in find_cycles(after) if not any(set(circle) <= known for known in old)]


def _findings_without(side: Coupling, other: Coupling) -> list[dict[str, Any]]:
    there = {_finding_key(finding) for finding in other.findings if finding["status"] != "unknown"}
    blind = {finding["rule"] for finding in other.findings if finding["status"] == "unknown"}
    return [
        finding | {"certain": finding["rule"] not in blind}
        for finding in side.findings
        if finding["status"] != "unknown" and _finding_key(finding) not in there
    ]


def _finding_key(finding: dict[str, Any]) -> tuple[str, frozenset[str]]:
    """A rule and its services: which edges a finding names may change with the traffic."""
    return finding["rule"], frozenset(finding["services"])


def _paired(
    new: Sequence[dict[str, Any]], gone: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what is new, what is gone, and what has become something else: those that are most alike first."""
    alike = [
        (likeness, one, other)
        for one, after in enumerate(new)
        for other, before in enumerate(gone)
        if (likeness := _likeness(before, after)) > _MOSTLY
    ]
    pairs: dict[int, int] = {}
    for _, one, other in sorted(alike, key=lambda found: (-found[0], *found[1:])):
        if one not in pairs and other not in pairs.values():
            pairs[one] = other
    return (
        [finding for at, finding in enumerate(new) if at not in pairs],
        [finding for at, finding in enumerate(gone) if at not in pairs.values()],
        [{"before": gone[pairs[one]], "after": new[one]} for one in sorted(pairs)],
    )


def _likeness(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Return 0 for findings of different rules, more than 1 for those of one endpoint, else the services in common."""
    if before["rule"] != after["rule"]:
        return 0.0
    services, others = (set(finding["services"]) for finding in (before, after))
    common = len(services & others) / max(len(services | others), 1)
    endpoint = before["evidence"].get("endpoint")
    return common + (endpoint is not None and endpoint == after["evidence"].get("endpoint"))
