"""The service graph: edges between services, databases, queues, external systems and users, from single calls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.codes import distinct_keys, number_keys, sum_by
from analytics.quantiles import ENOUGH_FOR_P99, histogram, weighted_quantiles
from analytics.schema import conform
from analytics.service_schema import EDGES, MODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.arrays import Array, Floats, Rows
    from analytics.calls import CallGraph

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_MS = 1e6


def service_edges(graph: CallGraph, weights: Floats) -> pl.DataFrame:
    """Return EDGES of all calls; ``weights`` has one entry a trace."""
    number, keys = edge_numbers(graph)
    calls = graph.calls.with_columns(edge=pl.Series(number))
    sums = edge_sums(graph, number, len(keys)).with_columns(name_edges(graph, keys))
    trace, node = take_part(graph)
    caller_weight = sum_by(node, weights[trace], graph.nodes.height)[sums["caller_node"].to_numpy()]
    frame = sums.with_columns(caller_weight=caller_weight).join(
        _latency(calls), on="edge", how="left", maintain_order="left"
    )
    return complete_edges(frame)


def complete_edges(sums: pl.DataFrame) -> pl.DataFrame:
    """Return EDGES of all that is not a ratio of its other columns."""
    frame = sums.with_columns(
        p99_known=pl.col("calls") >= ENOUGH_FOR_P99,
        error_rate=_ratio("errors", "weight"),
        gap_ms=_ratio("gap_ns", "gap_weight") / _MS,
        calls_per_trace=_ratio("weight", "caller_weight"),
    )
    return conform(frame, EDGES)


def without_queues(graph: CallGraph) -> CallGraph:
    """Return the graph with every message that went through a queue as one async call from service to service.

    A message whose consumer is not known still goes to the queue, and one whose sender is not comes from it.
    """
    calls, services = graph.calls, graph.forest.origins.services.height
    delivered = (pl.col("caller") >= services) & pl.col("span").is_not_null() & pl.col("answer").is_not_null()
    sent = (pl.col("callee") >= services) & (pl.col("mode") == "async")
    arrived = calls.filter(delivered)["span"].unique().implode()
    origin = pl.Series("origin", graph.forest.service[calls["span"].fill_null(0).to_numpy()]) if calls.height else None
    direct = calls.with_columns(caller=pl.when(delivered).then(origin).otherwise("caller")) if calls.height else calls
    return replace(graph, calls=direct.filter(~(sent & pl.col("span").is_in(arrived).fill_null(value=False))))


def edge_numbers(graph: CallGraph) -> tuple[Rows, Array]:
    """Return for each call its edge's number, and by edge (caller · nodes + callee) · 2 + mode, ascending."""
    nodes = graph.nodes.height
    caller, callee = (graph.calls[side].to_numpy().astype(np.int64) for side in ("caller", "callee"))
    mode = graph.calls["mode"].to_physical().to_numpy()
    return number_keys((caller * nodes + callee) * len(MODES) + mode, nodes * nodes * len(MODES))


def gap_ns() -> pl.Expr:
    """Return a call's gap, client minus server: free of clock skew, null unless both are known.

    It is null, too, where the server took longer than its client, which did not wait for the end: its call timed out.
    """
    gap = pl.col("client_ns") - pl.col("server_ns")
    return pl.when(gap >= 0).then(gap).alias("gap")


def edge_histograms(graph: CallGraph) -> pl.DataFrame:
    """Return what rollups keep of each edge's latency: ``edge``, ``minute`` and HISTOGRAM, sorted.

    A call's latency is the client's time, else the server's; its minute is its trace's.
    """
    number, _ = edge_numbers(graph)
    minute = graph.forest.traces["minute"].gather(graph.calls["trace"])
    calls = graph.calls.select(pl.coalesce("client_ns", "server_ns").alias("ns"), "weight").with_columns(
        edge=pl.Series(number), minute=minute
    )
    return histogram(calls.drop_nulls("ns"), ["edge", "minute"], "ns", "weight")


def quantiles_by(frame: pl.DataFrame, keys: Sequence[str], value: str, weight: str = "weight") -> pl.DataFrame:
    """Return the keys and exact quantiles p50, p95 and p99 of a column, weighted, without nulls among the values.

    Where all weigh 1 Polars selects instead of sorting, in a twentieth of the time.
    """
    if not (frame[weight] == 1).all():
        return weighted_quantiles(frame, keys, value, weight, QUANTILES)
    chosen = [pl.col(value).quantile(q, interpolation="linear").alias(name) for name, q in QUANTILES.items()]
    return frame.group_by(keys).agg(chosen)


def edge_sums(graph: CallGraph, number: Rows, count: int) -> pl.DataFrame:
    """Return the columns of EDGES that add up, and ``protocol``, by the number that each call has, as ``edge``."""
    calls = graph.calls
    weight = calls["weight"].to_numpy()
    client, server = (calls[name] for name in ("client_ns", "server_ns"))
    failed = calls.select(pl.any_horizontal(pl.col("client_failed", "server_failed").fill_null(value=False)))
    inferred = calls["known_by"].is_in(["address", "name", "operation"]).to_numpy()
    columns = {
        "edge": np.arange(count, dtype=np.int32),
        "calls": np.bincount(number, minlength=count),
        "inferred_calls": np.bincount(number[inferred], minlength=count),
        "weight": sum_by(number, weight, count),
        "errors": sum_by(number, weight * failed.to_series().to_numpy(), count),
    }
    for name, values in (("client", client), ("server", server), ("gap", calls.select(gap_ns()).to_series())):
        known = values.is_not_null().to_numpy()
        times = values.fill_null(0).to_numpy()
        columns[f"{name}_weight"] = sum_by(number, weight * known, count)
        columns[f"{name}_ns"] = sum_by(number, weight * times, count)
    protocols = _protocols(calls.select("protocol", edge=pl.Series(number)))
    return pl.DataFrame(columns).join(protocols, on="edge", how="left", maintain_order="left")


def name_edges(graph: CallGraph, keys: Array) -> list[pl.Series]:
    """Return the columns of EDGES that say which edges the keys of ``edge_numbers`` are."""
    pair, mode = np.divmod(keys, len(MODES))
    nodes = max(graph.nodes.height, 1)
    columns = [pl.Series("mode", mode.astype(np.uint8)).cat.to(pl.Enum(MODES))]
    for side, node in (("caller", pair // nodes), ("callee", pair % nodes)):
        named = graph.nodes[node]
        columns += [
            named["node"].alias(f"{side}_node"),
            named["name"].alias(side),
            named["namespace"].alias(f"{side}_namespace"),
            named["type"].alias(f"{side}_type"),
        ]
    return [*columns, graph.nodes["environment"].gather(pl.Series(pair % nodes))]


def _protocols(calls: pl.DataFrame) -> pl.DataFrame:
    """Return the most frequent known protocol by edge, of equally frequent ones the first by name."""
    counted = calls.group_by("edge", "protocol").len().drop_nulls("protocol").cast({"protocol": pl.String})
    return (
        counted.sort("edge", "len", "protocol", descending=[False, True, False])
        .unique("edge", keep="first")
        .drop("len")
    )


def _latency(calls: pl.DataFrame) -> pl.DataFrame:
    timed = calls.select("edge", "weight", pl.coalesce("client_ns", "server_ns").alias("ns")).drop_nulls("ns")
    return quantiles_by(timed, ["edge"], "ns").select(
        "edge", *((pl.col(name) / _MS).alias(f"{name}_ms") for name in QUANTILES)
    )


def take_part(graph: CallGraph) -> tuple[Array, Array]:
    """Return pairs of a trace and a node that takes part in it, with a span or as one side of a call."""
    forest, nodes = graph.forest, graph.nodes.height
    silent = pl.col("span").is_null() | pl.col("answer").is_null()
    outside = graph.calls.filter(silent | (pl.max_horizontal("caller", "callee") >= forest.origins.services.height))
    trace = outside["trace"].to_numpy().astype(np.int64)
    sides = [trace * nodes + outside[side].to_numpy() for side in ("caller", "callee")]
    own = forest.trace.astype(np.int64) * nodes + forest.service
    pairs = distinct_keys(np.concatenate([own, *sides]), forest.traces.height * nodes)
    return np.divmod(pairs, max(nodes, 1))


def _ratio(part: str, whole: str) -> pl.Expr:
    """Return a quotient, null over nothing."""
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))
