"""``shared-fate``: services that most requests wait for, and endpoints that work only while many others do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.coupling import HARD, hard_needs, series_availability
from analytics.findings import Finding, Rule, unknown_finding
from analytics.rules import requisites
from analytics.rules.traces import slowest
from analytics.words import counted, listed, percent

if TYPE_CHECKING:
    from analytics.findings import Subject

NAME = "shared-fate"
_NINES = 0.999
_MOST_ENDPOINTS = 5
"""Endpoints that are told of, the worst: the same services stand behind the rest."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``blast_radius`` is the share of requests that wait for a service which they did not come to; it has ``callers``.

    ``dependencies`` are what an endpoint waits for in most requests, databases and external systems too;
    ``availability`` that of all of them at once, and ``traces`` an endpoint's requests.
    """

    blast_radius: float = 0.75
    callers: int = 2
    dependencies: int = 5
    availability: float = 0.99
    traces: int = 30


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return endpoints that share the fate of many, the least available first, then services that are everybody's."""
    requests = subject.analysed.requests.traces
    if not requests.height or subject.analysed.nodes.filter(pl.col("type") == "service").height < 2:  # noqa: PLR2004
        return []
    if requests.height < limits.traces:
        missing = f"{counted(requests.height, 'trace')} of {limits.traces}"
        return [unknown_finding(NAME, missing, traces=requests.height, traces_limit=limits.traces)]
    return _endpoints(subject, limits) + _everybodys(subject, limits)


def _endpoints(subject: Subject, limits: Limits) -> list[Finding]:
    needs = hard_needs(subject.analysed)
    endpoints = subject.analysed.profile.endpoints.filter(pl.col("traces") >= limits.traces)
    series = series_availability(needs).join(endpoints, on="endpoint")
    tied = series.filter(pl.col("dependencies") >= limits.dependencies)
    worst = tied.sort("series_availability", "dependencies", "endpoint", descending=[False, True, False])
    return [
        _of_endpoint(subject, needs.filter(pl.col("endpoint") == row["endpoint"]), row, tied.height, limits)
        for row in worst.head(_MOST_ENDPOINTS).iter_rows(named=True)
    ]


def _of_endpoint(subject: Subject, needs: pl.DataFrame, row: dict[str, Any], tied: int, limits: Limits) -> Finding:
    endpoint, series, weakest = f"{row['service']} {row['operation']}", row["series_availability"], row["weakest"]
    failing = row["weakest_availability"] < 1
    services = needs.filter(pl.col("type") == "service")["name"].to_list()
    hurts = series < limits.availability and row["error_rate"] > 1 - limits.availability
    slowest_name, slowest_share = _slowest(subject, row)
    said = f"; {weakest} fails most, {percent(1 - row['weakest_availability'])} of the time" if failing else ""
    requests = subject.analysed.requests.traces.filter(pl.col("endpoint") == row["endpoint"])
    failed = requests.filter(pl.col("error"))
    return Finding(
        NAME,
        "critical" if hurts else "warning",
        score=min(row["dependencies"] / (2 * limits.dependencies), 0.5) + min(0.5, 1 - series),
        title=f"{endpoint} works only while {row['dependencies']} others do{said}",
        services=tuple(dict.fromkeys([weakest, *services])) if failing and weakest in services else tuple(services),
        evidence={
            "endpoint": endpoint,
            "dependencies": row["dependencies"],
            "dependencies_limit": limits.dependencies,
            "series_availability_share": series,
            "availability_limit": limits.availability,
            "weakest": weakest if failing else None,
            "weakest_availability_share": row["weakest_availability"],
            "endpoint_error_rate": row["error_rate"],
            "hard_share_limit": HARD,
            "slowest": slowest_name,
            "slowest_latency_share": slowest_share,
            "traces": row["traces"],
            "traces_limit": limits.traces,
            "endpoints": tied,
        },
        trace_ids=slowest(subject, (failed if failed.height else requests)["trace"].to_numpy()),
        advice=_advice(subject, row, weakest if failing else _last_needed(subject, row, needs), limits),
    )


def _slowest(subject: Subject, row: dict[str, Any]) -> tuple[str | None, float]:
    """Return what takes the largest part of an endpoint's latency beside its own service, and that part."""
    nodes = subject.analysed.attribution.nodes.filter(pl.col("kind") == "service")
    parts = subject.analysed.profile.contributions.filter(pl.col("endpoint") == row["endpoint"])
    others = parts.join(nodes, on="node", maintain_order="left").filter(pl.col("name") != row["service"])
    return (others["name"][0], float(others["share"][0])) if others.height else (None, 0.0)


def _advice(subject: Subject, row: dict[str, Any], chosen: str, limits: Limits) -> str:
    """Name who calls the dependency that is best done without, and how good each must be else."""
    callers = _callers(subject, pl.col("callee") == chosen)
    where = f"where {listed(callers, most=3)} {'call' if len(callers) > 1 else 'calls'} it" if callers else "there"
    target = limits.availability if row["series_availability"] < limits.availability else _NINES
    return (
        f"Take {chosen} out of the way of {row['service']} {row['operation']} first: {where}, answer without it when "
        "it does not (a circuit breaker with a fallback), or hand it the work as a message. To be up "
        f"{percent(target)} of the time, each of {row['dependencies']} dependencies has to be up "
        f"{percent(target ** (1 / max(row['dependencies'], 1)))}."
    )


def _callers(subject: Subject, callee: pl.Expr) -> list[str]:
    """Return the services that call one and wait, the busiest first."""
    edges = subject.analysed.edges.filter(callee & (pl.col("mode") == "sync") & (pl.col("caller_type") == "service"))
    return edges.sort("calls", "edge", descending=[True, False])["caller"].to_list()


def _last_needed(subject: Subject, row: dict[str, Any], needs: pl.DataFrame) -> str:
    """Return the dependency that fewest of the endpoint's requests wait for, of several the one that calls fewest."""
    fan_out = subject.analysed.nodes.select("node", "fan_out")
    others = needs.join(fan_out, on="node").filter((pl.col("name") != row["service"]) & (pl.col("type") == "service"))
    ranked = (others if others.height else needs.join(fan_out, on="node")).sort("share", "fan_out", "node")
    return str(ranked["name"][0])


def _everybodys(subject: Subject, limits: Limits) -> list[Finding]:
    """Return the services that most requests wait for which came to another one."""
    requests = subject.analysed.requests.traces
    trace, node = subject.analysed.graph.needed
    forest = subject.analysed.forest
    called = node != forest.service[forest.trace_root[trace]]
    pairs = pl.DataFrame({"trace": trace[called].astype(np.int32), "node": node[called].astype(np.int32)})
    waiting = pairs.join(requests, on="trace").group_by("node").agg(pl.col("weight").sum())
    total = float(requests["weight"].sum())
    stats = subject.analysed.nodes.filter(pl.col("type") == "service").drop("weight")
    shares = waiting.join(stats, on="node").with_columns(share=pl.col("weight") / total)
    errors = subject.analysed.errors.services.select("node", own=pl.col("originated") / pl.col("weight"))
    found = shares.filter(pl.col("share") >= limits.blast_radius).join(errors, on="node", how="left")
    ranked = found.sort("share", "node", descending=[True, False]).iter_rows(named=True)
    findings = [_of_service(subject, row, pairs, limits) for row in ranked]
    return [finding for finding in findings if len(finding.edges) >= limits.callers]


def _of_service(subject: Subject, row: dict[str, Any], pairs: pl.DataFrame, limits: Limits) -> Finding:
    own, name = row["own"] or 0.0, row["name"]
    callers = _callers(subject, pl.col("callee_node") == row["node"])
    return Finding(
        NAME,
        "critical" if own > 1 - limits.availability else "warning",
        score=row["share"],
        title=f"{percent(row['share'])} of requests wait for {name}: when it fails or slows down, they do",
        services=(name,),
        edges=tuple(f"{caller}->{name}" for caller in callers),
        evidence={
            "blast_radius_share": row["share"],
            "blast_radius_limit": limits.blast_radius,
            "own_error_rate": own,
            "availability_limit": limits.availability,
            "p99_ms": row["p99_ms"],
            "callers": len(callers),
            "callers_limit": limits.callers,
            "traces_limit": limits.traces,
        },
        trace_ids=slowest(subject, pairs.filter(pl.col("node") == row["node"])["trace"].to_numpy()),
        advice=(
            f"Let {listed(callers, most=3)} keep what they need of {name} (a copy that events keep fresh, or a cache "
            f"that may be old while {name} is down), and give each call to it a timeout and a fallback."
        ),
    )


RULE = Rule(NAME, Limits, find, (requisites.requests, requisites.calls, requisites.times))
