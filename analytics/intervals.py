"""Confidence: how much contributions would vary if other requests of the same kind had come."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.contributions import profile_endpoints
from analytics.schema import INTERVALS, conform, empty

if TYPE_CHECKING:
    from analytics.arrays import Floats
    from analytics.attribution import Attribution
    from analytics.contributions import Requests


def bootstrap_intervals(
    requests: Requests, attribution: Attribution, *, replicates: int = 200, level: float = 0.95, seed: int = 0
) -> pl.DataFrame:
    """Return INTERVALS of all contributions: their quantiles over redrawn sets of traces.

    Each replicate draws as many traces of every endpoint, with replacement, and finds its middle and tail anew. Equal
    seeds give equal results. The time is ``replicates`` times that of ``profile_endpoints``.
    Source: Efron's percentile bootstrap.
    """
    rng = np.random.default_rng(seed)
    pairs = profile_endpoints(requests, attribution).contributions.select("endpoint", "node")
    drawn = [_measure(_redraw(requests, rng), attribution, pairs) for _ in range(replicates)]
    if not drawn or pairs.is_empty():
        return empty(INTERVALS)
    ends = {"low": (1 - level) / 2, "high": (1 + level) / 2}
    columns = [
        pl.col(f"{measure}_ms").quantile(q, interpolation="linear").alias(f"{measure}_{end}_ms")
        for measure in ("critical_path", "excess")
        for end, q in ends.items()
    ]
    return conform(pl.concat(drawn).group_by("endpoint", "node").agg(columns).sort("endpoint", "node"), INTERVALS)


def _redraw(requests: Requests, rng: np.random.Generator) -> Requests:
    """Weigh each trace by how often it is drawn among its endpoint's."""
    traces = requests.traces.sort("endpoint", maintain_order=True)
    sizes = traces.group_by("endpoint", maintain_order=True).len()["len"].to_numpy().astype(np.int64)
    low = np.repeat(np.cumsum(sizes) - sizes, sizes)
    drawn = low + rng.integers(0, np.repeat(sizes, sizes))
    times: Floats = np.bincount(drawn, minlength=traces.height).astype(np.float64)
    kept = traces.with_columns(pl.col("weight") * pl.Series(times)).filter(pl.col("weight") > 0)
    return replace(requests, traces=kept)


def _measure(requests: Requests, attribution: Attribution, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return each pair's contributions: 0 where no trace with the node was drawn, no excess without a middle."""
    profile = profile_endpoints(requests, attribution)
    measured = profile.contributions.select("endpoint", "node", "critical_path_ms", "excess_ms")
    has_middle = profile.endpoints.select("endpoint", pl.col("middle_traces") > 0)
    found = pairs.join(measured, on=["endpoint", "node"], how="left").join(has_middle, on="endpoint")
    excess = pl.when("middle_traces").then(pl.col("excess_ms").fill_null(0.0))
    return found.select("endpoint", "node", pl.col("critical_path_ms").fill_null(0.0), excess_ms=excess)
