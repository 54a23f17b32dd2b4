"""The figures of a report from rollups alone: the same columns as ``analytics.figures`` makes from traces.

Quantiles are those of histograms, at most 0.543 % off. The tail of an endpoint is its slowest twentieth of requests and
the middle its fifth from p40 to p60. Critical paths are kept by latency in eighths of an octave, so where a bound falls
into such a bucket, a share of it counts: all requests of one bucket (their latencies differ by 9 % at most) are taken
to spend their time alike. The parts still add up exactly, since each bucket's do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.contributions import Profile, complete_profile
from analytics.errors import complete_edge_errors
from analytics.figures import Figures
from analytics.graph import QUANTILES, complete_edges
from analytics.narrowing import touched_on_path
from analytics.node_stats import complete_nodes
from analytics.quantiles import histogram_quantiles
from analytics.rollups import coarse_bucket
from analytics.schema import NODES, conform
from analytics.service_schema import EDGE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analytics.narrowing import Touched

_ENDPOINT = ["environment", "namespace", "service", "operation"]
_NODE = ["environment", "type", "namespace", "name"]
_SIDES = ("caller", "callee")
_EDGE = ["environment", *(f"{side}{what}" for side in _SIDES for what in ("_type", "_namespace", "")), "mode"]
_PATH_NODE = ["kind", "type", "name", "caller", "callee", "node_namespace"]
_MIDDLE, _TAIL = (0.4, 0.6), (0.95, 1.0)
_MS = 1e6


def rolled_figures(rollups: Mapping[str, pl.DataFrame], settled_through: int | None) -> Figures:
    """Return the figures of ROLLUPS of one environment, minutes merged; ``minute`` is not looked at."""
    window = _window(rollups["rollup_windows"], settled_through)
    profile, path_nodes = _profile(rollups)
    observed = (window["to"] or 0) - (window["from"] or 0)
    edges = _edges(rollups)
    nodes = _nodes(rollups, edges, observed)

    def touched(service: str, operation: str) -> Touched:
        return touched_on_path(profile, path_nodes, edges, (service, operation))

    return Figures(window, profile, path_nodes, nodes, edges, touched)


def _window(windows: pl.DataFrame, settled_through: int | None) -> dict[str, Any]:
    return {
        "from": windows["begin_unix_nano"].min(),
        "to": windows["end_unix_nano"].max(),
        **{name: int(windows[name].sum()) for name in ("traces", "spans", "incomplete_traces")},
        "sampled": bool(windows["sampled_traces"].sum()) or bool((windows["kept"] < 1).any()),
        "settled_through": settled_through,
    }


def _profile(rollups: Mapping[str, pl.DataFrame]) -> tuple[Profile, pl.DataFrame]:
    endpoints = rollups["rollup_endpoints"].sort(_ENDPOINT).with_row_index("endpoint")
    endpoints = endpoints.with_columns(pl.col("endpoint").cast(pl.Int32), weight_ns="duration_ns")
    keys = endpoints.select("endpoint", *_ENDPOINT)
    latency = rollups["rollup_latency"].join(keys, on=_ENDPOINT, nulls_equal=True)
    nodes = rollups["rollup_paths"].select(_PATH_NODE).unique().sort(_PATH_NODE).with_row_index("node")
    paths = rollups["rollup_paths"].join(keys, on=_ENDPOINT, nulls_equal=True).join(
        nodes, on=_PATH_NODE, nulls_equal=True
    )  # fmt: skip
    sums = _node_sums(paths, _parts(latency))
    whole = sums.group_by("endpoint").agg(
        middle_ns=pl.col("node_middle_ns").sum(), tail_ns=pl.col("node_tail_ns").sum()
    )
    frame = endpoints.join(_quantiles(latency, ["endpoint"]), on="endpoint", how="left", maintain_order="left").join(
        whole, on="endpoint", how="left", maintain_order="left"
    )
    profile = complete_profile(frame.with_columns(pl.col("middle_ns", "tail_ns").fill_null(0.0), *_part_sizes()), sums)
    return profile, conform(nodes.rename({"node_namespace": "namespace"}), NODES)


def _part_sizes() -> list[pl.Expr]:
    """Return how much the middle and the tail weigh, and how many traces they are about."""
    sizes = []
    for name, (low, high) in (("middle", _MIDDLE), ("tail", _TAIL)):
        sizes.append((pl.col("weight") * (high - low)).alias(name))
        sizes.append((pl.col("traces") * (high - low)).ceil().cast(pl.Int64).alias(f"{name}_traces"))
    return sizes


def _parts(latency: pl.DataFrame) -> pl.DataFrame:
    """Return by endpoint and bucket of ``rollup_paths`` which share of it lies in the middle, and in the tail."""
    coarse = (
        latency.with_columns(coarse_bucket())
        .group_by("endpoint", "bucket")
        .agg(pl.col("weight").sum())
        .sort("endpoint", "bucket")
    )
    upto = pl.col("weight").cum_sum().over("endpoint")
    total = pl.col("weight").sum().over("endpoint")
    parts = []
    for name, (low, high) in (("middle", _MIDDLE), ("tail", _TAIL)):
        end = pl.min_horizontal(upto, total * high)
        begin = pl.max_horizontal(upto - pl.col("weight"), total * low)
        parts.append(((end - begin) / pl.col("weight")).clip(0, 1).alias(name))
    return coarse.select("endpoint", "bucket", *parts)


def _node_sums(paths: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    by_bucket = paths.join(parts, on=["endpoint", "bucket"], how="left")
    ns = pl.col("critical_path_ns")
    return by_bucket.group_by("endpoint", "node").agg(
        node_ns=ns.sum(), node_middle_ns=(ns * pl.col("middle")).sum(), node_tail_ns=(ns * pl.col("tail")).sum()
    )


def _quantiles(histograms: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    found = histogram_quantiles(histograms, keys, QUANTILES)
    return found.select(*keys, *((pl.col(name) / _MS).alias(f"{name}_ms") for name in QUANTILES))


def _edges(rollups: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    rows = rollups["rollup_edges"].with_row_index("edge").with_columns(pl.col("edge").cast(pl.Int32))
    latency = rollups["rollup_edge_latency"].join(rows.select("edge", *_EDGE), on=_EDGE, nulls_equal=True)
    part = rollups["rollup_nodes"].select(*_NODE, caller_weight="takes_part")
    callers = ["environment", "caller_type", "caller_namespace", "caller"]
    frame = rows.join(_quantiles(latency, ["edge"]), on="edge", how="left", maintain_order="left").join(
        part, left_on=callers, right_on=_NODE, how="left", nulls_equal=True, maintain_order="left"
    )
    errors = complete_edge_errors(rows).select(*(name for name in EDGE_ERRORS if name != "errors"))
    return complete_edges(frame).join(errors, on="edge", how="left", maintain_order="left")


def _nodes(rollups: Mapping[str, pl.DataFrame], edges: pl.DataFrame, observed: int) -> pl.DataFrame:
    rows = rollups["rollup_nodes"].with_row_index("node").with_columns(pl.col("node").cast(pl.Int32))
    latency = rollups["rollup_node_latency"].join(rows.select("node", *_NODE), on=_NODE, nulls_equal=True)
    requests = float(rollups["rollup_endpoints"]["weight"].sum())
    traces = float(rollups["rollup_windows"]["weight"].sum())
    is_user, is_service = pl.col("type") == "user", pl.col("type") == "service"
    needed = (pl.col("needed") / requests).clip(0, 1) if requests else pl.lit(None, pl.Float64)
    frame = _with_neighbours(rows, edges).with_columns(
        blast_radius=pl.when(~is_user).then(needed),
        self_time_ms=pl.when(is_service).then(pl.col("self_ns") / _MS / (traces or 1)),
    )
    frame = frame.join(_quantiles(latency, ["node"]), on="node", how="left", maintain_order="left")
    return complete_nodes(frame, observed).with_columns(frame["self_time_ms"])


def _with_neighbours(nodes: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """Add how many other nodes call each, users apart, and how many it calls."""
    sides = {side: [f"{side}_type", f"{side}_namespace", side] for side in _SIDES}
    other = pl.any_horizontal(
        pl.col(mine).ne_missing(pl.col(theirs)) for mine, theirs in zip(*sides.values(), strict=True)
    )
    pairs = edges.filter(other & (pl.col("caller_type") != "user")).select(*sides["caller"], *sides["callee"]).unique()
    counts = {"fan_in": "callee", "fan_out": "caller"}
    for name, side in counts.items():
        found = pairs.group_by(sides[side]).len(name).cast(dict.fromkeys((f"{side}_type",), pl.String))
        nodes = nodes.join(
            found, left_on=_NODE[1:], right_on=sides[side], how="left", nulls_equal=True, maintain_order="left"
        )
    return nodes.with_columns(pl.col(*counts).fill_null(0))
