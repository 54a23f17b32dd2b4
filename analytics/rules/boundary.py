"""``boundary``: services that should be one, and a service that should be two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import polars as pl

from analytics.communities import find_communities
from analytics.coupling import service_graph
from analytics.findings import Finding, Rule, unknown_finding
from analytics.rules import requisites
from analytics.rules.traces import slowest
from analytics.words import listed, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analytics.coupling import Edge, ServiceGraph
    from analytics.findings import Subject

NAME = "boundary"


@dataclass(frozen=True, slots=True)
class Limits:
    """Two services are one when a ``share`` of the callee's calls are between them, ``calls_per_trace`` or more.

    A service is two when its operations fall apart into parts that share no caller, callee or table, each of which
    takes ``part_share`` of its requests. ``traces`` are those with such calls.
    """

    share: float = 0.8
    calls_per_trace: float = 3.0
    part_share: float = 0.2
    traces: int = 30


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two services, one calling the other: the share of the callee's calls, calls in a trace, shared databases."""

    edge: Edge
    share: float
    per_trace: float
    traces: int
    databases: tuple[str, ...]
    data_known: bool


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each two services that should be one, then for each that should be two."""
    graph = service_graph(subject)
    databases = _databases(subject)
    counts = _counts(subject)
    calls = _calls_by_node(graph)
    pairs = [_pair(graph, edge, counts.get(edge, (0, 0)), calls[edge[1]], databases) for edge in sorted(graph.sync)]
    close = [p for p in pairs if p.share >= limits.share and p.per_trace >= limits.calls_per_trace]
    communities = _communities(graph) if close else []
    close = [pair for pair in close if any(community.issuperset(pair.edge) for community in communities)]
    sure = [pair for pair in close if pair.databases and pair.traces >= limits.traces]
    found = [_one(subject, graph, pair, limits) for pair in sorted(sure, key=lambda p: (-p.share, p.edge))]
    found += _apart(subject, graph, limits)
    doubtful = [p for p in close if p not in sure and (not p.data_known or p.traces < limits.traces)]
    return found or [_unknown(graph, pair, limits) for pair in doubtful[:1]]


def _unknown(graph: ServiceGraph, pair: _Pair, limits: Limits) -> Finding:
    names = listed([graph.names[node] for node in pair.edge])
    if pair.traces < limits.traces:
        missing = f"{names} call each other in {pair.traces} of {limits.traces} traces"
    else:
        missing = f"{names} call almost only each other, and no span says which databases they use"
    return unknown_finding(NAME, missing, traces=pair.traces, traces_limit=limits.traces)


def _databases(subject: Subject) -> Mapping[int, set[str]]:
    """Return by service the databases that it calls, by name."""
    edges = subject.analysed.edges.filter((pl.col("callee_type") == "database") & (pl.col("weight") > 0))
    grouped = edges.group_by("caller_node").agg(pl.col("callee"))
    return {int(node): set(names) for node, names in grouped.iter_rows()}


def _counts(subject: Subject) -> dict[Edge, tuple[int, int]]:
    """Return the sync calls and the traces with some, by caller and callee."""
    sync = subject.analysed.graph.calls.filter(pl.col("mode") == "sync")
    counted = sync.group_by("caller", "callee").agg(pl.len(), pl.col("trace").n_unique().alias("traces"))
    return {(caller, callee): (calls, traces) for caller, callee, calls, traces in counted.iter_rows()}


def _pair(
    graph: ServiceGraph, edge: Edge, counts: tuple[int, int], callee_calls: float, databases: Mapping[int, set[str]]
) -> _Pair:
    between = graph.sync[edge] + graph.sync.get(edge[::-1], 0.0)
    calls, traces = counts
    both = [databases.get(node, set()) for node in edge]
    per_trace = calls / traces if traces else 0.0
    return _Pair(edge, between / callee_calls, per_trace, traces, tuple(sorted(both[0] & both[1])), all(both))


def _calls_by_node(graph: ServiceGraph) -> dict[int, float]:
    """Return by service all calls between it and others, whatever way."""
    calls: dict[int, float] = {}
    for mode in (graph.sync, graph.asynchronous):
        for edge, weight in mode.items():
            for node in edge:
                calls[node] = calls.get(node, 0.0) + weight
    return calls


def _communities(graph: ServiceGraph) -> list[set[int]]:
    """Return the communities of the call graph, whatever way calls go."""
    calls = {
        edge: graph.sync.get(edge, 0.0) + graph.asynchronous.get(edge, 0.0)
        for edge in (*graph.sync, *graph.asynchronous)
    }
    return find_communities(graph.names, calls)


def _one(subject: Subject, graph: ServiceGraph, pair: _Pair, limits: Limits) -> Finding:
    caller, callee = (graph.names[node] for node in pair.edge)
    calls = subject.analysed.graph.calls.filter((pl.col("caller") == pair.edge[0]) & (pl.col("callee") == pair.edge[1]))
    counts = calls.group_by("trace").len().sort("len", "trace", descending=[True, False])
    return Finding(
        NAME,
        "warning",
        score=pair.share,
        title=f"{caller} and {callee} are one service cut in two: {percent(pair.share)} of {callee}'s calls "
        "are between them",
        services=(caller, callee),
        edges=(f"{caller}->{callee}",),
        evidence={
            "parts": 1,
            "calls_share": pair.share,
            "share_limit": limits.share,
            "calls_per_trace": pair.per_trace,
            "calls_per_trace_limit": limits.calls_per_trace,
            "shared_databases": len(pair.databases),
            "traces": pair.traces,
            "traces_limit": limits.traces,
        },
        trace_ids=subject.trace_ids(counts["trace"].head(5)),
        advice=(
            f"Merge {callee} into {caller}: they share {listed(pair.databases)}, and {pair.per_trace:.1f} calls from "
            f"one to the other stay within one process wherever {caller} makes any. If they must stay apart, give "
            f"{callee} one call that answers all of it, and its own data."
        ),
    )


def _apart(subject: Subject, graph: ServiceGraph, limits: Limits) -> list[Finding]:
    """Return the services whose operations have nothing in common."""
    ties = _ties(subject)
    found: list[Finding] = []
    for (node,), rows in ties.partition_by("node", as_dict=True, maintain_order=True).items():
        parts = _parts(rows)
        requests = [sum(part.values()) for part in parts]
        total = sum(requests)
        big = [part for part, count in zip(parts, requests, strict=True) if count >= limits.part_share * total]
        if len(big) > 1 and min(sum(part.values()) for part in big) >= limits.traces:
            found.append(_two(subject, graph.names[int(str(node))], int(str(node)), big, total, limits))
    return found


def _ties(subject: Subject) -> pl.DataFrame:
    """Return ``node``, ``operation``, ``requests`` and ``tie``: who calls an operation, and what it calls.

    A tie is a caller, a callee, or a table of a database, or the database where no table is named.
    """
    analysed = subject.analysed
    graph, forest = analysed.graph, analysed.forest
    into = graph.calls.filter(pl.col("answer").is_not_null()).select(at="answer", kind=pl.lit("caller"), other="caller")
    outof = graph.calls.filter(pl.col("span").is_not_null())
    span = outof["span"].to_numpy()
    table = forest.column("db_collection", span).cast(pl.Categorical)
    callee = outof.select(
        at=pl.Series(subject.entry[span]),
        kind=pl.when(pl.Series(table.is_not_null())).then(pl.lit("table")).otherwise(pl.lit("callee")),
        other="callee",
        table=table,
    )
    both = pl.concat([into.cast({"at": pl.Int32}), callee.cast({"at": pl.Int32})], how="diagonal")
    both = both.with_columns(
        node=pl.Series(forest.service[both["at"].to_numpy()]),
        operation=forest.column("span_name", both["at"].to_numpy()).cast(pl.Categorical),
    )
    grouped = both.group_by("node", "operation", "kind", "other", "table").agg(requests=pl.col("at").n_unique())
    tie = pl.format("{} {}", "kind", "other") + pl.format(" {}", pl.col("table").cast(pl.String)).fill_null("")
    named = grouped.select("node", pl.col("operation").cast(pl.String), tie.alias("tie"), "requests")
    return named.sort("node", "operation", "tie")


def _parts(rows: pl.DataFrame) -> list[dict[str, int]]:
    """Return the operations that hang together, with their requests, the busiest part first.

    Parts without data of their own are left out: they are no business of their own.
    """
    ties = nx.Graph()
    requests: dict[str, int] = {}
    for operation, tie, count in rows.select("operation", "tie", "requests").iter_rows():
        ties.add_edge(("operation", operation), ("tie", tie))
        requests[operation] = max(requests.get(operation, 0), count)
    parts = [
        {name: requests[name] for kind, name in sorted(component) if kind == "operation"}
        for component in nx.connected_components(ties)
        if any(kind == "tie" and name.startswith("table") for kind, name in component)
    ]
    return sorted(parts, key=lambda part: (-sum(part.values()), min(part)))


def _two(subject: Subject, name: str, node: int, parts: list[dict[str, int]], total: int, limits: Limits) -> Finding:
    forest = subject.analysed.forest
    operations = [listed(list(part), most=3) for part in parts]
    least = sum(parts[-1].values()) / total
    rows = np.flatnonzero(subject.analysed.graph.entries & (forest.service == node))
    return Finding(
        NAME,
        "info",
        score=least,
        title=f"{name} is {len(parts)} services in one: {'; and '.join(operations)} share no caller, callee or table",
        services=(name,),
        evidence={
            "parts": len(parts),
            "operations": sum(map(len, parts)),
            "smallest_share": least,
            "part_share_limit": limits.part_share,
            "requests": total,
            "traces_limit": limits.traces,
        },
        trace_ids=slowest(subject, forest.trace[rows]),
        advice=(
            f"{name} could be split along this line without a call between the halves: {'; and '.join(operations)}. It "
            "is worth it when different people work on them, or when one needs far more instances than the other."
        ),
    )


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.calls))
