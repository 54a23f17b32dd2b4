"""What is kept of each minute: sums and histograms alone, so that any window is their sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.contributions import critical_path_sums
from analytics.graph_rollups import roll_up_graph
from analytics.quantiles import ZERO, bucket_of
from analytics.schema import MERGED_BY, ROLLUPS, conform, empty
from analytics.service_schema import RESOURCE_MINUTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.analysis import Analysed

_ENDPOINT = ["environment", "namespace", "service", "operation"]
_NO_SUMS = ("minute", *MERGED_BY)
COARSE = 8
"""Buckets of latency that are kept as one for the critical paths: 8 an octave tell the middle from the tail."""


def roll_up(analysed: Analysed, kept: float = 1.0) -> dict[str, pl.DataFrame]:
    """Return ROLLUPS of analysed traces, of which a share ``kept`` was looked at (their weights say so already).

    Those of resources are empty: metrics tell them, not traces.
    """
    requests = analysed.requests.traces.join(analysed.requests.endpoints, on="endpoint")
    tables = {
        "rollup_windows": _windows(analysed, kept),
        "rollup_endpoints": requests.group_by("minute", *_ENDPOINT).agg(
            traces=pl.len(),
            weight=pl.col("weight").sum(),
            errors=(pl.col("weight") * pl.col("error")).sum(),
            duration_ns=(pl.col("weight") * pl.col("duration_ns")).sum(),
        ),
        "rollup_latency": requests.with_columns(pl.Series("bucket", bucket_of(requests["duration_ns"].to_numpy())))
        .group_by("minute", *_ENDPOINT, "bucket")
        .agg(pl.col("weight").sum()),
        "rollup_paths": _paths(analysed),
        "rollup_resources": empty(RESOURCE_MINUTES),
        **roll_up_graph(analysed),
    }
    return {name: conform(tables[name], columns) for name, columns in ROLLUPS.items()}


def merge_rollups(parts: Sequence[dict[str, pl.DataFrame]]) -> dict[str, pl.DataFrame]:
    """Return the sum of rollups of different traces, or of different minutes where ``minute`` is null in all."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: add_up(name, [part[name] for part in parts]) for name in ROLLUPS}


def coarse_bucket() -> pl.Expr:
    """Return the bucket of ``rollup_paths`` that a bucket of HISTOGRAM belongs to."""
    bucket = pl.col("bucket").cast(pl.Int16)
    return pl.when(bucket == int(ZERO)).then(bucket).otherwise(bucket // COARSE).alias("bucket")


def add_up(name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the sum of frames of one of ROLLUPS by all that is no number; those of resources stay as they are."""
    columns = ROLLUPS[name]
    rows = pl.concat([empty(columns), *frames])
    if name == "rollup_resources":  # minutes of metrics do not add up
        return rows
    sums = [column for column, dtype in columns.items() if dtype in (pl.Int64, pl.Float64) and column not in _NO_SUMS]
    keys = [column for column in columns if column not in (*sums, *MERGED_BY)]
    others = [_merged(column) for column in columns if column in MERGED_BY]
    return conform(rows.group_by(keys).agg(pl.col(*sums).sum(), *others), columns)


def _merged(column: str) -> pl.Expr:
    if MERGED_BY[column] == "most calls":
        return pl.col(column).sort_by("calls", column).drop_nulls().last()
    return pl.col(column).max() if MERGED_BY[column] == "max" else pl.col(column).min()


def _windows(analysed: Analysed, kept: float) -> pl.DataFrame:
    forest = analysed.forest
    first = pl.Series(forest.trace_offset[:-1])
    rows = forest.traces["root"].fill_null(first).to_numpy()
    end = np.maximum.reduceat(forest.end, forest.trace_offset[:-1]) if len(forest) else forest.end
    environment = forest.origins.services["environment"].gather(pl.Series(forest.service[rows]))
    traces = forest.traces.with_columns(environment, pl.Series("weight", analysed.weights), end=pl.Series(end))
    return traces.group_by("minute", "environment").agg(
        traces=pl.len(),
        spans=pl.col("span_count").sum(),
        incomplete_traces=(~pl.col("complete")).sum(),
        sampled_traces=(pl.col("weight") != 1).sum(),
        weight=pl.col("weight").sum(),
        kept=pl.lit(kept),
        begin_unix_nano=pl.col("start_unix_nano").min(),
        end_unix_nano=pl.col("end").max(),
    )


def _paths(analysed: Analysed) -> pl.DataFrame:
    sums = critical_path_sums(analysed.requests, analysed.attribution)
    nodes = analysed.attribution.nodes.select(
        "node", "kind", "type", "name", "caller", "callee", node_namespace="namespace"
    )
    named = sums.with_columns(coarse_bucket()).join(nodes, on="node").join(
        analysed.requests.endpoints, on="endpoint"
    )  # fmt: skip
    keys = ["minute", *_ENDPOINT, "bucket", "kind", "type", "name", "caller", "callee", "node_namespace"]
    return named.group_by(keys).agg(pl.col("critical_path_ns").sum())
