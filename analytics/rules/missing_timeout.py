"""missing-timeout: a caller waits far longer than usual and nothing ends it; or gives up while the callee works on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.arrays import offsets_of_runs, starts_of_runs
from analytics.findings import Finding, Rule, unknown_finding, worst_first
from analytics.rules import requisites
from analytics.rules.suggestions import format_ms, rounded_up
from analytics.stretches import beside_hangs
from analytics.words import percent

if TYPE_CHECKING:
    from analytics.arrays import Array
    from analytics.findings import Severity, Subject

NAME = "missing-timeout"
_MS = 1e6
_SLACK = 2.0
"""Times the p99 for the suggested timeout: room for a bad day, and still far below a wait that nobody waits out."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``width_share``: failed calls within as much of each other, either way, are a cluster (methods §6: 2 %).

    ``cluster``: failures that make one, and callers that gave up; ``beyond_share``: calls that take longer than it, by
    its size, at most. ``times`` and ``wait_ms``: a wait is long from so many times the p99 of its operation, and from
    this. ``waits``: fewer are accidents. ``calls``: healthy calls, or no p99 is known.
    ``after_ms``: an answer that ends later than its failed client by less was only told late. ``critical_share`` of an
    edge's calls that wait so long makes it critical. ``wasted_share`` of the callee's time that was spent for callers
    who had given up makes that a warning, else it is information. All but the first are our own choice.
    """

    width_share: float = 0.02
    cluster: int = 5
    beyond_share: float = 0.1
    times: float = 10.0
    wait_ms: float = 1000.0
    waits: int = 5
    after_ms: float = 10.0
    calls: int = 100
    critical_share: float = 0.05
    wasted_share: float = 0.1


@dataclass(frozen=True, slots=True)
class _Edge:
    """What one edge's calls tell: the bound in nanoseconds if one was seen, and what outlived its client."""

    row: dict[str, Any]
    calls: pl.DataFrame
    bound_ns: float | None
    outlived: pl.DataFrame


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each edge that waits without a bound, then for each whose callee works on for nobody."""
    calls = subject.edge_calls.calls.filter("own")
    if calls.is_empty():
        return []
    edges = _edges(subject, limits, calls)
    waits = _waits(subject, limits, calls)
    counts = waits.group_by("edge").len().filter(pl.col("len") >= limits.waits)["edge"].sort()
    waiting = [edges[edge] for edge in counts if edges[edge].bound_ns is None]
    callers = {edge.row["caller_node"] for edge in waiting}
    found = [_unbounded(subject, limits, edge, waits, passed_on=edge.row["callee_node"] in callers) for edge in waiting]
    wasted = [
        _wasted(subject, limits, edge, edges) for edge in edges.values() if edge.outlived.height >= limits.cluster
    ]
    if found or wasted:
        return worst_first([*found, *wasted])
    bounded, every = sum(edge.bound_ns is not None for edge in edges.values()), calls["edge"].n_unique()
    if bounded == every:
        return []
    missing = (
        f"{every - bounded} of {every} edges never waited far longer than usual, so whether anything would end"
        " that is not known"
    )
    return [unknown_finding(NAME, missing, edges=every, edges_with_timeout=bounded, wait_limit_ms=limits.wait_ms)]


def _edges(subject: Subject, limits: Limits, calls: pl.DataFrame) -> dict[int, _Edge]:
    """Return the edges with their calls, which are sorted by edge."""
    late = calls.filter(pl.col("outlived_ns") > limits.after_ms * _MS)
    outlived = late.partition_by("edge", as_dict=True, maintain_order=True)
    ns, failed = calls["ns"].to_numpy(), (calls["failed"] & ~calls["rejected"]).to_numpy()
    begins = offsets_of_runs(starts_of_runs(calls["edge"].to_numpy())).tolist()
    found = {}
    for begin, end in pairwise(begins):
        row = subject.analysed.edges.row(calls["edge"][begin], named=True)
        of_edge = outlived.get((row["edge"],), late.clear())
        bound = _cluster(ns[begin:end][failed[begin:end]], ns[begin:end], limits)
        if bound is None and of_edge.height:
            # Who fails before its callee is done gave up, though seldom enough that no cluster shows when.
            bound = float(of_edge["ns"].max() or 0)  # type: ignore[arg-type]
        found[row["edge"]] = _Edge(row, calls[begin:end], bound, of_edge)
    return found


def _cluster(failed: Array, every: Array, limits: Limits) -> float | None:
    """Return the middle of the cluster of failures beyond which hardly any call goes, None without one."""
    few = int(limits.beyond_share * len(failed))
    if len(failed) < limits.cluster or few >= len(every):
        return None
    # No cluster may end below this, or too many calls go beyond it: that leaves little to be sorted.
    least = np.partition(every, len(every) - 1 - few)[len(every) - 1 - few]
    width = (1 + limits.width_share) / (1 - limits.width_share)
    ordered, longer = np.sort(failed[failed * width >= least]), np.sort(every[every >= least])
    behind = np.searchsorted(ordered, ordered * width, side="right")
    size = behind - np.arange(len(ordered))
    beyond = len(longer) - np.searchsorted(longer, ordered * width, side="right")
    good = np.flatnonzero((size >= limits.cluster) & (beyond <= limits.beyond_share * size) & (ordered > 0))
    if not good.size:
        return None
    best = good[np.argmax(size[good])]
    return float(np.median(ordered[best : behind[best]]))


def _waits(subject: Subject, limits: Limits, calls: pl.DataFrame) -> pl.DataFrame:
    """Return the calls that took far longer than their operation's healthy p99, with that as ``usual_ns``."""
    long = calls.filter((pl.col("ns") >= limits.wait_ms * _MS) & ~pl.col("rejected"))
    near = calls.filter(pl.col("edge").is_in(long["edge"].unique().implode()))
    near = near.with_columns(operation=_operations(subject, near))
    well = near.filter(pl.col("healthy") & ~pl.col("failed"))
    hung = beside_hangs(well, ["edge", "operation"], least_ms=limits.wait_ms, times=limits.times)
    usual = _usual(well.filter(~hung), limits)
    told = near.join(usual, on=["edge", "operation"])
    return told.filter((pl.col("ns") >= limits.wait_ms * _MS) & (pl.col("ns") >= limits.times * pl.col("usual_ns")))


def _usual(well: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """Return by edge and operation the healthy p99 as ``usual_ns``; of a rare operation not less than its edge's."""
    p99 = pl.col("ns").quantile(0.99, interpolation="linear")
    edges = well.group_by("edge").agg(pl.len().alias("edge_calls"), edge_ns=p99)
    found = well.group_by("edge", "operation").agg(pl.len().alias("known"), own_ns=p99).join(edges, on="edge")
    rare = pl.col("known") < limits.calls
    usual = pl.when(rare).then(pl.max_horizontal("own_ns", "edge_ns")).otherwise("own_ns")
    return found.filter(pl.col("edge_calls") >= limits.calls).select("edge", "operation", usual_ns=usual)


def _operations(subject: Subject, calls: pl.DataFrame) -> pl.Series:
    rows = pl.select(pl.coalesce(calls["answer"], calls["timed"])).to_series().to_numpy()
    return subject.analysed.forest.column("span_name", rows).cast(pl.String).fill_null("")


def _unbounded(subject: Subject, limits: Limits, edge: _Edge, waits: pl.DataFrame, *, passed_on: bool) -> Finding:
    """Say how long a caller waited; where its callee waited itself it counts half, so that the origin comes first."""
    waits = waits.filter(pl.col("edge") == edge.row["edge"])
    caller, callee = edge.row["caller"], edge.row["callee"]
    longest, slowest = (float(waits[name].max() or 0) / _MS for name in ("ns", "usual_ns"))  # type: ignore[arg-type]
    share = float(waits["weight"].sum()) / float(edge.calls["weight"].sum())
    worst = waits.sort("ns", descending=True).row(0, named=True)
    usual = _edge_p99_ms(subject, edge.row["edge"]) or slowest
    timeout, why = _timeout(usual, slowest)
    return Finding(
        NAME,
        "critical" if share >= limits.critical_share else "warning",
        score=min((share + 0.1) * (0.5 if passed_on else 1.0), 1.0),
        title=f"{caller} waits up to {format_ms(longest)} for {callee}, and nothing ends it",
        services=(caller, callee) if edge.row["callee_type"] == "service" else (caller,),
        edges=(f"{caller}->{callee}",),
        evidence={
            "longest_ms": longest,
            "healthy_p99_ms": usual,
            "operation_p99_ms": worst["usual_ns"] / _MS,
            "times": longest / max(worst["usual_ns"] / _MS, 1e-6),
            "times_limit": limits.times,
            "wait_limit_ms": limits.wait_ms,
            "waits": waits.height,
            "waits_limit": limits.waits,
            "waits_share": share,
            "critical_share_limit": limits.critical_share,
            "calls": edge.calls.height,
            "failed": int(edge.calls["failed"].sum()),
            "suggested_timeout_ms": timeout,
        },
        trace_ids=subject.trace_ids(waits.sort("ns", "trace", descending=[True, False])["trace"]),
        advice=(
            f"Give {caller}->{callee} a timeout of {format_ms(timeout)}, {why}; {percent(share)} of its calls would"
            f" have ended there instead of after up to {format_ms(longest)}. Pass what is left of it on to {callee}, so"
            " that it stops as well."
        ),
    )


def _timeout(usual: float, slowest: float) -> tuple[float, str]:
    """Twice the p99 of the edge; or of its slowest operation, which that would end in good times; and why."""
    if slowest <= _SLACK * usual:
        return rounded_up(_SLACK * usual), f"twice its usual p99 ({format_ms(usual)})"
    return rounded_up(_SLACK * slowest), f"twice the usual p99 of its slowest operation ({format_ms(slowest)})"


def _edge_p99_ms(subject: Subject, edge: int) -> float | None:
    usual = subject.edge_calls.baselines.filter(pl.col("edge") == edge)["p99_ms"]
    return None if usual.is_empty() else usual[0]


def _wasted(subject: Subject, limits: Limits, edge: _Edge, edges: dict[int, _Edge]) -> Finding:
    """Say how much a callee did for callers that had given up."""
    caller, callee, bound = edge.row["caller"], edge.row["callee"], (edge.bound_ns or 0.0) / _MS
    wasted = float((edge.outlived["outlived_ns"] * edge.outlived["weight"]).sum()) / _MS
    share = min(wasted * _MS / max(edge.row["server_ns"], 1.0), 1.0)
    inner = [other for other in edges.values() if other.row["caller_node"] == edge.row["callee_node"]]
    longer = [other for other in inner if other.bound_ns is not None and other.bound_ns / _MS > bound]
    severity: Severity = "warning" if share >= limits.wasted_share else "info"
    return Finding(
        NAME,
        severity,
        score=share,
        title=f"{callee} works on after {caller} gave up at {format_ms(bound)}",
        services=(caller, callee),
        edges=(f"{caller}->{callee}", *(f"{callee}->{other.row['callee']}" for other in longer)),
        evidence={
            "timeout_ms": bound,
            "given_up": edge.outlived.height,
            "given_up_limit": limits.cluster,
            "wasted_ms": wasted,
            "longest_after_ms": float(edge.outlived["outlived_ns"].max() or 0) / _MS,  # type: ignore[arg-type]
            "wasted_share": share,
            "wasted_share_limit": limits.wasted_share,
            "callee_timeout_ms": min((other.bound_ns or 0.0) / _MS for other in longer) if longer else None,
        },
        trace_ids=subject.trace_ids(edge.outlived.sort("outlived_ns", "trace", descending=[True, False])["trace"]),
        advice=_stop(caller, callee, bound, longer),
    )


def _stop(caller: str, callee: str, bound_ms: float, longer: list[_Edge]) -> str:
    shorter = format_ms(bound_ms)
    if longer:
        named = ", ".join(
            f"{callee}->{other.row['callee']} ({format_ms((other.bound_ns or 0) / _MS)})" for other in longer
        )
        first = f"Make the timeouts of {named} shorter than the {shorter} that {caller} waits for {callee}"
    else:
        first = (
            f"Pass the {shorter} that {caller} waits on to {callee} as a deadline, and bound what {callee} waits for by"
            " it"
        )
    return f"{first}; let {callee} stop when {caller} has gone (cancelled requests, gRPC deadlines)."


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.calls, requisites.times))
