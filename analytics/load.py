"""Load: how many requests each instance of a service works on at once, and which instance stands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.codes import sum_by
from analytics.graph import quantiles_by
from analytics.schema import conform, empty
from analytics.service_schema import HOT_INSTANCES, INSTANCE_LOAD

if TYPE_CHECKING:
    from analytics.arrays import Array, Floats, Rows, Times
    from analytics.calls import CallGraph
    from analytics.forest import Forest

MINUTE_NS = 60_000_000_000
_LONGEST = 1440
"""Windows; a span with a wrong clock must not make millions of them."""
ENOUGH_REQUESTS = 100
HOT_RATIO = 2.0
"""An instance that has twice what its peers have."""
_ALIVE_TOGETHER = 0.5
_MS = 1e6
_SECOND = 1e9


@dataclass(frozen=True, slots=True)
class Windows:
    """``count`` windows of ``width_ns`` nanoseconds from ``begin_unix_nano`` on, each without its end."""

    begin_unix_nano: int
    width_ns: int
    count: int

    @property
    def end_unix_nano(self) -> int:
        """Where the last one ends."""
        return self.begin_unix_nano + self.width_ns * self.count

    def place(self, times: Times) -> Rows:
        """Return the window that each time lies in; times outside have numbers outside."""
        places: Rows = ((times - self.begin_unix_nano) // self.width_ns).astype(np.int64)
        return places


def windows_of(forest: Forest, width_ns: int = MINUTE_NS) -> Windows:
    """Return the whole windows that hold all spans, at most the last 1440 up to the latest start."""
    if not len(forest):
        return Windows(0, width_ns, 0)
    first, last = (int(limit) // width_ns for limit in (forest.start.min(), max(forest.end.max() - 1, 0)))
    last = min(last, int(forest.start.max()) // width_ns + _LONGEST)
    first = max(first, last - _LONGEST + 1)
    return Windows(first * width_ns, width_ns, last - first + 1)


def instance_load(
    graph: CallGraph, resources: pl.DataFrame, weights: Floats, windows: Windows, self_times: Times
) -> pl.DataFrame:
    """Return INSTANCE_LOAD: what each instance did in each window.

    ``resources`` are RESOURCES, ``weights`` has one entry a trace, ``self_times`` (``analytics.self_time``) one a span.
    Spans count with what of them lies in a window; self time is spread evenly over its span.
    """
    forest = graph.forest
    unit, units = instance_codes(forest, resources)
    size = units.height * windows.count
    entries = np.flatnonzero(graph.entries)
    row, window, ns = cut_to_windows(forest, entries, windows)
    key, weight = unit[row].astype(np.int64) * windows.count + window, weights[forest.trace[row]]
    began = np.flatnonzero(windows.place(forest.start[row]) == window)
    worker, at, part = cut_to_windows(forest, np.flatnonzero(self_times), windows)
    work = weights[forest.trace[worker]] * self_times[worker] * part / np.maximum(forest.duration[worker], 1)
    count = np.bincount(key, minlength=size)
    total, time = sum_by(key, weight, size), sum_by(key, weight * ns, size)
    some = np.flatnonzero(count)
    started = sum_by(key[began], weight[began], size)[some]
    busy = sum_by(unit[worker].astype(np.int64) * windows.count + at, work, size)[some]
    frame = units[some // max(windows.count, 1)].with_columns(
        window=pl.Series(some % max(windows.count, 1)),
        requests=pl.Series(count[some]),
        started=pl.Series(started),
        throughput=pl.Series(started / windows.width_ns * _SECOND),
        mean_ms=pl.Series(time[some] / total[some] / _MS),
        concurrency=pl.Series(time[some] / windows.width_ns),
        busy=pl.Series(busy / windows.width_ns),
    )
    return conform(frame, INSTANCE_LOAD)


def instance_codes(forest: Forest, resources: pl.DataFrame) -> tuple[Rows, pl.DataFrame]:
    """Return each span's instance as a number, and ``service_code`` and ``instance`` by that number, sorted."""
    origins = forest.origins
    named = resources.unique("resource", keep="first", maintain_order=True).select("resource", "instance")
    places = (
        pl.DataFrame({"service_code": origins.service})
        .with_row_index("place")
        .with_columns(pl.col("place").cast(pl.Int32))
    )
    places = places.join(named, left_on="place", right_on="resource", how="left", maintain_order="left")
    units = places.select("service_code", "instance").unique().sort("service_code", "instance")
    coded = places.join(
        units.with_row_index("unit"),
        on=["service_code", "instance"],
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    place = origins.places(forest.column("resource"))
    return coded["unit"].to_numpy().astype(np.int32)[place], units


def cut_to_windows(forest: Forest, rows: Array, windows: Windows) -> tuple[Array, Array, Array]:
    """Return for each span and window that overlap: row, window and nanoseconds; a span of no length is in one."""
    start, end = forest.start[rows], forest.end[rows]
    begins = np.maximum(start, windows.begin_unix_nano)
    ends = np.minimum(end, windows.end_unix_nano)
    inside = (begins < ends) | ((start == end) & (start >= windows.begin_unix_nano) & (start < windows.end_unix_nano))
    rows, begins, ends = rows[inside], begins[inside], ends[inside]
    first = windows.place(begins)
    count = np.maximum(windows.place(ends - 1), first) - first + 1
    piece = np.repeat(np.arange(len(rows)), count)
    window = first[piece] + np.arange(len(piece)) - np.repeat(np.cumsum(count) - count, count)
    low = windows.begin_unix_nano + window * windows.width_ns
    ns = np.minimum(ends[piece], low + windows.width_ns) - np.maximum(begins[piece], low)
    return rows[piece], window, ns


def hot_instances(
    graph: CallGraph,
    resources: pl.DataFrame,
    weights: Floats,
    *,
    enough: int = ENOUGH_REQUESTS,
    ratio: float = HOT_RATIO,
) -> pl.DataFrame:
    """Return HOT_INSTANCES: instances with ``ratio`` times the requests a second, or the latency, of their peers.

    Peers are the other instances of the service that served during at least half of the time that this one did: what
    ran before a deployment is none. Each of both sides needs ``enough`` requests. Latencies are compared by what is
    usual for their operation, so that who gets the slow ones is not slow; and a quarter of the instance's at most may
    be below its peers' median, so that a median between two modes proves nothing.
    """
    forest = graph.forest
    unit, units = instance_codes(forest, resources)
    rows = np.flatnonzero(graph.entries)
    work = pl.DataFrame(
        {
            "unit": unit[rows],
            "weight": weights[forest.trace[rows]],
            "ns": forest.duration[rows],
            "begin": forest.start[rows],
            "end": forest.end[rows],
            "service_code": forest.service[rows],
            "operation": forest.column("span_name", rows),
        }
    )
    if work.is_empty():
        return empty(HOT_INSTANCES)
    usual = pl.col("ns").median().over("service_code", "operation")
    work = work.with_columns(pace=pl.when(usual > 0).then(pl.col("ns") / usual).otherwise(1.0))
    found = work.group_by("unit").agg(
        *(pl.len().alias("requests"), pl.col("weight").sum(), pl.col("begin").min(), pl.col("end").max()),
        pl.col("pace").median(),
        low_pace=pl.col("pace").quantile(0.25, interpolation="linear"),
    )
    found = found.join(quantiles_by(work, ["unit"], "ns").select("unit", "p50"), on="unit")
    found = found.join(units.with_row_index("unit").cast({"unit": pl.Int32}), on="unit")
    alive = (pl.col("end") - pl.col("begin")).cast(pl.Float64)
    found = found.with_columns(alive=alive, rate=pl.when(alive > 0).then(pl.col("weight") / alive * _SECOND))
    service = pl.col("weight").sum().over("service_code")
    found = found.with_columns(instances=pl.len().over("service_code"), load_share=pl.col("weight") / service)
    judged = found.filter(pl.col("instances") > 1).join(_peers(found, enough), on="unit", how="left")
    told = judged.with_columns(_ratios()).with_columns(_verdict(enough, ratio))
    return conform(told.sort("service_code", "instance"), HOT_INSTANCES)


def _peers(found: pl.DataFrame, enough: int) -> pl.DataFrame:
    """Return by instance the number of its peers and the medians of what they had."""
    both = found.join(found, on="service_code", suffix="_peer").filter(pl.col("unit") != pl.col("unit_peer"))
    together = pl.min_horizontal("end", "end_peer") - pl.max_horizontal("begin", "begin_peer")
    peers = both.filter((together >= _ALIVE_TOGETHER * pl.col("alive")) & (pl.col("requests_peer") >= enough))
    return peers.group_by("unit").agg(pl.len().alias("peers"), pl.col("rate_peer", "pace_peer").median())


def _ratios() -> list[pl.Expr]:
    return [
        pl.when(pl.col(f"{name}_peer") > 0).then(pl.col(name) / pl.col(f"{name}_peer")).alias(ratio)
        for name, ratio in (("rate", "load_ratio"), ("pace", "latency_ratio"))
    ] + [(pl.col("p50") / _MS).alias("p50_ms")]


def _verdict(enough: int, ratio: float) -> list[pl.Expr]:
    few = pl.col("requests") < enough
    alone = pl.col("peers").is_null()
    load, latency = (pl.col(f"{name}_ratio").fill_null(0.0) for name in ("load", "latency"))
    told = pl.format(
        "{} times its peers' requests a second, {} times their median latency", load.round(1), latency.round(1)
    )
    lacking = (
        pl.when(few)
        .then(pl.format(f"too few requests: {{}} of {enough}", "requests"))
        .when(alone)
        .then(pl.lit(f"no other instance served at the same time and had {enough} requests"))
    )
    slow = (latency >= ratio) & (pl.col("low_pace") > pl.col("pace_peer"))
    hot = pl.when(~few & ~alone).then((load >= ratio) | slow)
    return [hot.alias("hot"), pl.when(few | alone).then(lacking).otherwise(told).alias("reason")]
