"""``cascade``: failures of one service that become failures of those that call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.errors import ENOUGH_FAILURES
from analytics.findings import Finding, Rule, unknown_finding
from analytics.rules import requisites
from analytics.rules.suggestions import breaker
from analytics.rules.traces import slowest
from analytics.schema import STATUSES
from analytics.words import listed, percent

if TYPE_CHECKING:
    from analytics.arrays import Array
    from analytics.findings import Subject

NAME = "cascade"


@dataclass(frozen=True, slots=True)
class Limits:
    """``rise`` is how much more often requests fail when a call did, by the lower bound of the interval.

    ``failures`` are those that began with one service or what it called, ``hops`` edges that they climb, and
    ``critical_share`` the share of an endpoint's requests that fail by it.
    """

    failures: int = ENOUGH_FAILURES
    rise: float = 0.05
    hops: int = 2
    critical_share: float = 0.05
    breaker_share: float = 0.5


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each service or system whose failures climb, the one that fails most requests first."""
    edges = _sync_edges(subject)
    climbing = edges.filter(pl.col("failure_propagation_low") > pl.col("base_rate").fill_null(0.0) + limits.rise)
    origins = climbing.group_by("callee_node").agg(pl.col("originated").sum())
    chosen = origins.filter(pl.col("originated") >= limits.failures).sort("originated", "callee_node", descending=True)
    cascades = [_Cascade(subject, climbing, node, limits) for node in chosen["callee_node"]]
    found = [cascade.finding() for cascade in cascades if cascade.counts()]
    if found:
        return sorted(found, key=lambda finding: -finding.score)
    known = edges["failure_propagation"].drop_nulls().len()
    if known or not edges.height:
        return []
    most = int(edges["failed_parents"].to_numpy().max())
    missing = f"no call has failed often enough to tell what its caller does then: {most} of {limits.failures} times"
    return [unknown_finding(NAME, missing if most else "no call has failed yet", failures=most, limit=limits.failures)]


def _sync_edges(subject: Subject) -> pl.DataFrame:
    """Return the sync edges of services with what is known of their errors."""
    analysed = subject.analysed
    edges = analysed.edges.filter((pl.col("mode") == "sync") & (pl.col("caller_type") == "service"))
    edges = edges.filter(pl.col("caller_node") != pl.col("callee_node"))
    return edges.join(analysed.errors.edges.drop("errors"), on="edge", maintain_order="left")


class _Cascade:
    """Failures that begin at one node: the edges they climb, the endpoints that fail with it."""

    def __init__(self, subject: Subject, climbing: pl.DataFrame, origin: int, limits: Limits) -> None:
        self.subject, self.limits, self.origin = subject, limits, origin
        self.path = _climb(climbing, origin)
        self.failing = _failing_traces(subject, origin)
        self.endpoints = _endpoints(subject, self.failing)

    def counts(self) -> bool:
        """Tell whether it is one: it climbs far enough, or requests of users fail by it."""
        return len(self.path) >= self.limits.hops or self.endpoints.height > 0

    def finding(self) -> Finding:
        first, names = self.path[0], [self.path[0]["callee"], *(edge["caller"] for edge in self.path)]
        share = float(self.endpoints["share"].to_numpy().max()) if self.endpoints.height else 0.0
        return Finding(
            NAME,
            "critical" if share >= self.limits.critical_share else "warning",
            score=min(share + 0.1 * len(self.path), 1.0),
            title=f"Failures of {names[0]} climb to {listed(names[1:])}{self._affected()}",
            services=tuple(names),
            edges=tuple(f"{edge['caller']}->{edge['callee']}" for edge in self.path),
            evidence=self._evidence(first, share),
            trace_ids=slowest(self.subject, self.failing["trace"].to_numpy()),
            advice=self._advice(first),
        )

    def _affected(self) -> str:
        rows = self.endpoints.head(3).select("service", "operation", "share").rows()
        said = [f"{percent(share)} of {service} {operation}" for service, operation, share in rows]
        return f" and fail {listed(said)}" if said else ""

    def _evidence(self, first: dict[str, Any], share: float) -> dict[str, Any]:
        weakest = min(self.path, key=lambda edge: edge["failure_propagation_low"] - (edge["base_rate"] or 0.0))
        return {
            "origin": first["callee"],
            "originated": first["originated"],
            "failures_limit": self.limits.failures,
            "hops": len(self.path),
            "hops_limit": self.limits.hops,
            "failure_propagation_rate": weakest["failure_propagation"],
            "failure_propagation_low_rate": weakest["failure_propagation_low"],
            "base_rate": weakest["base_rate"],
            "rise_limit": self.limits.rise,
            "failed_calls": first["failed_parents"],
            "failed_requests": self.failing.height,
            "failed_endpoints": self.endpoints.height,
            "worst_endpoint": " ".join(self.endpoints.select("service", "operation").row(0)) if share else None,
            "worst_endpoint_share": share,
            "critical_share_limit": self.limits.critical_share,
        }

    def _advice(self, first: dict[str, Any]) -> str:
        edge, known = f"{first['caller']}->{first['callee']}", self.subject.edge_calls.baselines
        usual = known.filter(pl.col("edge") == first["edge"])
        opens = (
            breaker(usual.row(0, named=True), slow_share=self.limits.breaker_share)
            if usual.height
            else f"when {percent(self.limits.breaker_share)} of calls fail"
        )
        return (
            f"Put a circuit breaker around {edge} that opens {opens}, and let {first['caller']} answer without"
            f" {first['callee']} then: with what it knew last, or with an accepted request that is finished by a"
            " message later."
        )


def _climb(climbing: pl.DataFrame, origin: int) -> list[dict[str, Any]]:
    """Return the edges from the origin upwards, at each service the one that passes on most, until one comes again."""
    by_callee = climbing.sort("errors", "edge", descending=[True, False]).partition_by("callee_node", as_dict=True)
    path: list[dict[str, Any]] = []
    node, seen = origin, {origin}
    while (node,) in by_callee:
        upwards = by_callee[node,].filter(~pl.col("caller_node").is_in(list(seen)))
        upwards = upwards if not path else upwards.filter(pl.col("propagated") > 0)
        if not upwards.height:
            break
        path.append(upwards.row(0, named=True))
        node = path[-1]["caller_node"]
        seen.add(node)
    return path


def _failing_traces(subject: Subject, origin: int) -> pl.DataFrame:
    """Return the requests that failed, and in which the origin did or a call to it."""
    graph, forest = subject.analysed.graph, subject.analysed.forest
    calls = graph.calls.filter(pl.col("callee") == origin)
    failed = calls.filter(pl.any_horizontal(pl.col("client_failed", "server_failed").fill_null(value=False)))
    entries: Array = np.flatnonzero(graph.entries & (forest.service == origin))
    status = forest.column("status", entries).to_physical().to_numpy() == STATUSES.index("error")
    traces = np.concatenate([failed["trace"].to_numpy(), forest.trace[entries[status]]]).astype(np.int32)
    requests = subject.analysed.requests.traces
    return requests.filter(pl.col("error") & pl.col("trace").is_in(pl.Series(np.unique(traces)).implode()))


def _endpoints(subject: Subject, failing: pl.DataFrame) -> pl.DataFrame:
    """Return the endpoints of requests with the share that failed, the worst first."""
    requests = subject.analysed.requests
    total = requests.traces.group_by("endpoint").agg(total=pl.col("weight").sum())
    failed = failing.group_by("endpoint").agg(pl.col("weight").sum()).join(total, on="endpoint")
    named = failed.join(requests.endpoints.select("endpoint", "service", "operation"), on="endpoint")
    shares = named.with_columns(share=pl.col("weight") / pl.col("total"))
    return shares.sort("share", "endpoint", descending=[True, False])


RULE = Rule(NAME, Limits, find, (requisites.requests, requisites.calls))
