"""Stretches: the calls of each edge in the order of time, cut into equal parts, and which of these are healthy.

Parts of equally many calls, not of equal time, so that an edge with a call a minute is judged like one with a thousand
a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE, offsets_of_runs, order_by, starts_of_runs
from analytics.graph import edge_numbers
from analytics.quantiles import ENOUGH_FOR_P99
from analytics.retries import seen_failures
from analytics.schema import conform
from analytics.service_schema import EDGE_BASELINES, EDGE_CALLS, STRETCHES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.arrays import Array, Flags, Rows, Times
    from analytics.calls import CallGraph
    from analytics.retries import Attempts

STRETCH = 20
"""Calls of a stretch: five make up the 100 calls that a breaker looks at, and half of 20 is no accident."""
_FAILING = 0.5
_SLOWER = 3.0
"""A stretch whose median is 3 times that of the edge's better stretches is not healthy (our own choice)."""
_HANGS = 2
"""Long waits of one stretch of 20: a twentieth of them, at a rate of one in a hundred, has as many by accident."""
_HANG_MS, _HANG_TIMES = 1000.0, 10.0
"""A call hangs from a second on, when it takes so many times the median (our own choice)."""
_MS = 1e6
_ROOM = 1 << 62

BREAKER_ERRORS = ("callnotpermitted", "brokencircuit", "circuitbreaker", "circuitopen", "circuitisopen", "breakeropen")
"""Parts of the names of errors by which breakers forbid calls, in lower case and without signs: Resilience4j's
CallNotPermittedException, Polly's BrokenCircuitException, pybreaker's CircuitBreakerError, Hystrix and others."""


@dataclass(frozen=True, slots=True)
class EdgeCalls:
    """Frames EDGE_CALLS, STRETCHES and EDGE_BASELINES of the calls that services make and wait for."""

    calls: pl.DataFrame
    stretches: pl.DataFrame
    baselines: pl.DataFrame


def edge_calls(graph: CallGraph, attempts: Attempts, entry: Rows) -> EdgeCalls:
    """Return the sync calls from services to others and to external systems; ``entry`` is ``entry_of`` of all spans.

    Databases have pools and timeouts of their own kind and are left out, and so are calls of a service to itself.
    """
    calls = _number_stretches(_calls(graph, attempts, entry))
    stretches = _stretches(calls)
    calls = calls.with_columns(healthy=stretches["healthy"].gather(calls["stretch"]))
    return EdgeCalls(conform(calls, EDGE_CALLS), conform(stretches, STRETCHES), _baselines(calls))


def _calls(graph: CallGraph, attempts: Attempts, entry: Rows) -> pl.DataFrame:
    """Return all of EDGE_CALLS but stretches, by edge and begin."""
    forest, calls = graph.forest, graph.calls
    edge, _ = edge_numbers(graph)
    rows = np.flatnonzero(_chosen(graph))
    span, answer = (calls[side].gather(rows).fill_null(NONE).to_numpy() for side in ("span", "answer"))
    own = calls["client_ns"].is_not_null().to_numpy()[rows]
    timed = np.where(own, span, answer)
    order = _order(edge[rows], forest.start[timed])
    rows, span, answer, own, timed = (values[order] for values in (rows, span, answer, own, timed))
    failed = seen_failures(graph)[rows]
    ran = np.where(answer != NONE, forest.duration[answer] - forest.duration[timed], 0) if len(rows) else rows
    return pl.DataFrame(
        {
            "edge": edge[rows],
            "call": rows,
            "trace": forest.trace[span],
            "entry": entry[span],
            "timed": timed,
            "answer": pl.Series(answer).replace(NONE, None),
            "own": own,
            "begin": forest.start[timed],
            "ns": forest.duration[timed],
            "outlived_ns": np.where(own & failed, np.maximum(ran, 0), 0),
            "failed": failed,
            "attempt": attempts.number[rows],
            "rejected": _rejected(graph, span, own & failed & (answer == NONE)),
            "weight": calls["weight"].gather(rows),
        }
    )


def _order(edge: Array, begin: Times) -> Array:
    """Return the order by edge and begin; by one number of both, in less than half the time, where there is room."""
    if not len(edge):
        return edge
    length = int(begin.max() - begin.min()) + 1
    if int(edge.max() + 1) * length >= _ROOM:
        return order_by(edge, begin)
    return pl.Series(edge.astype(np.int64) * length + (begin - begin.min())).arg_sort().to_numpy()


def _chosen(graph: CallGraph) -> Flags:
    """Mark the sync calls of services to others and to external systems."""
    calls, wanted = graph.calls, graph.nodes["type"].is_in(["service", "external"]).to_numpy()
    services = graph.forest.origins.services.height
    caller, callee = (calls[side].to_numpy() for side in ("caller", "callee"))
    waited = (calls["mode"] == "sync").to_numpy() & calls["span"].is_not_null().to_numpy()
    flags: Flags = waited & (caller < services) & wanted[callee] & (caller != callee)
    return flags


def _rejected(graph: CallGraph, span: Array, maybe: Flags) -> Flags:
    """Mark the calls whose error says that a breaker forbade them; only those which may be are looked at."""
    flags, rows = np.zeros(len(span), np.bool_), np.flatnonzero(maybe)
    if rows.size:
        flags[rows] = says_open(graph.forest.column("error_type", span[rows])).to_numpy()
    return flags


def says_open(errors: pl.Series) -> pl.Series:
    """Tell which of these types of errors are a breaker's."""
    plain = errors.cast(pl.String).str.to_lowercase().str.replace_all("[^a-z0-9]", "")
    return plain.str.contains_any(list(BREAKER_ERRORS)).fill_null(value=False)


def _number_stretches(calls: pl.DataFrame) -> pl.DataFrame:
    """Add ``stretch``: what is left at an edge's end belongs to the last whole one."""
    if calls.is_empty():
        return calls.with_columns(stretch=pl.lit(None, pl.Int32))
    begins = offsets_of_runs(starts_of_runs(calls["edge"].to_numpy()))
    sizes = np.diff(begins)
    count = np.maximum(sizes // STRETCH, 1)
    place = np.arange(calls.height) - np.repeat(begins[:-1], sizes)
    first = np.cumsum(count) - count
    number = np.repeat(first, sizes) + np.minimum(place // STRETCH, np.repeat(count - 1, sizes))
    return calls.with_columns(stretch=pl.Series(number.astype(np.int32)))


def _stretches(calls: pl.DataFrame) -> pl.DataFrame:
    """Return STRETCHES of calls that have their numbers."""
    weight = pl.col("weight")
    frame = calls.group_by("stretch").agg(
        pl.col("edge").first(),
        pl.col("begin").min(),
        pl.col("begin").max().alias("last"),
        pl.len().alias("calls"),
        weight.sum(),
        weight.filter("failed").sum().alias("failed"),
        pl.col("ns").median().alias("median_ns"),
    )
    following = pl.col("begin").shift(-1).over("edge")
    frame = frame.sort("stretch").with_columns(until=pl.coalesce(following, pl.col("last") + 1))
    works = pl.col("failed") < _FAILING * pl.col("weight")
    usual = pl.col("median_ns").filter(works).quantile(0.25, interpolation="linear").over("edge")
    steady = works & (pl.col("median_ns") <= _SLOWER * usual)
    return frame.with_columns(steady=steady.fill_null(value=False)).with_columns(_settled()).with_columns(_healthy())


def _settled() -> pl.Expr:
    """Tell which stretches and both their neighbours are steady: trouble begins and ends within a stretch."""
    around = [pl.col("steady").shift(step).over("edge").fill_null(value=True) for step in (1, -1)]
    return (pl.col("steady") & around[0] & around[1]).alias("settled")


def _healthy() -> pl.Expr:
    """Return the settled stretches, where they are enough to know a p99, else the steady ones."""
    enough = pl.col("calls").filter("settled").sum().over("edge") >= ENOUGH_FOR_P99
    return pl.when(enough).then("settled").otherwise("steady").alias("healthy")


def beside_hangs(well: pl.DataFrame, by: Sequence[str], *, least_ms: float, times: float) -> pl.Series:
    """Tell which calls lie in stretches in which several wait long, and in their neighbours.

    Long is from ``least_ms`` and from so many ``times`` the median of the group. One hang in fifty would else be a p99.
    What takes as long now and then, all the time, is usual.
    """
    usual = pl.col("ns").median().over(by)
    hung = well.filter((pl.col("ns") >= least_ms * _MS) & (pl.col("ns") >= times * usual))
    several = hung.group_by("stretch").len().filter(pl.col("len") >= _HANGS)["stretch"]
    return well["stretch"].is_in(pl.concat([several - 1, several, several + 1]).unique().implode())


def _baselines(calls: pl.DataFrame) -> pl.DataFrame:
    """Return EDGE_BASELINES: how an edge is when all is well."""
    well = calls.filter("healthy").select("edge", "stretch", "ns", "failed", "weight")
    worked = well.filter(~pl.col("failed"))
    hung = beside_hangs(worked, ["edge"], least_ms=_HANG_MS, times=_HANG_TIMES)
    # With too few others to know a p99, hangs are as usual as anything.
    few = pl.col("hung").not_().sum().over("edge") < ENOUGH_FOR_P99
    times = worked.with_columns(hung=hung).filter(few | ~pl.col("hung")).group_by("edge").agg(
        (pl.col("ns").quantile(quantile, interpolation="linear") / _MS).alias(name)
        for name, quantile in (("p50_ms", 0.5), ("p99_ms", 0.99))
    )  # fmt: skip
    weight = pl.col("weight")
    found = well.group_by("edge").agg(
        pl.len().alias("calls"),
        (weight.filter("failed").sum() / weight.sum()).alias("error_rate"),
    )
    return conform(found.join(times, on="edge", how="left").sort("edge"), EDGE_BASELINES)
