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
_OFTEN = 0.2
"""Share of requests that make several equal calls though none fails, from which they are a loop (our own choice)."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """For each call whether it ``repeats`` an earlier attempt, and whether it failed and was ``repeated`` itself.

    ``earlier`` is the call that it repeats, NONE where none is seen; ``number`` is 1 for a first attempt.
    """

    repeats: Flags
    repeated: Flags
    earlier: Rows
    number: Rows


@dataclass(frozen=True, slots=True)
class _Keys:
    """For each call a number of its callee and operation (``what``), and of these and the parent span (``group``)."""

    group: Array
    what: Array


def find_attempts(graph: CallGraph) -> Attempts:
    """Tell which sync calls are attempts at the same thing.

    A call repeats the one that started before it, among the calls of the same parent span to the same callee with the
    same operation (the span's name, and that of the answer where both have one), if that one failed and had ended.
    Several answers of one span are told apart in the same way. So a hedged request, sent while the first is under way,
    is no retry, and neither is the next call of a loop: where requests often make several such calls though none fails,
    order proves nothing. A call also repeats another when its CLIENT span says so (``http.request.resend_count``),
    whether the one before it is seen or not.
    """
    sibling = _siblings(graph)
    begin, end, keys = _times(graph, sibling)
    key = keys.group
    failed = seen_failures(graph)[sibling]
    # Most calls have no failed sibling, and only the others need sorting.
    near = np.flatnonzero(pl.Series(key).is_in(pl.Series(key[failed]).unique().implode()).to_numpy())
    order = near[order_by(key[near], begin[near], end[near], sibling[near])]
    before, after = order[:-1], order[1:]
    again = (key[before] == key[after]) & failed[before] & (end[before] <= begin[after])
    one, two = _of_one_thing(graph, sibling, keys, before[again], after[again])
    return _attempts(_resends(graph), sibling[one], sibling[two])


def _of_one_thing(graph: CallGraph, sibling: Array, keys: _Keys, one: Array, two: Array) -> tuple[Array, Array]:
    """Return those of these pairs of siblings (their places) whose answers agree, and that are not calls of a loop."""
    if not len(one):
        return one, two
    names = _answer_names(graph, sibling)
    same = (names[one] == names[two]) | (names[one] == NONE) | (names[two] == NONE)
    one, two = one[same], two[same]
    failed = seen_failures(graph)[sibling]
    calls = pl.DataFrame({"key": keys.group, "what": keys.what, "answer": names, "failed": failed})
    alone = ~_in_loops(calls, one, two)
    return one[alone], two[alone]


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


def _answer_names(graph: CallGraph, rows: Array) -> Array:
    """Return codes of the names of these calls' answers: 0 for those without a name, NONE for calls without answer."""
    codes = graph.forest.source["span_name"].cast(pl.Categorical).to_physical().cast(pl.Int64) + 1
    answer = graph.calls["answer"].gather(pl.Series(rows)).fill_null(NONE).to_numpy()
    named = codes.fill_null(0).to_numpy()[graph.forest.source_row[answer]]
    names: Array = np.where(answer == NONE, NONE, named)
    return names


def _in_loops(calls: pl.DataFrame, one: Array, two: Array) -> Flags:
    """Tell which pairs are calls of a loop: without a failure, requests make several of them, too.

    ``calls`` has a call in each row, with the codes ``key``, ``what`` and ``answer``, and whether it ``failed``.
    """
    pairs = calls[one].select(
        "what", answer=pl.when(pl.col("answer") == NONE).then(calls[two]["answer"]).otherwise("answer")
    )
    known = calls.filter(pl.col("what").is_in(pairs["what"].unique().implode()))
    groups = known.group_by("key", "what", "answer").agg(pl.len(), pl.col("failed").any())
    several = groups.filter(~pl.col("failed")).group_by("what", "answer").agg(loop=(pl.col("len") > 1).mean() > _OFTEN)
    found = pairs.join(several, on=["what", "answer"], how="left", maintain_order="left")
    flags: Flags = found["loop"].fill_null(value=False).to_numpy()
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


def _times(graph: CallGraph, rows: Array) -> tuple[Array, Array, _Keys]:
    """Return when these calls begin and end, and their keys."""
    forest, calls = graph.forest, graph.calls[rows]
    own = calls["client_ns"].is_not_null().to_numpy()
    span, answer = (calls[side].fill_null(NONE).to_numpy() for side in ("span", "answer"))
    timed = np.where(own, span, answer)
    above = np.where(own, forest.parent[span], len(forest) + span.astype(np.int64))
    names = forest.source["span_name"].cast(pl.Categorical).to_physical().fill_null(0).to_numpy()
    operation = names[forest.source_row[timed]].astype(np.int64)
    callee = calls["callee"].to_numpy().astype(np.int64)
    names_count = int(operation.max(initial=0)) + 1
    what = callee * names_count + operation
    return forest.start[timed], forest.end[timed], _Keys(above * graph.nodes.height * names_count + what, what)
