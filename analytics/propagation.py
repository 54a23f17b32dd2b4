"""Propagation: what becomes of every endpoint if one service after the other gets slower.

All services are slowed in one replay. Nobody but a trace's own services can slow it, so each has a column only in the
traces in which it takes part, and what is replayed is by how much moments come later, which is nothing to begin with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE
from analytics.codes import distinct_keys, number_keys
from analytics.dependencies import find_awaited
from analytics.quantiles import ENOUGH_FOR_P99, weighted_quantiles
from analytics.replay import plan_replay

if TYPE_CHECKING:
    from analytics.analysis import Analysed
    from analytics.arrays import Array, Rows, Times
    from analytics.dependencies import Awaited
    from analytics.replay import Plan

DELTA_NS = 200_000_000
"""What services are slowed by unless somebody asks otherwise: much, so that what does not wait for them stands out."""
_COLUMNS = 8
"""Services that are replayed at once: a moment's delays then fill one line of the processor's cache."""
_QUANTILES = {"p50": 0.5, "p99": 0.99}
_MS = 1e6
_AT_ONCE = 4_000_000
"""Requests whose durations are held at once, those of a pair more: some 100 MB."""


@dataclass(frozen=True, slots=True)
class Propagation:
    """What becomes of endpoints when a node of the service graph takes ``delta_ns`` more for each request.

    ``nodes`` has ``node``, ``blast_radius`` (the share of all requests that get slower) and ``amplification`` (the
    greatest growth of an endpoint's p99, by the delta; one whose p99 is not known counts only when no other grows), and
    rows for all nodes but users and queues. ``endpoints`` has a row for each node and endpoint that it slows, with
    ``affected_share`` and quantiles before and after in milliseconds.
    """

    delta_ns: int
    nodes: pl.DataFrame
    endpoints: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A trace and a node that takes part in it: entry i of ``trace`` and ``node``, ascending.

    ``request`` are awaited spans that are requests to the node of pair ``pair``, and ``slot`` by pair numbers the nodes
    of a trace.
    """

    trace: Rows
    node: Rows
    slot: Rows
    request: Rows
    pair: Rows


def propagate(analysed: Analysed, delta_ns: int = DELTA_NS) -> Propagation:
    """Return what each node's slowness does to each endpoint."""
    slowed = _delays(analysed, delta_ns)
    endpoints = _endpoints(analysed, slowed)
    return Propagation(delta_ns, _nodes(analysed, endpoints, delta_ns), endpoints)


def _delays(analysed: Analysed, delta_ns: int) -> pl.DataFrame:
    """Return ``trace``, ``node`` and ``delay_ns`` of each trace that a node's slowness makes longer."""
    awaited = find_awaited(analysed.graph, analysed.path.siblings)
    pairs = _pair(analysed, awaited)
    trace = analysed.forest.trace[awaited.row]
    width = np.bincount(pairs.trace, minlength=analysed.forest.traces.height).astype(np.int32)
    plan = plan_replay(awaited, width[trace])
    root_end = np.full(len(width), NONE, np.int32)
    roots = np.flatnonzero(awaited.parent == NONE)
    root_end[trace[roots]] = plan.end_at[roots]
    delay_ns = _replay(plan, pairs, root_end, width[trace[plan.span]], delta_ns)
    some = np.flatnonzero(delay_ns)
    return pl.DataFrame({"trace": pairs.trace[some], "node": pairs.node[some], "delay_ns": delay_ns[some]})


def _pair(analysed: Analysed, awaited: Awaited) -> _Pairs:
    graph, forest = analysed.graph, analysed.forest
    place = np.full(len(forest), NONE, np.int32)
    place[awaited.row] = np.arange(len(awaited), dtype=np.int32)
    entries = np.flatnonzero(graph.entries)
    silent = _silent_calls(analysed)
    request = place[np.concatenate([entries, silent["span"].to_numpy()])]
    node = np.concatenate([forest.service[entries], silent["callee"].to_numpy()])
    kept = request != NONE
    nodes = graph.nodes.height
    each = distinct_keys(request[kept].astype(np.int64) * nodes + node[kept], len(awaited) * nodes)
    request, node = np.divmod(each, max(nodes, 1))
    trace = forest.trace[awaited.row[request]].astype(np.int64)
    pair, keys = number_keys(trace * nodes + node, forest.traces.height * nodes)
    trace, node = np.divmod(keys, max(nodes, 1))
    first = np.searchsorted(trace, trace)
    slot = np.arange(len(trace)) - first
    return _Pairs(trace.astype(np.int32), node.astype(np.int32), slot.astype(np.int32), request.astype(np.int32), pair)


def _silent_calls(analysed: Analysed) -> pl.DataFrame:
    """Return the calls to what is neither service nor queue and tells nothing of itself: databases and the like."""
    graph = analysed.graph
    outside = graph.nodes.filter(~pl.col("type").is_in(["service", "queue", "user"]))["node"]
    asked = pl.col("callee").is_in(outside.implode()) & pl.col("answer").is_null() & pl.col("span").is_not_null()
    return graph.calls.filter(asked).select("span", "callee")


def _replay(plan: Plan, pairs: _Pairs, root_end: Rows, width: Rows, delta_ns: int) -> Times:
    """Return by pair how much its node delays the end of its trace's root.

    ``root_end`` is by trace the moment at which its root ends, ``width`` by moment how many nodes its trace has.
    """
    joins = _find_joins(plan)
    delays = np.zeros(len(pairs.trace), np.int64)
    at = np.empty((len(plan.at_ns), _COLUMNS), np.int64)
    slot = pairs.slot[pairs.pair]
    for low in range(0, int(width.max(initial=0)), _COLUMNS):
        behind = plan.waves[:-1] + np.add.reduceat(width > low, plan.waves[:-1], dtype=np.int64)
        for begin, end in zip(plan.waves[:-1], behind, strict=True):
            at[begin:end] = 0
        mine = np.flatnonzero((slot >= low) & (slot < low + _COLUMNS))
        at[plan.end_at[pairs.request[mine]], slot[mine] - low] = delta_ns
        _pass_on(plan, joins, at, behind)
        chosen = np.flatnonzero((pairs.slot >= low) & (pairs.slot < low + _COLUMNS))
        delays[chosen] = at[root_end[pairs.trace[chosen]], pairs.slot[chosen] - low]
    return delays


@dataclass(frozen=True, slots=True)
class _Joins:
    """The moments that wait for several others, ascending; those from ``first[i]`` on are entries of ``source``.

    ``slack`` is how much later each of these could have been without delaying anything.
    """

    moment: Rows
    first: Rows
    source: Rows
    slack: Times


def _find_joins(plan: Plan) -> _Joins:
    many = np.diff(plan.offset)
    moment = np.flatnonzero(many > 1).astype(np.int32)
    source = plan.source[np.repeat(many > 1, many)]
    first = np.append(0, np.cumsum(many[moment])).astype(np.int32)
    at = plan.at_ns[source]
    latest = np.maximum.reduceat(at, first[:-1]) if len(moment) else at
    return _Joins(moment, first, source, np.repeat(latest, many[moment]) - at)


def _pass_on(plan: Plan, joins: _Joins, at: Times, behind: Array) -> None:
    """Add to each moment, in place, the longest delay of those that it waits for, less what these could be late by.

    Only the first moments of each wave, to before ``behind``, are looked at.
    """
    low, high = np.searchsorted(joins.moment, plan.waves[:-1]), np.searchsorted(joins.moment, behind)
    for wave, begin, end in zip(range(1, len(behind)), plan.waves[1:-1], behind[1:], strict=True):
        values = at[plan.source[plan.offset[begin:end]]]
        if low[wave] < high[wave]:
            first = joins.first[low[wave] : high[wave] + 1]
            part = slice(first[0], first[-1])
            late = at[joins.source[part]] - joins.slack[part, None]
            values[joins.moment[low[wave] : high[wave]] - begin] = np.maximum.reduceat(
                late, first[:-1] - first[0], axis=0
            )
        at[begin:end] += values


def _endpoints(analysed: Analysed, slowed: pl.DataFrame) -> pl.DataFrame:
    """Return ``endpoints`` of Propagation."""
    requests = analysed.requests.traces.select("trace", "endpoint", "weight", "duration_ns").sort("endpoint", "trace")
    requests = requests.with_columns(place=pl.int_range(pl.len(), dtype=pl.Int64))
    of_endpoint = requests.group_by("endpoint").agg(
        pl.len().cast(pl.Int64).alias("traces"), pl.col("weight").sum(), pl.col("place").first().alias("first")
    )
    found = slowed.join(requests, on="trace")
    pairs = found.group_by("node", "endpoint").agg(affected=pl.col("weight").sum())
    pairs = pairs.join(of_endpoint, on="endpoint").sort("node", "endpoint").with_row_index("pair")
    before = weighted_quantiles(requests, ["endpoint"], "duration_ns", "weight", _QUANTILES)
    after = _quantiles_after(requests, pairs, found)
    return (
        pairs.join(analysed.requests.endpoints.select("endpoint", "service", "operation"), on="endpoint")
        .join(_in_ms(before, "before"), on="endpoint")
        .join(_in_ms(after, "after"), on="pair")
        .with_columns(
            p99_known=pl.col("traces") >= ENOUGH_FOR_P99,
            affected_share=(pl.col("affected") / pl.col("weight")).clip(0, 1),
        )
        .sort("pair")
        .drop("pair", "first")
    )


def _quantiles_after(requests: pl.DataFrame, pairs: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Return _QUANTILES by ``pair``, for some pairs at a time: nodes times traces may be more than memory holds."""
    part = (pl.col("traces").cum_sum() - pl.col("traces")) // _AT_ONCE
    parts = pairs.with_columns(part=part).partition_by("part", maintain_order=True) or [pairs]
    return pl.concat(
        [weighted_quantiles(_after(requests, some, found), ["pair"], "after", "weight", _QUANTILES) for some in parts]
    )


def _after(requests: pl.DataFrame, pairs: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Return ``pair``, ``after`` and ``weight`` of all requests of each pair's endpoint, also of those not slowed."""
    pairs = pairs.with_columns(begin=pl.col("traces").cum_sum() - pl.col("traces"))
    traces, begin = pairs["traces"].to_numpy(), pairs["begin"].to_numpy()
    places = np.arange(traces.sum()) + np.repeat(pairs["first"].to_numpy() - begin, traces)
    after = requests["duration_ns"].to_numpy()[places]
    slowed = found.join(pairs.select("node", "endpoint", "first", "begin"), on=["node", "endpoint"])
    at = (slowed["place"] - slowed["first"] + slowed["begin"]).to_numpy()
    after[at] += slowed["delay_ns"].to_numpy()
    pair = np.repeat(pairs["pair"].to_numpy(), traces)
    return pl.DataFrame({"pair": pair, "after": after, "weight": requests["weight"].to_numpy()[places]})


def _in_ms(quantiles: pl.DataFrame, when: str) -> pl.DataFrame:
    named = {name: f"{name}_{when}_ms" for name in _QUANTILES}
    return quantiles.with_columns(pl.col(*named) / _MS).rename(named)


def _nodes(analysed: Analysed, endpoints: pl.DataFrame, delta_ns: int) -> pl.DataFrame:
    """Return ``nodes`` of Propagation."""
    known = analysed.nodes.filter(~pl.col("type").is_in(["user", "queue"])).select("node", "type", "namespace", "name")
    total = float(analysed.requests.traces["weight"].sum())
    growth = (pl.col("p99_after_ms") - pl.col("p99_before_ms")) / (delta_ns / _MS)
    sums = endpoints.group_by("node").agg(
        (pl.col("affected").sum() / (total or 1)).clip(0, 1).alias("blast_radius"),
        pl.coalesce(growth.filter("p99_known").max(), growth.max()).alias("amplification"),
    )
    return known.join(sums, on="node", how="left", maintain_order="left").with_columns(
        pl.col("blast_radius", "amplification").fill_null(0.0)
    )
