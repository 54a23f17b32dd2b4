"""``cycle``: services that call each other in a circle, and requests that come back to a service that waits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.coupling import reach, service_graph
from analytics.findings import Finding, Rule, unknown_finding
from analytics.rules import requisites
from analytics.rules.traces import slowest_of_shapes
from analytics.words import counted, listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analytics.arrays import Array, Rows
    from analytics.coupling import Edge, ServiceGraph
    from analytics.findings import Subject
    from analytics.shapes import Visits

NAME = "cycle"
_PRIME = np.uint64(1_099_511_628_211)
"""FNV's prime: paths are told apart by a number of 64 bits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``calls`` are those an edge needs to count, ``critical_services`` those in a circle, ``traces`` all there are.

    ``re_entries`` are traces that come back the same way.
    """

    calls: int = 5
    critical_services: int = 4
    re_entries: int = 5
    traces: int = 30


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each circle of sync edges, the largest first, and for each way back to a waiting service."""
    graph = service_graph(subject)
    edges = [edge for edge in graph.sync if graph.sync[edge] >= limits.calls]
    circles = [_circle(subject, graph, group, edges, limits) for group in reach(graph.names, edges).cycles]
    found = circles + _re_entries(subject, limits)
    traces = int(subject.shapes.traces.sum())
    if not found and traces < limits.traces and len(graph) > 1:
        missing = f"{counted(traces, 'trace')} of {limits.traces}: a circle may not have shown yet"
        return [unknown_finding(NAME, missing, traces=traces, traces_limit=limits.traces)]
    return found


def _circle(subject: Subject, graph: ServiceGraph, group: frozenset[int], edges: list[Edge], limits: Limits) -> Finding:
    inside = sorted(edge for edge in edges if set(edge) <= group)
    names = [graph.names[node] for node in sorted(group)]
    cut, left = best_cut(group, inside, graph)
    calls = sum(graph.sync[edge] for edge in inside)
    return Finding(
        NAME,
        "critical" if len(group) >= limits.critical_services else "warning",
        score=len(group) / len(graph),
        title=f"{listed(names)} call each other in a circle",
        services=tuple(names),
        edges=tuple(map(graph.name, inside)),
        evidence={
            "re_entry": False,
            "services": len(group),
            "critical_services_limit": limits.critical_services,
            "edges": len(inside),
            "calls": calls,
            "cut_calls": graph.sync[cut],
            "services_left": left,
            "edge_calls_limit": limits.calls,
        },
        trace_ids=slowest_of_shapes(subject, _most_edges(subject, inside)),
        advice=(
            f"Turn {graph.name(cut)} around ({percent(graph.sync[cut] / calls)} of the calls inside the circle): let "
            f"{graph.names[cut[0]]} get what it asks {graph.names[cut[1]]} for along with the request, or by an event. "
            f"{_remainder(left)}"
        ),
    )


def _remainder(left: int) -> str:
    return f"That leaves a circle of {left}." if left > 1 else "That opens the circle."


def best_cut(group: frozenset[int], inside: list[Edge], graph: ServiceGraph) -> tuple[Edge, int]:
    """Return the edge without which the largest circle left is smallest, of several the one with fewest calls.

    An edge whose caller reaches its callee on another way, too, opens nothing.
    """
    sizes = dict.fromkeys(inside, len(group))
    for edge in _only_ways(inside):
        sizes[edge] = _largest(group, [other for other in inside if other != edge])
    cut = min(inside, key=lambda edge: (sizes[edge], graph.sync[edge], edge))
    return cut, sizes[cut]


def _only_ways(edges: list[Edge]) -> Iterator[Edge]:
    """Return the edges between two that no other way leads along; sets of nodes are the bits of a number."""
    callees: dict[int, int] = {}
    for caller, callee in edges:
        callees[caller] = callees.get(caller, 0) | 1 << callee
    for caller, callee in edges:
        seen, new = 1 << caller, callees[caller] & ~(1 << callee)
        while new and not new >> callee & 1:
            seen |= new
            node = new & -new
            new = (new ^ node) | callees.get(node.bit_length() - 1, 0) & ~seen
        if not new:
            yield caller, callee


def _largest(group: frozenset[int], edges: list[Edge]) -> int:
    return max(map(len, reach(group, edges).cycles), default=1)


def _most_edges(subject: Subject, edges: list[Edge]) -> Array:
    """Return the shape that waits along most of these edges."""
    visits, services = subject.shapes.visits, subject.shapes.services
    wanted = [caller * services + callee for caller, callee in edges]
    key = visits.caller.astype(np.int64) * services + visits.service
    on = np.flatnonzero(np.isin(key, wanted) & (visits.up >= 0))
    pairs = pl.DataFrame({"shape": visits.shape[on], "key": key[on]}).unique().group_by("shape").len()
    return pairs.filter(pl.col("len") == pl.col("len").max())["shape"].to_numpy()


def _re_entries(subject: Subject, limits: Limits) -> list[Finding]:
    shapes = subject.shapes
    back, way = find_re_entries(shapes.visits)
    pairs = pl.DataFrame({"way": way, "row": back, "shape": shapes.visits.shape[back]})
    pairs = pairs.with_columns(weight=pl.Series(shapes.weight[pairs["shape"].to_numpy()], dtype=pl.Float64))
    pairs = pairs.with_columns(traces=pl.Series(shapes.traces[pairs["shape"].to_numpy()], dtype=pl.Int64))
    grouped = pairs.unique(["way", "shape"], keep="first", maintain_order=True).group_by("way", maintain_order=True)
    ways = grouped.agg(pl.col("row").first(), pl.col("weight", "traces").sum(), pl.col("shape"))
    seen = ways.filter(pl.col("traces") >= limits.re_entries).sort("weight", "row", descending=[True, False])
    return [_re_entry(subject, limits, *row) for row in seen.select("row", "weight", "traces", "shape").iter_rows()]


def find_re_entries(visits: Visits) -> tuple[Rows, Array]:
    """Return the stays whose service waits for them behind another one, and a number for the way back to it.

    The nearest stay of the service counts. Each round is one hop.
    """
    active = np.flatnonzero(visits.up >= 0).astype(np.int32)
    above = visits.up[active]
    hashed = visits.service[active].astype(np.uint64) + np.uint64(1)
    left = np.zeros(len(active), np.bool_)
    found: list[tuple[Rows, Array]] = [(np.empty(0, np.int32), np.empty(0, np.uint64))]
    while active.size:
        same = visits.service[above] == visits.service[active]
        hashed = hashed * _PRIME + visits.service[above].astype(np.uint64) + np.uint64(1)
        found.append((active[same & left], hashed[same & left]))
        going = ~same & (visits.up[above] >= 0)
        active, hashed, above, left = (
            active[going],
            hashed[going],
            visits.up[above[going]],
            np.ones(going.sum(), np.bool_),
        )
    rows, ways = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows, ways


def _re_entry(subject: Subject, limits: Limits, row: int, weight: float, traces: int, shapes: list[int]) -> Finding:
    path = _path(subject, row)
    share = weight / float(subject.shapes.weight.sum())
    home, last = path[0], path[-2]
    return Finding(
        NAME,
        "warning",
        score=share,
        title=f"{percent(share)} of requests come back to {home} while it waits: {' -> '.join(path)}",
        services=tuple(dict.fromkeys(path)),
        edges=tuple(dict.fromkeys(f"{caller}->{callee}" for caller, callee in pairwise(path))),
        evidence={
            "re_entry": True,
            "hops": len(path) - 1,
            "requests_share": share,
            "traces": traces,
            "traces_limit": limits.re_entries,
        },
        trace_ids=slowest_of_shapes(subject, np.asarray(shapes)),
        advice=(
            f"Let {home} send along what {last} asks it for, so that {last}->{home} is not needed. Until then {home} "
            f"needs more workers than it has requests under way: when all of them wait, none is left to answer {last}, "
            "and all stand still."
        ),
    )


def _path(subject: Subject, row: int) -> list[str]:
    """Return the services from the one that waits to the stay at this row, which is of the same."""
    visits, names = subject.shapes.visits, subject.analysed.graph.nodes["name"]
    home, path = visits.service[row], [int(visits.service[row])]
    row = int(visits.up[row])
    while visits.service[row] != home:
        path.append(int(visits.service[row]))
        row = int(visits.up[row])
    return [names[node] for node in (int(home), *reversed(path))]


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.calls))
