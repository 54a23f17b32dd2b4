"""What is kept of the service graph of each minute: sums and histograms of its nodes and edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.codes import number_keys, sum_by
from analytics.errors import edge_error_sums
from analytics.graph import edge_histograms, edge_numbers, edge_sums, name_edges, take_part
from analytics.node_stats import WORK_SUMS, node_work
from analytics.quantiles import histogram
from analytics.schema import CLIENT, PRODUCER

if TYPE_CHECKING:
    from analytics.analysis import Analysed
    from analytics.arrays import Array, Floats

_WHO = ("type", "namespace", "name")


def roll_up_graph(analysed: Analysed) -> dict[str, pl.DataFrame]:
    """Return ROLLUPS of nodes and edges, with further columns; ``environment`` is each node's own."""
    work = node_work(analysed.graph, analysed.weights)
    work = work.with_columns(minute=analysed.forest.traces["minute"].gather(work["trace"]))
    named = analysed.graph.nodes.select("node", "environment", *_WHO)
    return {
        "rollup_nodes": _nodes(analysed, work).join(named, on="node"),
        "rollup_node_latency": histogram(work, ["node", "minute"], "ns", "weight").join(named, on="node"),
        **_edges(analysed),
    }


def worked_ns(analysed: Analysed) -> Floats:
    """Return what each span stands for of its service's work.

    The self time of a span that asks somebody else is none: it waits for a network, a database or a queue.
    """
    forest = analysed.forest
    works = (forest.kind != CLIENT) & (forest.kind != PRODUCER)
    worked: Floats = analysed.self_time_ns * works * analysed.weights[forest.trace]
    return worked


def _nodes(analysed: Analysed, work: pl.DataFrame) -> pl.DataFrame:
    """Return the sums by ``node`` and ``minute``."""
    forest, graph, weights = analysed.forest, analysed.graph, analysed.weights
    asked = work.group_by("node", "minute").agg(WORK_SUMS).cast({"calls": pl.Int64})
    own = _sum_by_minute(analysed, "self_ns", forest.trace, forest.service, worked_ns(analysed))
    parts = [asked, own]
    for name, (trace, node) in (("takes_part", take_part(graph)), ("needed", graph.needed)):
        parts.append(_sum_by_minute(analysed, name, trace, node, weights[trace]))
    return pl.concat(parts, how="diagonal").group_by("node", "minute").sum()


def _sum_by_minute(analysed: Analysed, name: str, trace: Array, node: Array, values: Floats) -> pl.DataFrame:
    """Return the sums, as column ``name``, of values that belong to a trace and a node, by ``node`` and ``minute``."""
    minutes, code = _minute_codes(analysed)
    count = max(len(minutes), 1)
    number, keys = number_keys(node.astype(np.int64) * count + code[trace], analysed.graph.nodes.height * count)
    node, minute = np.divmod(keys, count)
    sums = sum_by(number, values, len(keys))
    return pl.DataFrame({"node": node.astype(np.int32), "minute": minutes[minute], name: sums})


def _minute_codes(analysed: Analysed) -> tuple[Array, Array]:
    """Return the minutes that traces start in, ascending, and each trace's place among them."""
    return np.unique(analysed.forest.traces["minute"].to_numpy(), return_inverse=True)


def _edges(analysed: Analysed) -> dict[str, pl.DataFrame]:
    graph = analysed.graph
    number, keys = edge_numbers(graph)
    minutes, code = _minute_codes(analysed)
    count = max(len(minutes), 1)
    by_minute = number.astype(np.int64) * count + code[graph.calls["trace"].to_numpy()]
    group, groups = number_keys(by_minute, len(keys) * count)
    edge, minute = np.divmod(groups, count)
    errors = edge_error_sums(graph, group, len(groups), analysed.weights).drop("errors")
    sums = edge_sums(graph, group, len(groups)).join(errors, on="edge", maintain_order="left")
    latency = edge_histograms(graph)
    return {
        "rollup_edges": sums.with_columns(name_edges(graph, keys[edge]), minute=pl.Series(minutes[minute])),
        "rollup_edge_latency": latency.with_columns(name_edges(graph, keys[latency["edge"].to_numpy()])),
    }
