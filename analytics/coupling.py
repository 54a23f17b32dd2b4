"""Coupling: figures that say how much services depend on each other at the moment of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import polars as pl

from analytics.arrays import NONE
from analytics.codes import distinct_keys, sum_by
from analytics.schema import conform, empty
from analytics.service_schema import DEPTHS, HARD_NEEDS, SERIES
from analytics.shapes import Visits, hops, tops, under_edge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analytics.analysis import Analysed
    from analytics.arrays import Floats, Rows
    from analytics.findings import Subject
    from analytics.shapes import Shapes

Edge = tuple[int, int]

HARD = 0.5
"""An endpoint hardly works without what more than half of its requests wait for."""


@dataclass(frozen=True, slots=True)
class ServiceGraph:
    """Services and the calls between different ones, messages told as calls.

    ``names`` by service code, of the services that took part in anything. ``sync`` and ``asynchronous`` are weights of
    calls by caller and callee; an edge without traffic is none.
    """

    names: Mapping[int, str]
    sync: Mapping[Edge, float]
    asynchronous: Mapping[Edge, float]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, edge: Edge) -> str:
        """Return "caller->callee"."""
        return f"{self.names[edge[0]]}->{self.names[edge[1]]}"


@dataclass(frozen=True, slots=True)
class Reach:
    """What follows from who can wait for whom: ``sizes`` of what each service reaches, itself included, and cycles."""

    sizes: Mapping[int, int]
    cycles: tuple[frozenset[int], ...]


def service_graph(subject: Subject) -> ServiceGraph:
    """Return the service graph of the direct edges, calls of a service to itself left out."""
    edges = subject.direct_edges.filter(
        (pl.col("caller_type") == "service")
        & (pl.col("callee_type") == "service")
        & (pl.col("caller_node") != pl.col("callee_node"))
        & (pl.col("weight") > 0)
    )
    columns = ("caller_node", "callee_node", "weight")
    modes = {mode: edges.filter(pl.col("mode") == mode).select(columns).rows() for mode in ("sync", "async")}
    nodes = subject.analysed.nodes.filter(pl.col("type") == "service")
    named = dict(nodes.select("node", "name").rows())
    for side in ("caller", "callee"):
        named |= dict(edges.select(f"{side}_node", side).rows())
    return ServiceGraph(
        {node: named[node] for node in sorted(named)},
        *({(caller, callee): weight for caller, callee, weight in modes[mode]} for mode in ("sync", "async")),
    )


def sync_ratio(graph: ServiceGraph) -> float:
    """Return the share of the calls between services that somebody waits for, 0 without calls."""
    sync, free = sum(graph.sync.values()), sum(graph.asynchronous.values())
    return sync / (sync + free) if sync + free else 0.0


def reach(nodes: Iterable[int], edges: Iterable[Edge]) -> Reach:
    """Return how many services each one needs, directly or not, and the groups in which each needs each other."""
    network = nx.DiGraph()
    network.add_nodes_from(nodes)
    network.add_edges_from(edges)
    groups = nx.condensation(network)
    bits: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for group in reversed(list(nx.topological_sort(groups))):
        members = groups.nodes[group]["members"]
        own = sum(1 << node for node in members)
        for below in groups.successors(group):
            own |= bits[below]
        bits[group] = own
        sizes |= dict.fromkeys(members, own.bit_count())
    found = [frozenset(groups.nodes[group]["members"]) for group in groups if len(groups.nodes[group]["members"]) > 1]
    return Reach(sizes, tuple(sorted(found, key=lambda group: (-len(group), min(group)))))


def propagation_cost(found: Reach) -> float:
    """Return the share of services that a service needs, itself included: the mean of the transitive closure.

    Source: MacCormack, Rusnak, Baldwin 2006. 0 without services.
    """
    count = len(found.sizes)
    return sum(found.sizes.values()) / count**2 if count else 0.0


def needs(shapes: Shapes, cut: Sequence[Edge] = (), *, gone: bool = False) -> tuple[Rows, Rows]:
    """Return by shape how many services its neediest piece of work takes, and the hops of its longest wait.

    ``cut`` tells what they would be were these edges async, or with ``gone`` not there, nor what is called behind them.
    """
    visits = shapes.visits
    for edge in cut:
        visits = _without(visits, edge, gone=gone)
    services, depth = np.zeros((2, len(shapes)), np.int32)
    if not len(visits.up):
        return services, depth
    top = tops(visits.up)
    pairs = distinct_keys(top.astype(np.int64) * shapes.services + visits.service, len(top) * shapes.services)
    work = pairs // shapes.services
    count = np.bincount(work, minlength=len(top))
    np.maximum.at(services, visits.shape, count)
    np.maximum.at(depth, visits.shape, hops(visits.up, visits.service))
    return services, depth


def _without(visits: Visits, cut: Edge, *, gone: bool) -> Visits:
    """Return the visits with an edge cut: its callee's stays are waited for by nobody, or do not happen."""
    called, below = under_edge(visits, *cut)
    up = np.where(called, NONE, visits.up).astype(np.int32)
    if not gone:
        return Visits(visits.shape, up, visits.service)
    kept = np.flatnonzero(~below)
    place = np.full(len(up) + 1, NONE, np.int32)
    place[kept] = np.arange(len(kept))
    return Visits(visits.shape[kept], place[up[kept]], visits.service[kept])


def propagation_by_traffic(shapes: Shapes, services: Rows, count: int) -> float:
    """Return the share of ``count`` services that a request needs: how often a random service's failure reaches it."""
    return mean_over(shapes, services / count) if count else 0.0


def mean_over(shapes: Shapes, values: Floats) -> float:
    """Return the mean of a value of each shape over all requests, 0 without any."""
    total = float(shapes.weight.sum())
    return float((shapes.weight * values).sum()) / total if total else 0.0


def depth_distribution(shapes: Shapes) -> pl.DataFrame:
    """Return DEPTHS."""
    _, depth = needs(shapes)
    total = float(shapes.weight.sum())
    if not total:
        return empty(DEPTHS)
    weight = sum_by(depth, shapes.weight, int(depth.max()) + 1)
    frame = pl.DataFrame({"hops": np.arange(len(weight)), "weight": weight, "share": weight / total})
    return conform(frame.filter(pl.col("weight") > 0), DEPTHS)


def hard_needs(analysed: Analysed) -> pl.DataFrame:
    """Return HARD_NEEDS: what each endpoint waits for in more than HARD of its requests."""
    trace, node = analysed.graph.needed
    requests = analysed.requests.traces.select("trace", "endpoint", "weight")
    pairs = pl.DataFrame({"trace": trace.astype(np.int32), "node": node.astype(np.int32)})
    total = requests.group_by("endpoint").agg(total=pl.col("weight").sum())
    shares = pairs.join(requests, on="trace").group_by("endpoint", "node").agg(pl.col("weight").sum())
    shares = shares.join(total, on="endpoint").with_columns(share=pl.col("weight") / pl.col("total"))
    kept = shares.filter(pl.col("share") > HARD).join(_own_availability(analysed), on="node")
    return conform(kept.sort("endpoint", "node"), HARD_NEEDS)


def _own_availability(analysed: Analysed) -> pl.DataFrame:
    """Return by node the share of its requests that did not fail by its own fault."""
    own = analysed.errors.services.select("node", failed=pl.col("originated") / pl.col("weight"))
    stats = analysed.nodes.filter(pl.col("type") != "user").join(own, on="node", how="left", maintain_order="left")
    failed = pl.when(pl.col("type") == "service").then("failed").otherwise("error_rate").fill_null(0.0)
    return stats.select("node", "type", "name", availability=(1 - failed).clip(0.0, 1.0))


def series_availability(needs: pl.DataFrame) -> pl.DataFrame:
    """Return SERIES of HARD_NEEDS: what is left when everything that an endpoint needs must work at once."""
    frame = needs.group_by("endpoint").agg(
        dependencies=pl.len() - 1,
        series_availability=pl.col("availability").product(),
        weakest=pl.col("name").sort_by("availability", "name").first(),
        weakest_availability=pl.col("availability").min(),
    )
    return conform(frame.sort("endpoint"), SERIES)


def waiting_share(analysed: Analysed) -> float | None:
    """Return the share of all latency that requests spend outside the service they came to, null without latency.

    It is the share of a slowdown anywhere else that they would feel.
    """
    endpoints = analysed.profile.endpoints.select("endpoint", "service", "weight")
    nodes = analysed.attribution.nodes.select("node", "kind", "type", "name")
    spent = analysed.profile.contributions.join(endpoints, on="endpoint").join(nodes, on="node")
    time = spent.select(
        (pl.col("kind") == "service") & (pl.col("type") == "service") & (pl.col("name") == pl.col("service")),
        ns=pl.col("critical_path_ms") * pl.col("weight"),
    )
    total = float(time["ns"].sum())
    return float(time.filter(~pl.col("kind"))["ns"].sum()) / total if total else None
