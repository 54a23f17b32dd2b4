"""Queueing: calls whose time between client and server grows with load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.graph import edge_numbers, gap_ns
from analytics.schema import conform
from analytics.service_schema import QUEUEING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.arrays import Floats
    from analytics.calls import CallGraph
    from analytics.load import Windows

ENOUGH_WINDOWS = 6
ENOUGH_CALLS = 10
LOAD_RANGE = 2.0
"""The busiest third of the windows must have twice the load of the quietest, or nothing was tried."""
CORRELATION, GROWTH = 0.6, 1.5
_MS = 1e6


def queueing_gaps(
    graph: CallGraph,
    weights: Floats,
    windows: Windows,
    *,
    enough: tuple[int, int] = (ENOUGH_WINDOWS, ENOUGH_CALLS),
    load_range: float = LOAD_RANGE,
) -> pl.DataFrame:
    """Return QUEUEING: for each sync edge whether its gap, client minus server time, rises with the callee's load.

    The gap of a pair is free of clock skew, and the network does not wait longer when a service is busy: what rises is
    time in queues and for connections. ``found``: rank correlation of at least 0.6, and 1.5 times the gap in the
    busiest third of the windows. ``enough`` are the windows and the calls in each that are needed, and ``load_range``
    how many times the load.
    """
    number, _ = edge_numbers(graph)
    forest = graph.forest
    calls = graph.calls.with_columns(edge=pl.Series(number)).with_columns(gap_ns()).drop_nulls("gap")
    window = windows.place(forest.start[calls["span"].to_numpy()])
    gaps = calls.select("edge", "callee", "weight", "gap", window=pl.Series(window))
    gaps = gaps.filter(pl.col("window").is_between(0, windows.count - 1))
    by_window = gaps.group_by("edge", "callee", "window").agg(
        pl.len().alias("calls"), (pl.col("gap") * pl.col("weight")).sum() / pl.col("weight").sum() / _MS
    )
    load = _load(graph, weights, windows)
    gaps = by_window.join(load, on=["callee", "window"], how="left")
    return conform(judge_gaps(gaps, ["edge"], enough=enough, load_range=load_range), QUEUEING)


def judge_gaps(
    gaps: pl.DataFrame,
    keys: Sequence[str],
    *,
    enough: tuple[int, int] = (ENOUGH_WINDOWS, ENOUGH_CALLS),
    load_range: float = LOAD_RANGE,
) -> pl.DataFrame:
    """Return the keys of edges, sorted, with the other columns of QUEUEING.

    ``gaps`` has a row an edge and ``window``, with its ``calls``, the mean ``gap`` in ms, and its callee's ``load``.
    """
    busy = gaps.filter(pl.col("calls") >= enough[1]).group_by(keys).agg(_measures())
    found = gaps.select(keys).unique().join(busy, on=keys, how="left", nulls_equal=True)
    told = found.with_columns(pl.col("windows").fill_null(0)).with_columns(_verdict(enough, load_range))
    return told.sort(keys, nulls_last=True)


def _load(graph: CallGraph, weights: Floats, windows: Windows) -> pl.DataFrame:
    """Return ``callee``, ``window`` and ``load``: a service's requests a second."""
    forest = graph.forest
    rows = np.flatnonzero(graph.entries)
    frame = pl.DataFrame(
        {
            "callee": forest.service[rows].astype(np.int32),
            "window": windows.place(forest.start[rows]),
            "weight": weights[forest.trace[rows]],
        }
    )
    return frame.group_by("callee", "window").agg(load=pl.col("weight").sum() * 1e9 / windows.width_ns)


def _measures() -> list[pl.Expr]:
    third = (pl.len() // 3).clip(1)
    gap, load = (pl.col(name).sort_by("load", "window") for name in ("gap", "load"))
    return [
        pl.len().alias("windows"),
        load.head(third).mean().alias("load_low"),
        load.tail(third).mean().alias("load_high"),
        gap.head(third).mean().alias("gap_low_ms"),
        gap.tail(third).mean().alias("gap_high_ms"),
        pl.corr(pl.col("load").rank(), pl.col("gap").rank()).alias("correlation"),
    ]


def _verdict(enough: tuple[int, int], load_range: float) -> list[pl.Expr]:
    few = pl.col("windows") < enough[0]
    narrow = pl.col("load_high") < load_range * pl.col("load_low")
    rising = (pl.col("correlation").fill_nan(0.0) >= CORRELATION) & (
        pl.col("gap_high_ms") >= GROWTH * pl.col("gap_low_ms").clip(0)
    )  # fmt: skip
    told = pl.format(
        "{} ms at {} and {} ms at {} requests a second",
        *(pl.col(name).round(2) for name in ("gap_low_ms", "load_low", "gap_high_ms", "load_high")),
    )
    reason = (
        pl.when(few)
        .then(pl.format(f"not enough windows with {enough[1]} calls: {{}} of {enough[0]}", "windows"))
        .when(narrow)
        .then(pl.lit(f"load varied by less than a factor of {load_range:g}"))
        .otherwise(told)
    )
    status = pl.when(few | narrow).then(pl.lit("unknown")).when(rising).then(pl.lit("found")).otherwise(pl.lit("none"))
    measures = ("load_low", "load_high", "gap_low_ms", "gap_high_ms", "correlation")
    return [
        status.alias("status"),
        reason.alias("reason"),
        *(pl.when(~(few | narrow)).then(pl.col(name).fill_nan(0.0)).alias(name) for name in measures),
    ]
