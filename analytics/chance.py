"""How far two means may lie apart by chance alone."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from analytics.arrays import Floats
    from analytics.attribution import Attribution
    from analytics.contributions import Requests

_FALSE_ALARMS = 0.01
"""In one comparison of a hundred in which nothing changed, some mean may seem to have grown."""
_MOST_BATCHES, _FEWEST_BATCHES, _TRACES_A_BATCH = 20, 5, 4
"""Means of batches: the usual 10 to 30 of them (Schmeiser 1982), and none of so few traces that they say nothing."""
_MS = 1e6


@dataclass(frozen=True, slots=True)
class Spread:
    """How sure means are.

    ``nodes`` has ``endpoint``, ``node`` and ``variance`` (ms²) of its critical-path time over traces, weighted; a trace
    that does without a node counts as 0. ``unsteady`` is the variance that traces would need, were they independent,
    for the means of stretches of time to differ as they do; 0 for too few traces. ``endpoints`` has ``endpoint`` and
    ``effective``: its mean is as good as that of so many traces of equal weight.
    """

    nodes: pl.DataFrame
    endpoints: pl.DataFrame


def contribution_spread(requests: Requests, attribution: Attribution) -> Spread:
    """Return how much what nodes contribute to endpoints differs from trace to trace."""
    traces = _with_batches(requests.traces, attribution.sections)
    batches = traces.group_by("endpoint", "batch").agg(batch_weight=pl.col("weight").sum())
    endpoints = _endpoint_weights(traces).join(
        batches.group_by("endpoint").agg(batches=pl.len(), squares=(pl.col("batch_weight") ** 2).sum()), on="endpoint"
    )
    nodes = _node_sums(traces, batches, attribution.sections).join(endpoints, on="endpoint")
    spread = nodes.select("endpoint", "node", variance=_variance(), unsteady=_variance_of_batches())
    return Spread(spread, endpoints.select("endpoint", "effective"))


def _with_batches(traces: pl.DataFrame, sections: pl.DataFrame) -> pl.DataFrame:
    """Add ``batch``, one of up to 20 of equal size that follow each other in time, by endpoint."""
    starts = sections.group_by("trace").agg(start=pl.col("begin_unix_nano").min())
    place = pl.col("start").fill_null(0).rank("ordinal").over("endpoint") - 1
    count = pl.len().over("endpoint")
    batches = (count // _TRACES_A_BATCH).clip(1, _MOST_BATCHES)
    kept = traces.select("trace", "endpoint", "weight").join(starts, on="trace", how="left")
    return kept.with_columns(batch=place.cast(pl.Int64) * batches // count).drop("start")


def _endpoint_weights(traces: pl.DataFrame) -> pl.DataFrame:
    weight = pl.col("weight")
    return traces.group_by("endpoint").agg(
        traces=pl.len(), total=weight.sum(), effective=weight.sum() ** 2 / (weight**2).sum()
    )


def _node_sums(traces: pl.DataFrame, batches: pl.DataFrame, sections: pl.DataFrame) -> pl.DataFrame:
    """Weighted first and second moments by endpoint and node, and the products of the batches' sums."""
    length = (pl.col("end_unix_nano") - pl.col("begin_unix_nano")).sum() / _MS
    times = sections.group_by("trace", "node").agg(ms=length).join(traces, on="trace")
    weighted = pl.col("weight") * pl.col("ms")
    by_batch = times.group_by("endpoint", "batch", "node").agg(
        first=weighted.sum(), second=(weighted * pl.col("ms")).sum()
    )
    return (
        by_batch.join(batches, on=["endpoint", "batch"])
        .group_by("endpoint", "node")
        .agg(
            pl.col("first", "second").sum(),
            batch_squares=(pl.col("first") ** 2).sum(),
            batch_products=(pl.col("first") * pl.col("batch_weight")).sum(),
        )
    )


def _variance() -> pl.Expr:
    """As if traces had nothing to do with each other."""
    mean = pl.col("first") / pl.col("total")
    spread = (pl.col("second") / pl.col("total") - mean**2).clip(0)
    return spread * pl.col("traces") / (pl.col("traces") - 1).clip(1)


def _variance_of_batches() -> pl.Expr:
    """As the means of batches show it: traces that queue behind each other are slow together."""
    mean, count = pl.col("first") / pl.col("total"), pl.col("batches")
    squares = pl.col("batch_squares") - 2 * mean * pl.col("batch_products") + mean**2 * pl.col("squares")
    error = squares.clip(0) / pl.col("total") ** 2 * count / (count - 1).clip(1)
    return pl.when(count >= _FEWEST_BATCHES).then(error * pl.col("effective")).otherwise(0.0)


def chance_limits(errors: Floats, freedom: Floats) -> Floats:
    """Return for each of several differences how large chance makes it at most, all together, by Student's t.

    ``errors`` are their standard errors, ``freedom`` the degrees of freedom; 0 where there is none to tell from.
    Wallace (1959) gives the quantile of t, a few percent off at three degrees of freedom and less at more.
    """
    if not len(errors):
        return errors
    z = NormalDist().inv_cdf(1 - _FALSE_ALARMS / len(errors))
    nu = np.maximum(freedom, 1.0)
    squared = (z * (8 * nu + 3) / (8 * nu + 1)) ** 2
    return np.where(freedom > 0, np.sqrt(nu * np.expm1(squared / nu)) * errors, 0.0)
