"""``sync-chain``: requests that wait on a long chain of services, each of which blocks on the next."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.coupling import needs
from analytics.findings import Finding, Rule, unknown_finding
from analytics.rules import requisites
from analytics.rules.traces import slowest
from analytics.shapes import hops
from analytics.words import percent

if TYPE_CHECKING:
    from analytics.findings import Subject

NAME = "sync-chain"
_NINES = 0.999
"""An availability that shows how a chain multiplies failures: 43 minutes a month down."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Hops are calls from one service to another that somebody waits for, one inside the other.

    ``depth`` and ``critical_depth`` are hops, ``share`` is of an endpoint's requests, ``traces`` an endpoint's.
    """

    depth: int = 4
    critical_depth: int = 7
    share: float = 0.05
    traces: int = 30


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each endpoint of whose requests ``share`` wait on ``depth`` hops or more, deepest first."""
    deep = _by_endpoint(subject, limits)
    enough = deep.filter(pl.col("traces") >= limits.traces)
    found = enough.filter(pl.col("share") >= limits.share).sort("hops", "share", "endpoint", descending=[True] * 3)
    if found.height:
        return [_finding(subject, limits, row) for row in found.iter_rows(named=True)]
    rare = deep.filter((pl.col("share") > 0) & (pl.col("traces") < limits.traces)) if enough.height else deep
    if not rare.height:
        return []
    most = int(rare["traces"].to_numpy().max())
    missing = f"chains could be in endpoints with too few traces, {most} of {limits.traces} at most"
    return [unknown_finding(NAME, missing, traces=most, limit=limits.traces)]


def _by_endpoint(subject: Subject, limits: Limits) -> pl.DataFrame:
    """Return endpoints with their traces, their longest wait and the share of their requests over the limit."""
    _, depth = needs(subject.shapes)
    shape = subject.shapes.shape_of
    traces = subject.analysed.requests.traces
    requests = traces.with_columns(shape=pl.Series(shape).gather(traces["trace"])).filter(pl.col("shape") >= 0)
    deep = requests.with_columns(hops=pl.Series(depth[requests["shape"].to_numpy()], dtype=pl.Int32))
    weight = pl.col("weight")
    return (
        deep.group_by("endpoint")
        .agg(
            pl.len().alias("traces"),
            pl.col("hops").max(),
            share=weight.filter(pl.col("hops") >= limits.depth).sum() / weight.sum(),
            mean_hops=(pl.col("hops") * weight).sum() / weight.sum(),
            deepest=pl.col("trace").filter(pl.col("hops") == pl.col("hops").max()),
            shape=pl.col("shape").filter(pl.col("hops") == pl.col("hops").max()).first(),
        )
        .join(subject.analysed.requests.endpoints.select("endpoint", "service", "operation"), on="endpoint")
    )


def _finding(subject: Subject, limits: Limits, row: dict[str, Any]) -> Finding:
    chain = _chain(subject, row["shape"])
    depth, endpoint = row["hops"], f"{row['service']} {row['operation']}"
    return Finding(
        NAME,
        "critical" if depth >= limits.critical_depth else "warning",
        score=min(depth / (limits.critical_depth + limits.depth), 1.0),
        title=f"{endpoint} waits on {depth} calls inside each other: {', '.join(chain)}",
        services=tuple(dict.fromkeys(chain)),
        edges=tuple(f"{caller}->{callee}" for caller, callee in pairwise(chain)),
        evidence={
            "endpoint": endpoint,
            "hops": depth,
            "depth_limit": limits.depth,
            "critical_depth_limit": limits.critical_depth,
            "mean_hops": row["mean_hops"],
            "deep_share": row["share"],
            "share_limit": limits.share,
            "traces": row["traces"],
            "traces_limit": limits.traces,
        },
        trace_ids=slowest(subject, row["deepest"]),
        advice=_advice(chain, limits),
    )


def _chain(subject: Subject, shape: int) -> list[str]:
    """Return the services of the longest wait in a shape, the first caller first."""
    visits = subject.shapes.visits
    depth = np.where(visits.shape == shape, hops(visits.up, visits.service), -1)
    names = subject.analysed.graph.nodes["name"]
    row = int(np.argmax(depth))
    chain: list[int] = []
    while row >= 0:
        if not chain or visits.service[row] != chain[-1]:
            chain.append(int(visits.service[row]))
        row = int(visits.up[row])
    return [names[node] for node in reversed(chain)]


def _advice(chain: list[str], limits: Limits) -> str:
    """Name the call behind which the wait should end: the last one that leaves no long chain before it."""
    place = min(limits.depth - 1, len(chain) - 2)
    caller, callee = chain[place], chain[place + 1]
    services = len(set(chain))
    return (
        f"Make {caller}->{callee} async (a message, or work that {caller} takes up after it has answered), or let "
        f"{caller} keep a copy of what it asks {callee} for: that leaves {place} hops to wait for. At "
        f"{percent(_NINES)} each, {services} services are all up {percent(_NINES**services)} of the time."
    )


RULE = Rule(NAME, Limits, find, (requisites.requests, requisites.calls, requisites.times))
