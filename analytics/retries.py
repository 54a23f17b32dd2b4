"""Retries: calls that were made again because they had failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE, climb, order_by

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags, Rows
    from analytics.calls import CallGraph

_MOST_RESENDS = 1_000_000
"""Far above any number of attempts, and far below what would overflow."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """For each call whether it ``repeats`` an earlier attempt, and whether it failed and was ``repeated`` itself.

    ``earlier`` is the call that it repeats, NONE where none is seen; ``number`` is 1 for a first attempt.
    """

    repeats: Flags
    repeated: Flags
    earlier: Rows
    number: Rows


def find_attempts(graph: CallGraph) -> Attempts:
    """Tell which sync calls are attempts at the same thing.

    A call repeats the one that started before it, among the calls of the same parent span to the same callee with the
    same operation (the span's name, and that of the answer where both have one), if that one failed and had ended.
    Several answers of one span are told apart in the same way. So a hedged request, sent while the first is under way,
    is no retry. A call also repeats another when its CLIENT span says so (``http.request.resend_count``), whether the
    one before it is seen or not.
    """
    sibling = _siblings(graph)
    begin, end, key = _times(graph, sibling)
    failed = seen_failures(graph)[sibling]
    # Most calls have no failed sibling, and only the others need sorting.
    near = np.flatnonzero(pl.Series(key).is_in(pl.Series(key[failed]).unique().implode()).to_numpy())
    order = near[order_by(key[near], begin[near], end[near], sibling[near])]
    before, after = order[:-1], order[1:]
    again = (key[before] == key[after]) & failed[before] & (end[before] <= begin[after])
    one, two = sibling[before[again]], sibling[after[again]]
    same = _same_answer(graph, one, two)
    return _attempts(_resends(graph), one[same], two[same])


def _attempts(resends: Rows, one: Array, two: Array) -> Attempts:
    """Return attempts of which each ``two`` repeats its ``one``; ``resends`` is what the spans count themselves."""
    earlier = np.full(len(resends), NONE, np.int32)
    earlier[two] = one
    before = (earlier != NONE).astype(np.int32)
    repeated = np.zeros(len(resends), np.bool_)
    repeated[one] = True
    climb(earlier, (before,), (np.add,), np.union1d(one, two))
    number = np.maximum(before, resends) + np.int32(1)
    return Attempts(number > 1, repeated, earlier, number)


def _same_answer(graph: CallGraph, one: Array, two: Array) -> Flags:
    """Tell which pairs of calls asked for one thing as their answers are named: spans may be named by the method."""
    if not len(one):
        return np.zeros(0, np.bool_)
    names = graph.forest.source["span_name"].cast(pl.Categorical).to_physical().fill_null(0).to_numpy()
    answers = [graph.calls["answer"].gather(pl.Series(rows)).fill_null(NONE).to_numpy() for rows in (one, two)]
    first, second = (names[graph.forest.source_row[rows]] for rows in answers)
    flags: Flags = (first == second) | (answers[0] == NONE) | (answers[1] == NONE)
    return flags


def _resends(graph: CallGraph) -> Rows:
    """Return how often each sync call was sent before, as its own CLIENT span counts it; 0 where it does not."""
    calls, count = graph.calls, np.zeros(graph.calls.height, np.int32)
    if graph.forest.source["resend_count"].null_count() == len(graph.forest.source):
        return count
    own = np.flatnonzero(calls["client_ns"].is_not_null().to_numpy() & (calls["mode"] == "sync").to_numpy())
    told = graph.forest.column("resend_count", calls["span"].gather(own).to_numpy())
    count[own] = told.fill_null(0).clip(0, _MOST_RESENDS).to_numpy()
    return count


def seen_failures(graph: CallGraph) -> Flags:
    """Tell for each call whether the caller saw it fail: either side of a sync call, only its own of an async one."""
    client, server = (graph.calls[f"{side}_failed"].fill_null(value=False).to_numpy() for side in ("client", "server"))
    flags: Flags = client | server & (graph.calls["mode"] == "sync").to_numpy()
    return flags


def _siblings(graph: CallGraph) -> Array:
    """Return the calls that may have siblings: sync ones with a span that is no root's CLIENT span."""
    span = graph.calls["span"].fill_null(NONE).to_numpy()
    alone = graph.calls["client_ns"].is_not_null().to_numpy() & (graph.forest.parent[span] == NONE)
    return np.flatnonzero((span != NONE) & (graph.calls["mode"] == "sync").to_numpy() & ~alone)


def _times(graph: CallGraph, rows: Array) -> tuple[Array, Array, Array]:
    """Return when these calls begin and end, and a key of parent span, callee and operation."""
    forest, calls = graph.forest, graph.calls[rows]
    own = calls["client_ns"].is_not_null().to_numpy()
    span, answer = (calls[side].fill_null(NONE).to_numpy() for side in ("span", "answer"))
    timed = np.where(own, span, answer)
    above = np.where(own, forest.parent[span], len(forest) + span.astype(np.int64))
    names = forest.source["span_name"].cast(pl.Categorical).to_physical().fill_null(0).to_numpy()
    operation = names[forest.source_row[timed]].astype(np.int64)
    callee = calls["callee"].to_numpy()
    key = (above * graph.nodes.height + callee) * (int(operation.max(initial=0)) + 1) + operation
    return forest.start[timed], forest.end[timed], key
