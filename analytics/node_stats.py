"""What each node of the service graph does: load, latency, errors, neighbours, and how many requests need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE
from analytics.codes import distinct_keys, sum_by
from analytics.graph import QUANTILES, quantiles_by
from analytics.quantiles import ENOUGH_FOR_P99
from analytics.schema import STATUSES, conform
from analytics.service_schema import NODE_STATS

if TYPE_CHECKING:
    from analytics.arrays import Floats
    from analytics.calls import CallGraph

_MS = 1e6
WORK_SUMS = (
    pl.len().alias("calls"),
    pl.col("weight").sum(),
    (pl.col("weight") * pl.col("failed")).sum().alias("errors"),
    (pl.col("weight") * pl.col("ns")).sum().alias("total_ns"),
)
"""Of ``node_work``: the columns of NODE_STATS that add up."""


def node_stats(graph: CallGraph, weights: Floats, window_ns: int | None = None) -> pl.DataFrame:
    """Return NODE_STATS; ``weights`` has one entry a trace.

    ``window_ns`` is how long the spans were observed (default: from the first start to the last end).
    """
    work = node_work(graph, weights)
    window = _observed(graph) if window_ns is None else window_ns
    sums = work.group_by("node").agg(WORK_SUMS)
    times = quantiles_by(work, ["node"], "ns").rename({name: f"{name}_ms" for name in QUANTILES})
    frame = graph.nodes.join(sums, on="node", how="left", maintain_order="left").join(
        times, on="node", how="left", maintain_order="left"
    )
    counts = pl.col("calls", "weight", "errors", "total_ns").fill_null(0)
    frame = frame.with_columns(counts, *_neighbours(graph), pl.col("^p.._ms$") / _MS, _blast_radius(graph, weights))
    # A service may be known by its callers alone: the edge to it must end somewhere.
    seen = distinct_keys(np.concatenate([graph.forest.service, graph.calls["callee"].to_numpy()]), graph.nodes.height)
    kept = frame.filter((pl.col("type") != "service") | pl.col("node").is_in(seen))
    return complete_nodes(kept, window)


def complete_nodes(sums: pl.DataFrame, window_ns: int) -> pl.DataFrame:
    """Return NODE_STATS of all that is not a ratio of its other columns."""
    neighbours = pl.col("fan_in") + pl.col("fan_out")
    derived = [
        pl.when(pl.col("weight") > 0).then(pl.col("errors") / pl.col("weight")).alias("error_rate"),
        (pl.col("calls") >= ENOUGH_FOR_P99).alias("p99_known"),
        pl.when(neighbours > 0).then(pl.col("fan_out") / neighbours).alias("instability"),
        (pl.col("total_ns") / window_ns if window_ns > 0 else pl.lit(None)).alias("concurrency"),
    ]
    return conform(sums.with_columns(derived), NODE_STATS)


def _observed(graph: CallGraph) -> int:
    forest = graph.forest
    return int(forest.end.max() - forest.start.min()) if len(forest) else 0


def node_work(graph: CallGraph, weights: Floats) -> pl.DataFrame:
    """Return ``node``, ``trace``, ``ns``, ``weight`` and ``failed`` of what nodes were asked for.

    That is the entries of services and the calls to other nodes, a row each.
    """
    return pl.concat([_requests(graph, weights), _outside_calls(graph)])


def _requests(graph: CallGraph, weights: Floats) -> pl.DataFrame:
    """Return the work of services: all entries."""
    forest = graph.forest
    rows = np.flatnonzero(graph.entries)
    status = forest.column("status", rows).to_physical().to_numpy()
    return pl.DataFrame(
        {
            "node": forest.service[rows].astype(np.int32),
            "trace": forest.trace[rows],
            "ns": forest.duration[rows],
            "weight": weights[forest.trace[rows]],
            "failed": status == STATUSES.index("error"),
        }
    )


def _outside_calls(graph: CallGraph) -> pl.DataFrame:
    """Return the same of calls to what is not a service."""
    outside = graph.calls.filter(pl.col("callee") >= graph.forest.origins.services.height)
    return outside.select(
        pl.col("callee").alias("node"),
        "trace",
        pl.col("client_ns").fill_null(0).alias("ns"),
        "weight",
        pl.col("client_failed").fill_null(value=False).alias("failed"),
    )


def _neighbours(graph: CallGraph) -> list[pl.Series]:
    """Return for each node how many others call it and how many it calls."""
    nodes = graph.nodes.height
    caller, callee = (graph.calls[side].to_numpy().astype(np.int64) for side in ("caller", "callee"))
    caller, callee = np.divmod(distinct_keys(caller * nodes + callee, nodes**2), max(nodes, 1))
    users = (graph.nodes["type"] == "user").to_numpy()
    other = (caller != callee) & ~users[caller]
    return [
        pl.Series("fan_in", np.bincount(callee[other], minlength=nodes)),
        pl.Series("fan_out", np.bincount(caller[other], minlength=nodes)),
    ]


def _blast_radius(graph: CallGraph, weights: Floats) -> pl.Series:
    """Return for each node the share of traces with one root that wait for it."""
    nodes, roots = graph.nodes.height, graph.forest.trace_root
    total = float(weights[roots != NONE].sum())
    if not total:
        return pl.Series("blast_radius", [None] * nodes, pl.Float64)
    trace, node = graph.needed
    share = sum_by(node, weights[trace], nodes) / total
    return pl.Series("blast_radius", np.minimum(share, 1.0)).set(graph.nodes["type"] == "user", None)
