"""Load points: how many requests an instance of a service got in a window of time, and how long they took."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.graph import quantiles_by
from analytics.load import cut_to_windows, instance_codes, windows_of
from analytics.quantiles import ENOUGH_FOR_P99
from analytics.schema import conform
from analytics.service_schema import LOAD_POINTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.arrays import Array, Floats, Times
    from analytics.calls import CallGraph
    from analytics.load import Windows

WIDTHS_S = (10, 30, 60, 300)
"""A service's windows are the shortest of these in which most of its requests come a hundred at a time."""
_MOST = 2 / 3
_SECOND = 1e9
_MS = 1e6


def load_points(
    graph: CallGraph,
    resources: pl.DataFrame,
    weights: Floats,
    *,
    enough: int = ENOUGH_FOR_P99,
    widths_s: Sequence[float] = WIDTHS_S,
) -> pl.DataFrame:
    """Return LOAD_POINTS: each service's windows with ``enough`` requests, whose p99 means something.

    A request takes as long as its caller sees, where that is known: queues in front of a service are before its spans.
    A p99 of fewer is their slowest, which rises with how many there are: a knee of its own. The windows in which the
    traces begin and end are left out, since they are cut.
    """
    unit, _ = instance_codes(graph.forest, resources)
    seen = _seen_by_callers(graph)
    rest, parts = np.flatnonzero(graph.entries), []
    for place, width in enumerate(widths_s):
        windows = windows_of(graph.forest, max(int(width * _SECOND), 1))
        points = _points(graph, (unit, seen), weights, rest, windows)
        some = points.group_by("service_code").agg(
            share=pl.col("requests").filter(pl.col("requests") >= enough).sum() / pl.col("requests").sum()
        )
        settled = some if place == len(widths_s) - 1 else some.filter(pl.col("share") >= _MOST)
        codes = settled["service_code"]
        parts.append(points.filter((pl.col("requests") >= enough) & pl.col("service_code").is_in(codes.implode())))
        rest = rest[~np.isin(graph.forest.service[rest], codes.to_numpy())]
    return conform(pl.concat(parts).sort("service_code", "window_unix_nano"), LOAD_POINTS)


def _seen_by_callers(graph: CallGraph) -> Times:
    """Return how long each span took, with the way to it and back where its client waited for its end."""
    took = graph.forest.duration.copy()
    calls = graph.calls.filter((pl.col("mode") == "sync") & (pl.col("client_ns") >= pl.col("server_ns")))
    took[calls["answer"].to_numpy()] = calls["client_ns"].to_numpy()
    return took


def _points(
    graph: CallGraph, of_spans: tuple[Array, Times], weights: Floats, rows: Array, windows: Windows
) -> pl.DataFrame:
    """Return LOAD_POINTS of these entries in all windows but the first and the last, by spans' instances and times."""
    forest, (unit, took) = graph.forest, of_spans
    work = pl.DataFrame(
        {
            "service_code": forest.service[rows],
            "window": windows.place(forest.start[rows]).astype(np.int32),
            "unit": unit[rows],
            "weight": weights[forest.trace[rows]],
            "ns": took[rows],
        }
    ).filter(pl.col("window").is_between(1, windows.count - 2))
    keys = ["service_code", "window"]
    sums = work.group_by(keys).agg(
        requests=pl.len(), instances=pl.col("unit").n_unique(), rate=pl.col("weight").sum() * _SECOND / windows.width_ns
    )
    row, window, ns = cut_to_windows(forest, rows, windows)
    busy = pl.DataFrame(
        {
            "service_code": forest.service[row],
            "window": window.astype(np.int32),
            "ns": ns * weights[forest.trace[row]] / windows.width_ns,
        }
    )
    at_once = busy.group_by(keys).agg(concurrency=pl.col("ns").sum())
    points = sums.join(quantiles_by(work, keys, "ns"), on=keys).join(at_once, on=keys)
    return points.with_columns(
        *((pl.col(name) / pl.col("instances")).alias(name) for name in ("rate", "concurrency")),
        *((pl.col(name) / _MS).alias(f"{name}_ms") for name in ("p50", "p99")),
        window_unix_nano=windows.begin_unix_nano + pl.col("window").cast(pl.Int64) * windows.width_ns,
        width_s=pl.lit(windows.width_ns / _SECOND),
    )
