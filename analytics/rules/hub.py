"""``hub``: a service that many call and that calls many, so that most changes and failures pass through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.coupling import service_graph
from analytics.findings import Finding, Rule, unknown_finding
from analytics.rules import requisites
from analytics.rules.traces import slowest_of_shapes
from analytics.words import listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analytics.coupling import Edge, ServiceGraph
    from analytics.findings import Subject

NAME = "hub"


@dataclass(frozen=True, slots=True)
class Limits:
    """``outlier`` is Tukey's factor of the interquartile range; ``fan_in`` and ``fan_out`` are other services.

    With fewer than ``services`` a quartile is one service's figure.
    """

    outlier: float = 1.5
    fan_in: int = 3
    fan_out: int = 3
    services: int = 5


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each service whose callers times callees stand out among all services, the worst first."""
    graph = service_graph(subject)
    edges = graph.sync.keys() | graph.asynchronous.keys()
    callers, callees = ({node: _ends(edges, node, side) for node in graph.names} for side in (1, 0))
    busy = [n for n in graph.names if len(callers[n]) >= limits.fan_in and len(callees[n]) >= limits.fan_out]
    if not busy:
        return []
    if len(graph) < limits.services:
        missing = f"{len(graph)} of {limits.services} services to compare with"
        return [unknown_finding(NAME, missing, services=len(graph), services_limit=limits.services)]
    product = {node: len(callers[node]) * len(callees[node]) for node in graph.names}
    low, high = np.quantile(list(product.values()), (0.25, 0.75))
    limit = float(high + limits.outlier * (high - low))
    found = sorted((node for node in busy if product[node] > limit), key=lambda node: (-product[node], node))
    return [_finding(subject, graph, node, (callers[node], callees[node]), limit, limits) for node in found]


def _ends(edges: Iterable[Edge], node: int, side: int) -> list[int]:
    return sorted(edge[1 - side] for edge in edges if edge[side] == node)


def _finding(
    subject: Subject, graph: ServiceGraph, node: int, ends: tuple[list[int], list[int]], limit: float, limits: Limits
) -> Finding:
    callers, callees = ends
    name, product = graph.names[node], len(callers) * len(callees)
    stats = subject.analysed.nodes.filter(pl.col("node") == node)
    visits = subject.shapes.visits
    return Finding(
        NAME,
        "warning",
        score=1 - limit / product,
        title=f"{name} stands between {len(callers)} callers and {len(callees)} services that it calls",
        services=(name,),
        edges=tuple([graph.name((caller, node)) for caller in callers] + [graph.name((node, to)) for to in callees]),
        evidence={
            "fan_in": len(callers),
            "fan_in_limit": limits.fan_in,
            "fan_out": len(callees),
            "fan_out_limit": limits.fan_out,
            "product": product,
            "product_limit": limit,
            "instability": len(callees) / (len(callers) + len(callees)),
            "blast_radius": stats["blast_radius"].item() if stats.height else None,
            "services": len(graph),
        },
        trace_ids=slowest_of_shapes(subject, visits.shape[visits.service == node]),
        advice=_advice(graph, node, callers, callees),
    )


def _advice(graph: ServiceGraph, node: int, callers: list[int], callees: list[int]) -> str:
    """Name the callees that few calls go to: they are what callers could ask themselves."""
    name = graph.names[node]
    calls = {to: graph.sync.get((node, to), 0.0) + graph.asynchronous.get((node, to), 0.0) for to in callees}
    least = sorted(callees, key=lambda to: (calls[to], to))[: max(len(callees) // 2, 1)]
    share = sum(calls[to] for to in least) / max(sum(calls.values()), 1e-9)
    return (
        f"Split {name} by what its callers want: start with the part that calls "
        f"{listed([graph.names[to] for to in least])} ({percent(share)} of its calls), and let "
        f"{listed([graph.names[caller] for caller in callers], most=4)} reach that part without {name}, or tell "
        f"{name} of it by events."
    )


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.calls))
