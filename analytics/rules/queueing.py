"""``queueing``: calls that wait longer before they are served the busier their callee is."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.findings import Finding, Rule, unknown_finding
from analytics.load import windows_of
from analytics.queueing import CORRELATION, ENOUGH_CALLS, ENOUGH_WINDOWS, GROWTH, LOAD_RANGE, queueing_gaps
from analytics.rules import requisites
from analytics.rules.traces import slowest
from analytics.words import counted, listed, percent

if TYPE_CHECKING:
    from analytics.findings import Subject

    Row = dict[str, Any]

NAME = "queueing"
_NS = 1e9
_MS = 1e6
_LONGER = 6
"""Minutes instead of windows of ten seconds, where these have too few calls."""
_CHANCE = 2.33
"""Standard deviations of a rank correlation by chance, 1/sqrt(n - 1): one in a hundred edges exceeds as many."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``wait_ms`` is by how much the gap rises from quiet to busy ``window_s``, and ``growth`` how many times.

    ``correlation`` is that of the ranks of gap and load; ``windows`` have ``calls`` each, and the busiest third has
    ``load_range`` times the load of the quietest. It is critical where calls wait for ``critical_share`` of their time.
    """

    wait_ms: float = 1.0
    growth: float = GROWTH
    correlation: float = CORRELATION
    windows: int = ENOUGH_WINDOWS
    calls: int = ENOUGH_CALLS
    load_range: float = LOAD_RANGE
    window_s: float = 10.0
    critical_share: float = 0.5


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each service that is waited for, or that starves itself, the longest wait first."""
    edges = _edges(subject, limits)
    queues = edges.filter("queue")
    if queues.height:
        blamed = _blame(edges).partition_by("blamed", "starved", maintain_order=True)
        found = [_finding(subject, group, limits) for group in blamed]
        return sorted(found, key=lambda finding: -finding.score)
    lacking = edges.filter(pl.col("status") == "unknown").sort("calls", descending=True)
    if not lacking.height:
        return []
    first = lacking.row(0, named=True)
    busiest = f"{first['caller']}->{first['callee']}"
    missing = f"{counted(lacking.height, 'edge')} cannot be judged; of {busiest}, the busiest, {first['reason']}"
    return [
        unknown_finding(NAME, missing, edges=lacking.height, windows=first["windows"], windows_limit=limits.windows)
    ]


def _edges(subject: Subject, limits: Limits) -> pl.DataFrame:
    """Return QUEUEING with EDGES; ``queue`` says whether the gap rises as the limits have it."""
    analysed = subject.analysed
    width = int(limits.window_s * _NS)
    parts = []
    for factor in (1, _LONGER):
        windows = windows_of(analysed.forest, max(width * factor, 1))
        parts.append(
            queueing_gaps(
                analysed.graph,
                analysed.weights,
                windows,
                enough=(limits.windows, limits.calls),
                load_range=limits.load_range,
            ).with_columns(window_s=pl.lit(limits.window_s * factor))
        )
    short, long = parts
    known = long.filter(pl.col("status") != "unknown").join(
        short.filter(pl.col("status") == "unknown"), on="edge", how="semi"
    )
    gaps = pl.concat([known, short.join(known, on="edge", how="anti")]).sort("edge")
    rank = pl.max_horizontal(pl.lit(limits.correlation), _CHANCE / (pl.col("windows") - 1).clip(1).sqrt())
    wait = pl.col("gap_high_ms") - pl.col("gap_low_ms")
    queue = (
        (pl.col("correlation") >= rank)
        & (pl.col("gap_high_ms") >= limits.growth * pl.col("gap_low_ms"))
        & (wait >= limits.wait_ms)
    )
    rows = gaps.join(analysed.edges, on="edge").with_columns(wait_ms=wait, queue=queue.fill_null(value=False))
    return rows.filter((pl.col("caller_type") == "service") & (pl.col("caller_node") != pl.col("callee_node")))


def _blame(edges: pl.DataFrame) -> pl.DataFrame:
    """Return the edges with a queue, by whom they wait for: their callee, or a caller all of whose calls wait.

    A caller with one callee proves nothing against itself.
    """
    known = edges.filter(pl.col("status") != "unknown")
    starved = known.group_by("caller_node").agg(starved=pl.col("queue").all() & (pl.len() > 1))
    queues = edges.filter("queue").join(starved, on="caller_node", how="left", maintain_order="left")
    blamed = pl.when("starved").then("caller_node").otherwise("callee_node")
    return queues.with_columns(blamed=blamed).sort("wait_ms", "edge", descending=[True, False])


def _finding(subject: Subject, group: pl.DataFrame, limits: Limits) -> Finding:
    worst = group.row(0, named=True)
    name = worst["caller"] if worst["starved"] else worst["callee"]
    server_ms = worst["server_ns"] / worst["server_weight"] / _MS if worst["server_weight"] else 0.0
    share = worst["wait_ms"] / (worst["gap_high_ms"] + server_ms) if worst["gap_high_ms"] + server_ms else 0.0
    # Little's law: as many are served, and wait, at once.
    served, waiting = worst["load_high"] * server_ms / 1000, worst["load_high"] * worst["wait_ms"] / 1000
    edges = tuple(f"{caller}->{callee}" for caller, callee in group.select("caller", "callee").rows())
    callers = listed(group["callee" if worst["starved"] else "caller"].to_list(), most=3)
    whose = (
        f"calls of {name} to {callers} wait in {name}" if worst["starved"] else f"calls of {callers} wait for {name}"
    )
    return Finding(
        NAME,
        "critical" if share >= limits.critical_share else "warning",
        score=min(max(share, 0.0), 1.0),
        title=f"{whose[0].upper()}{whose[1:]}: {worst['gap_low_ms']:,.1f} ms at {worst['load_low']:,.1f} requests a "
        f"second, {worst['gap_high_ms']:,.1f} ms at {worst['load_high']:,.1f}",
        services=(name,),
        edges=edges,
        evidence=_evidence(worst, share, limits)
        | {"server_ms": server_ms, "served_at_once": served, "waiting_at_once": waiting},
        trace_ids=slowest(subject, _traces(subject, worst)),
        advice=_advice(subject, worst, served, waiting),
    )


def _evidence(worst: Row, share: float, limits: Limits) -> Row:
    return {
        "gap_low_ms": worst["gap_low_ms"],
        "gap_high_ms": worst["gap_high_ms"],
        "wait_ms": worst["wait_ms"],
        "wait_limit_ms": limits.wait_ms,
        "load_low": worst["load_low"],
        "load_high": worst["load_high"],
        "correlation": worst["correlation"],
        "correlation_limit": limits.correlation,
        "wait_share": share,
        "critical_limit_share": limits.critical_share,
        "growth_limit": limits.growth,
        "windows": worst["windows"],
        "windows_limit": limits.windows,
        "window_s": worst["window_s"],
    }


def _traces(subject: Subject, worst: Row) -> Any:
    """Return the traces whose calls on the edge had the longest gaps."""
    calls = subject.analysed.graph.calls
    same = (pl.col("caller") == worst["caller_node"]) & (pl.col("callee") == worst["callee_node"])
    gaps = calls.filter(same).with_columns(gap=pl.col("client_ns") - pl.col("server_ns"))
    return gaps.drop_nulls("gap").sort("gap", "trace", descending=[True, False]).head(50)["trace"].to_numpy()


def _advice(subject: Subject, worst: Row, served: float, waiting: float) -> str:
    more, load = max(ceil(waiting), 1), f"{worst['load_high']:,.1f} requests a second"
    if worst["starved"]:
        name = worst["caller"]
        return (
            f"{name} waits on all that it calls, so it lacks something itself: at {load} of {worst['callee']} "
            f"{waiting:,.1f} calls wait in it at once. Give it {counted(more, 'connection')} more for each callee, or "
            f"more processors or instances; {_resource_hint(subject, name)}."
        )
    name = worst["callee"]
    return (
        f"Give {name} {counted(more, 'more worker')} (threads or processes, or as many more instances as have these "
        f"together): at {load} it works on {served:,.1f} at once while {waiting:,.1f} wait, and with T = N·R/L that "
        f"many more leave no queue. {_resource_hint(subject, name).capitalize()}."
    )


def _resource_hint(subject: Subject, service: str) -> str:
    """Say what metrics tell of its fullest resource, or that they would."""
    use = subject.saturation.filter((pl.col("service") == service) & pl.col("saturation").is_not_null())
    if not use.height:
        return "metrics of its processors, threads and connections would tell which of them is short"
    return f"the fullest of its resources: {percent(use['saturation'][0])} of {use['saturation_source'][0]}"


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.calls, requisites.times))
