"""Simulation: what becomes of the recorded requests when services get slower, fail, or are called otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE
from analytics.changes import Edge, Fail, Slow
from analytics.codes import sum_by
from analytics.dependencies import find_awaited
from analytics.entries import entry_of
from analytics.failing import fail_upwards, measure_climb
from analytics.graph import edge_numbers
from analytics.quantiles import ENOUGH_FOR_P99, weighted_quantiles
from analytics.replay import Cuts, plan_replay, replay
from analytics.targets import (
    call_operations,
    call_spans,
    entries_of,
    failed_calls,
    find_calls_on,
    find_nodes,
    request_spans,
    working_spans,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.analysis import Analysed
    from analytics.arrays import Array, Flags, Floats, Rows, Times
    from analytics.changes import Change
    from analytics.failing import Climb
    from analytics.replay import Plan, Replayed

MS = 1e6
_QUANTILES = {"p50": 0.5, "p99": 0.99}
_NEVER = np.iinfo(np.int64).max
_LONGEST = 43.0  # e^43 ns are 150 years, and fit 64 bits
_HEALTHY_CALLS = 20
"""With fewer calls that did not fail, nothing is said of how long a healthy one takes."""
_FENCE = 6
"""Times the distance from the first quartile to the median of the logarithms, above the median: 4 standard deviations
of a lognormal time. It looks at the faster half alone, since an incident's slow calls are on record, too."""
_LEAST_FENCE = float(np.log(2))
"""Calls that take about as long each time are slow from twice as long on."""


@dataclass(frozen=True, slots=True)
class OnEdge:
    """A change of an edge, its calls (rows of CALLS), and for a breaker the operations (by call) and their limits.

    Calls over a limit are too slow; None where too few are healthy.
    """

    change: Edge
    calls: Array
    operations: list[str]
    limits_ns: dict[str, int | None]


class Simulation:
    """The replay of all requests to one environment with some changes.

    Raises ``ConfigurationError`` for a service or an edge that no trace has.
    """

    def __init__(self, analysed: Analysed, changes: Sequence[Change]) -> None:
        self.analysed = analysed
        self.changes = list(changes)
        self.slow = [(change, find_nodes(analysed, change.service)) for change in changes if isinstance(change, Slow)]
        self.fail = [(change, find_nodes(analysed, change.service)) for change in changes if isinstance(change, Fail)]
        self.edges = [_on_edge(analysed, change) for change in changes if isinstance(change, Edge)]

    @cached_property
    def plan(self) -> Plan:
        """How the traces are replayed."""
        return plan_replay(find_awaited(self.analysed.graph, self.analysed.path.siblings))

    @cached_property
    def climb(self) -> Climb | None:
        """How failures climb, None when no change makes any."""
        if not self.fail and all(edge.change.kind != "breaker" for edge in self.edges):
            return None
        climb = measure_climb(self.analysed.graph, self.analysed.weights)
        share = climb.share.copy()
        for edge in self.edges:
            if edge.change.kind == "async" or edge.change.fallback:
                share[edge_numbers(self.analysed.graph)[0][edge.calls]] = 0
        return replace(climb, share=share)

    @cached_property
    def climbed(self) -> tuple[Floats, Flags]:
        """By span how likely it fails that did not, and the edges which that goes over."""
        graph = self.analysed.graph
        requests, calls = np.zeros(len(graph.forest)), np.zeros(graph.calls.height)
        if self.climb is None:
            return requests, np.zeros(self.analysed.edges.height, np.bool_)
        for change, nodes in self.fail:
            entries = entries_of(self.analysed, nodes)
            requests[entries] = 1 - (1 - requests[entries]) * (1 - change.share)
            outside = np.isin(graph.calls["callee"].to_numpy(), nodes[nodes >= graph.forest.origins.services.height])
            calls[outside] = 1 - (1 - calls[outside]) * (1 - change.share)
        calls[self.refused] = 1
        return fail_upwards(graph, self.climb, requests, calls)

    @cached_property
    def refused(self) -> Array:
        """The calls that did not fail but take longer than a breaker allows, as rows of CALLS."""
        cut = np.zeros(len(self.place), np.bool_)
        if self._cuts is not None:
            cut[self._cuts.span[self._replayed.cut]] = True
        found = [np.empty(0, np.int64)]
        for edge in self.edges:
            if edge.change.kind == "breaker":
                rows = edge.calls[~failed_calls(self.analysed, edge.calls)]
                found.append(rows[cut[self.place[call_spans(self.analysed, rows)]]])
        return np.concatenate(found)

    @cached_property
    def requests(self) -> pl.DataFrame:
        """Each request: ``endpoint``, ``weight``, ``before``, ``after`` (ns), ``error``, ``failing``, ``affected``."""
        awaited = self.plan.awaited
        roots = np.flatnonzero(awaited.parent == NONE)
        before, after = awaited.end[roots], self._replayed.end_ns[roots]
        failing = self.climbed[0][awaited.row[roots]]
        frame = pl.DataFrame(
            {
                "trace": self.analysed.forest.trace[awaited.row[roots]],
                "before": before,
                "after": after,
                "failing": failing,
                "affected": np.where(after != before, 1.0, failing),
            }
        )
        return self.analysed.requests.traces.select("trace", "endpoint", "weight", "error").join(frame, on="trace")

    @cached_property
    def endpoints(self) -> pl.DataFrame:
        """One row an endpoint, that with most traffic first: the contract's keys and what they are computed from."""
        weight = pl.col("weight")
        sums = self.requests.group_by("endpoint").agg(
            pl.len().alias("traces"),
            weight.sum(),
            (weight * pl.col("error")).sum().alias("errors"),
            (weight * ~pl.col("error") * pl.col("failing")).sum().alias("more_errors"),
            (weight * pl.col("affected")).sum().alias("affected"),
        )
        named = self.analysed.requests.endpoints.join(sums, on="endpoint")
        for side in ("before", "after"):
            quantiles = weighted_quantiles(self.requests, ["endpoint"], side, "weight", _QUANTILES)
            in_ms = ((pl.col(name) / MS).alias(f"{name}_{side}_ms") for name in _QUANTILES)
            named = named.join(quantiles.select("endpoint", *in_ms), on="endpoint")
        return named.sort("weight", "endpoint", descending=[True, False]).with_columns(
            p99_known=pl.col("traces") >= ENOUGH_FOR_P99,
            error_rate_before=pl.col("errors") / weight,
            error_rate_after=(pl.col("errors") + pl.col("more_errors")) / weight,
            affected_share=(pl.col("affected") / weight).clip(0, 1),
        )

    @cached_property
    def blast_radius(self) -> float:
        """The share of all requests that take another time, or fail that did not; 0 without requests."""
        weight = float(self.endpoints["weight"].sum())
        return min(float(self.endpoints["affected"].sum()) / weight, 1.0) if weight else 0.0

    @cached_property
    def amplification(self) -> float | None:
        """The greatest growth of an endpoint's p99 by all that ``--slow`` adds; None when it adds nothing.

        Endpoints whose p99 is not known count only when no other is affected.
        """
        added = sum(max(change.delta_ns, 0) for change, _ in self.slow) / MS
        affected = self.endpoints.filter(pl.col("affected_share") > 0)
        known = affected.filter("p99_known")
        frame = known if known.height else affected
        if not added or self.endpoints.is_empty():
            return None
        growth = (frame["p99_after_ms"] - frame["p99_before_ms"]).to_numpy()
        return float(growth.max(initial=0.0)) / added

    @cached_property
    def place(self) -> Rows:
        """For each span of the forest its place among the awaited ones, -1 for none, and -1 once more for row -1."""
        place = np.full(len(self.analysed.forest) + 1, NONE, np.int32)
        place[self.plan.awaited.row] = np.arange(len(self.plan.awaited))
        return place

    def waits_for(self, nodes: Array) -> bool:
        """Tell whether any recorded request waits for one of these nodes."""
        return bool((self.place[request_spans(self.analysed, nodes)] != NONE).any())

    @cached_property
    def _replayed(self) -> Replayed:
        lead, own = self.plan.lead_ns.copy(), self.plan.own_ns.copy()
        for change, nodes in self.slow:
            if change.factor == 1 and change.delta_ns >= 0:
                places = self.place[request_spans(self.analysed, nodes)]
                own[places[places != NONE]] += change.delta_ns
            else:
                more_lead, more_own = self._scaled(change, nodes)
                lead += more_lead
                own += more_own
        return replay(self.plan, np.maximum(lead, 0), np.maximum(own, 0), self._cuts)

    def _scaled(self, change: Slow, nodes: Array) -> tuple[Times, Times]:
        """Return what work changes by when all own work of a service is scaled, or each request's by a time."""
        plan, awaited = self.plan, self.plan.awaited
        inner = awaited.parent != NONE
        works = working_spans(self.analysed, nodes)[awaited.row]
        own = plan.own_ns * works
        lead = np.zeros_like(own)
        lead[inner] = plan.lead_ns[inner] * works[awaited.parent[inner]]
        factor = np.full(len(awaited), change.factor - 1)
        if change.factor == 1:
            entry = self.place[entry_of(self.analysed.forest, self.analysed.graph.entries)[awaited.row]]
            entry = np.where(entry == NONE, np.arange(len(awaited)), entry)
            total = sum_by(entry, own, len(awaited)) + sum_by(entry[awaited.parent[inner]], lead[inner], len(awaited))
            factor = -(np.minimum(-change.delta_ns, total) / np.maximum(total, 1))[entry]
        more = np.zeros_like(own)
        more[inner] = np.rint(lead[inner] * factor[awaited.parent[inner]])
        return more, np.rint(own * factor).astype(np.int64)

    @cached_property
    def _cuts(self) -> Cuts | None:
        """What ends early: calls that are handed over, and those that a breaker refuses."""
        if not self.edges:
            return None
        parts = []
        for edge in self.edges:
            places = self.place[call_spans(self.analysed, edge.calls)]
            limit, instead = self._handed_over(edge) if edge.change.kind == "async" else self._broken(edge)
            kept = places != NONE
            parts.append((places[kept], limit[kept], instead[kept]))
        span, limit, instead = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        _, first = np.unique(span, return_index=True)
        return Cuts(span[first], limit[first], instead[first])

    def _handed_over(self, edge: OnEdge) -> tuple[Times, Times]:
        calls = self.analysed.graph.calls[edge.calls]
        beyond = (pl.col("client_ns") - pl.col("server_ns")).fill_null(0).clip(0)
        return np.full(calls.height, -1, np.int64), calls.select(beyond).to_series().to_numpy()

    def _broken(self, edge: OnEdge) -> tuple[Times, Times]:
        known = {name: limit for name, limit in edge.limits_ns.items() if limit is not None}
        limits = np.array([known.get(name, _NEVER) for name in edge.operations], np.int64)
        limits[failed_calls(self.analysed, edge.calls)] = -1
        return limits, np.zeros(len(limits), np.int64)


def slow_limit(times_ns: Times) -> int | None:
    """Return the time beyond which a call is slow, from those that did not fail; None of too few."""
    if len(times_ns) < _HEALTHY_CALLS:
        return None
    quarter, median = np.quantile(np.log(np.maximum(times_ns, 1)), (0.25, 0.5))
    return int(np.exp(min(median + max(_FENCE * (median - quarter), _LEAST_FENCE), _LONGEST)))


def _on_edge(analysed: Analysed, change: Edge) -> OnEdge:
    rows = find_calls_on(analysed, change.caller, change.callee)
    calls = analysed.graph.calls[rows]
    operations = call_operations(analysed, rows)
    if change.kind != "breaker":
        return OnEdge(change, rows, operations, {})
    times = calls.select(pl.coalesce("client_ns", "server_ns").alias("ns")).with_columns(pl.Series("name", operations))
    healthy = times.filter(pl.Series(~failed_calls(analysed, rows))).drop_nulls("ns")
    parts = healthy.partition_by("name", as_dict=True)
    limits = {name: slow_limit(part["ns"].to_numpy()) for (name,), part in parts.items()}
    return OnEdge(change, rows, operations, {name: limits.get(name) for name in sorted(set(operations))})
