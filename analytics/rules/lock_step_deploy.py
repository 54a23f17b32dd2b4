"""``lock-step-deploy``: services that change their version together again and again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import polars as pl

from analytics.coupling import service_graph
from analytics.findings import MOST_TRACES, Finding, Rule, unknown_finding
from analytics.rules import requisites
from analytics.words import counted, listed, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analytics.arrays import Floats
    from analytics.findings import Subject

NAME = "lock-step-deploy"
_NS = 1e9
_NEAR = 0.125
"""Of the usual time between two deploys of a service. Services deployed at random times are as near in a fifth of them,
so that five of five are no chance."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``deploys`` of each service, ``window_s`` seconds between two that belong together, ``share`` of them that do.

    ``lift`` is how many times more often that is than by chance, and ``chance`` how likely it may be that any of
    the pairs compared shows that by chance.
    """

    deploys: int = 5
    window_s: float = 600.0
    share: float = 0.8
    lift: float = 2.0
    chance: float = 0.05


@dataclass(frozen=True, slots=True)
class _Pair:
    """How often two services were deployed together: the smaller share of the two, and against chance."""

    first: int
    second: int
    together: int
    share: float
    lift: float
    chance: float
    window_s: float


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each group of services of which each was deployed with another, the largest first."""
    first_seen = version_starts(subject)
    starts = {node: times for node, (_, times) in first_seen.items() if len(times) >= limits.deploys}
    if len(starts) < 2:  # noqa: PLR2004  (it takes two)
        return _too_few(subject, {node: len(times) for node, (_, times) in first_seen.items()}, limits)
    span_s = _observed_s(subject)
    chosen = list(combinations(sorted(starts), 2))
    pairs = [_compare(a, b, (starts[a], starts[b]), span_s, len(chosen), limits) for a, b in chosen]
    kept = [p for p in pairs if p.share >= limits.share and p.lift >= limits.lift and p.chance <= limits.chance]
    groups = nx.connected_components(nx.Graph((pair.first, pair.second) for pair in kept))
    found = [_finding(subject, sorted(group), kept, starts, limits) for group in groups]
    return sorted(found, key=lambda finding: (-len(finding.services), finding.services))


def version_starts(subject: Subject) -> Mapping[int, tuple[list[str], Floats]]:
    """Return for each service with versions the later ones and the second since 1970 at which each was first seen.

    The version that a service starts with is no deploy; nor is going back to one that was there before.
    """
    forest = subject.analysed.forest
    spans = pl.DataFrame({"resource": forest.column("resource"), "start": forest.column("start_unix_nano")})
    seen = spans.group_by("resource").agg(pl.col("start").min())
    place = forest.origins.places(seen["resource"])
    named = seen.select(
        "start",
        node=pl.Series(forest.origins.service[place]),
        version=forest.origins.versions.gather(place),
    ).drop_nulls()
    ordered = named.group_by("node", "version").agg(pl.col("start").min()).sort("node", "start", "version")
    return {
        int(str(key[0])): (part["version"].to_list()[1:], part["start"].to_numpy()[1:] / _NS)
        for key, part in ordered.partition_by("node", as_dict=True, maintain_order=True).items()
    }


def _too_few(subject: Subject, deploys: Mapping[int, int], limits: Limits) -> list[Finding]:
    """Say what is missing; a single service has nobody to be deployed with."""
    if subject.analysed.nodes.filter(pl.col("type") == "service").height < 2:  # noqa: PLR2004  (it takes two)
        return []
    if not deploys:
        return [unknown_finding(NAME, "no span says its service.version", services=0)]
    enough, most = sum(count >= limits.deploys for count in deploys.values()), max(deploys.values())
    there = f"the most that one of {len(deploys)} had is {most}" if most else f"none of {len(deploys)} was deployed"
    missing = f"it takes two services with {limits.deploys} deploys each; {'only one has' if enough else there}"
    return [unknown_finding(NAME, missing, services=enough, deploys=most, deploys_limit=limits.deploys)]


def _observed_s(subject: Subject) -> float:
    forest = subject.analysed.forest
    return max(float(forest.end.max() - forest.start.min()) / _NS, 1.0)


def _compare(
    first: int, second: int, starts: tuple[Floats, Floats], span_s: float, pairs: int, limits: Limits
) -> _Pair:
    """Compare two services' deploys; by chance one falls into a window as a share of all time lies in windows."""
    window = min(limits.window_s, *(_NEAR * float(np.median(np.diff(times))) for times in starts))
    near = [_near(a, b, window) for a, b in (starts, starts[::-1])]
    shares = [count / len(times) for count, times in zip(near, starts, strict=True)]
    rarer = int(np.argmin(shares))
    mine, others = len(starts[rarer]), len(starts[1 - rarer])
    expected = 1 - max(1 - 2 * window / span_s, 0.0) ** others
    tail = sum(comb(mine, k) * expected**k * (1 - expected) ** (mine - k) for k in range(near[rarer], mine + 1))
    return _Pair(
        first, second, near[rarer], shares[rarer], shares[rarer] / max(expected, 1e-9), min(tail * pairs, 1.0), window
    )


def _near(times: Floats, others: Floats, window: float) -> int:
    """Count the times that have one of the others near."""
    return int((np.abs(times[:, None] - others[None, :]).min(axis=1) <= window).sum())


def _finding(
    subject: Subject, group: list[int], pairs: list[_Pair], starts: Mapping[int, Floats], limits: Limits
) -> Finding:
    graph, inside = service_graph(subject), [pair for pair in pairs if pair.first in group]
    names = [graph.names[node] for node in group]
    weakest = min(inside, key=lambda pair: (pair.share, pair.lift))
    deploys = min(len(starts[node]) for node in group)
    edges = [
        graph.name(edge) for edge in sorted(graph.sync.keys() | graph.asynchronous.keys()) if set(edge) <= {*group}
    ]
    return Finding(
        NAME,
        "warning",
        score=weakest.share,
        title=f"{listed(names)} are deployed together: {percent(weakest.share)} of {counted(deploys, 'deploy')}",
        services=tuple(names),
        edges=tuple(edges),
        evidence={
            "services": len(group),
            "deploys": deploys,
            "deploys_limit": limits.deploys,
            "together": weakest.together,
            "together_share": weakest.share,
            "share_limit": limits.share,
            "lift": weakest.lift,
            "lift_limit": limits.lift,
            "chance_probability": weakest.chance,
            "chance_limit": limits.chance,
            "window_s": weakest.window_s,
            "window_limit_s": limits.window_s,
        },
        trace_ids=_first_traces(subject, group, starts),
        advice=_advice(names, edges),
    )


def _first_traces(subject: Subject, group: list[int], starts: Mapping[int, Floats]) -> tuple[str, ...]:
    """Return a trace that each of the joint deploys was first seen in, by the service seen last of the group."""
    forest = subject.analysed.forest
    node = max(group, key=lambda node: starts[node][-1])
    own = np.flatnonzero(forest.service == node)
    begin = forest.column("start_unix_nano", own).to_numpy()
    rows = [int(np.argmin(np.abs(begin - at * _NS))) for at in starts[node][:MOST_TRACES]]
    return subject.trace_ids(forest.trace[own[rows]])


def _advice(names: list[str], edges: list[str]) -> str:
    between = f"what they agree on ({listed(edges, most=4)})" if edges else "what they share, data or a library"
    return (
        f"Find out why: if {listed(names)} change for the same reasons, make them one service. If not, give {between} "
        "a version, let the callee serve the old and the new one for a while, and deploy each when it is ready."
    )


RULE = Rule(NAME, Limits, find, (requisites.any_trace, requisites.services))
