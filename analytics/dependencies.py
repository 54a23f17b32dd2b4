"""Dependencies: which spans a trace's root waits for, and which of a span's calls wait for which others.

Source: the happens-before hypotheses of Chow et al., The Mystery Machine, OSDI 2014: an order between two operations
holds until one trace contradicts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE, climb, offsets_of_runs, order_by, search, starts_of_runs, with_siblings
from analytics.codes import number_keys

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags, Rows, Times
    from analytics.calls import CallGraph
    from analytics.critical_path import Siblings

_OVERHANG_NS = 1_000_000
_OVERHANG_PART = 10
"""A server that sends its answer and then ends its span outlives its client by micros; what outlives it by more than a
millisecond and a tenth of its own time was given up (a timeout), or never waited for."""
_MOST_LISTS = 64
"""Operations that one span's calls are told apart by; a span with more (names that hold ids) has them all as one."""
_FARTHEST = 1 << 60  # 36 years; four times as much still is a 64-bit number


@dataclass(frozen=True, slots=True)
class Awaited:
    """The spans that their trace's only root waits for; entry i of every array is one of them.

    ``row`` is the forest's, ascending, and ``parent`` an entry here, -1 at roots. ``begin`` and ``end`` are the span's
    window within those of its ancestors, in nanoseconds since the root began. ``operation`` is a code for service, name
    and callee.
    """

    row: Rows
    parent: Rows
    begin: Times
    end: Times
    operation: Rows

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Which awaited spans begin after which others have ended, at least; what follows from these is left out.

    Span ``after[i]`` waits for the first spans of a run of ``ended``, which is ordered by end within runs: from place
    ``first[i]`` to before ``behind[i]``. ``orders`` counts the pairs of operations that came one after the other,
    ``contradicted`` those among them that some trace shows the other way round, or at the same time.
    """

    after: Rows
    first: Rows
    behind: Rows
    ended: Rows
    orders: int
    contradicted: int


def find_awaited(graph: CallGraph, siblings: Siblings, traces: Flags | None = None) -> Awaited:
    """Return the awaited spans of these traces (default: all); ``siblings`` are the critical path's windows.

    A child is awaited unless it takes a message, begins after its parent's end, or outlives it by far.
    """
    forest = graph.forest
    kept = graph.blocking & ~_given_up(graph, siblings)
    if traces is not None:
        kept &= traces[forest.trace]
    row = np.flatnonzero(kept).astype(np.int32)
    place = np.full(len(forest) + 1, NONE, np.int32)
    place[row] = np.arange(len(row))
    origin = forest.start[forest.root[row]]
    begin, end = (np.minimum(times[row] - origin, _FARTHEST) for times in (siblings.begin, siblings.end))
    return Awaited(row, place[forest.parent[row]], begin, end, _operations(graph, row))


def find_dependencies(awaited: Awaited) -> Dependencies:
    """Return what each span waits for among its siblings.

    A span waits for a sibling that ended before it began, unless in some trace calls of the two operations from the
    same operation overlap, or all of the one come after all of the other in one trace and before them in another.
    Spans of no length at the same moment do not wait for each other.
    """
    lists = _Lists(awaited)
    pairs = _pair(lists)
    against, ordered = _contradictions(lists, pairs)
    waits = np.flatnonzero((pairs.ended > 0) & ~against[pairs.group])
    found = _Found(pairs.span[waits], pairs.list[waits], lists.first[pairs.list[waits]] + pairs.ended[waits])
    found = _without_implied(lists, pairs, against, found)
    first = lists.first[found.list].copy()
    # Calls of one operation that never overlap wait for each other, so the last one stands for all.
    serial = ~(against | _unordered(lists, pairs))[pairs.own_group[found.list]]
    first[serial] = found.behind[serial] - 1
    return Dependencies(
        found.span, first, found.behind, lists.ended, int(ordered.sum()), int((against & ordered).sum())
    )


def _given_up(graph: CallGraph, siblings: Siblings) -> Flags:
    """Mark the spans below one that its parent did not wait for, and that one."""
    forest = graph.forest
    child = np.flatnonzero(forest.parent >= 0)
    overhang = forest.end[child] - forest.end[forest.parent[child]]
    left = overhang > np.maximum(_OVERHANG_NS, forest.duration[child] // _OVERHANG_PART)
    left |= siblings.begin[child] > siblings.end[child]
    apart = np.zeros(len(forest), np.bool_)
    apart[child[left]] = True
    some = np.zeros(forest.traces.height, np.bool_)
    some[forest.trace[child[left]]] = True
    climb(forest.parent, (apart,), (np.logical_or,), np.flatnonzero(some[forest.trace]))
    return apart


def _operations(graph: CallGraph, row: Rows) -> Rows:
    forest, nodes = graph.forest, graph.nodes.height + 1
    callee = np.full(len(forest), NONE, np.int64)
    called = graph.calls.select("span", "callee").drop_nulls()
    callee[called["span"].to_numpy()] = called["callee"].to_numpy()
    names = forest.column("span_name", row).cast(pl.Categorical).to_physical().fill_null(0).to_numpy().astype(np.int64)
    count = int(names.max(initial=0)) + 1
    keys = (forest.service[row] * count + names) * nodes + callee[row] + 1
    return number_keys(keys, forest.origins.services.height * count * nodes)[0]


class _Lists:
    """The children of one parent by operation, of those parents that have several.

    ``slot`` is by span a code for its parent's operation and its own, below ``slots``; those of one parent's operation
    follow each other, ``widest`` at most. ``ended`` holds spans list by list, the first to
    end first; list l is from ``first[l]`` to ``first[l + 1]``, and those of a parent follow each other, from
    ``first_list[l]`` on, ``lists[l]`` of them. ``ends`` and ``begins`` hold times, each ascending within the lists.
    """

    def __init__(self, awaited: Awaited) -> None:
        child = np.flatnonzero(awaited.parent >= 0).astype(np.int32)
        child = child[with_siblings(awaited.parent[child], len(awaited))]
        parent = awaited.parent[child]
        instant = awaited.begin == awaited.end
        # Ends come before instants, instants before begins, of the same nanosecond.
        self.begin = 4 * awaited.begin + np.where(instant, 1, 2)
        self.end = 4 * awaited.end + np.where(instant, 1, 0)
        self.instant = instant
        self.slot = np.full(len(awaited), NONE, np.int32)
        self.slot[child], self.slots, self.widest = _slots(awaited, child)
        order = order_by(parent.astype(np.int64) * self.slots + self.slot[child])
        self.ended, parent = child[order], parent[order]
        starts = starts_of_runs(parent, self.slot[self.ended])
        self.first = offsets_of_runs(starts)[: int(starts.sum()) + 1]
        self.list = (np.cumsum(starts) - 1).astype(np.int32)
        # Most lists have one span; only the others are sorted by time.
        several = np.flatnonzero(np.diff(self.first)[self.list] > 1)
        number, spans = self.list[several], self.ended[several]
        self.ended[several] = spans[order_by(number, self.end[spans], spans)]
        self.ends, self.begins = self.end[self.ended], self.begin[self.ended]
        self.begins[several] = self.begins[several][order_by(number, self.begins[several])]
        parents = offsets_of_runs(starts_of_runs(parent[self.first[:-1]])) if starts.any() else np.zeros(1, np.int32)
        self.lists = np.repeat(np.diff(parents), np.diff(parents))
        self.first_list = np.repeat(parents[:-1], np.diff(parents))


def _slots(awaited: Awaited, child: Rows) -> tuple[Rows, int, int]:
    parent = awaited.parent[child]
    operations = int(awaited.operation.max(initial=0)) + 2
    own = awaited.operation[child].astype(np.int64) + 1
    large = np.bincount(parent, minlength=len(awaited))[parent] > _MOST_LISTS
    per_parent = pl.DataFrame({"parent": parent[large], "own": own[large]}).unique()["parent"].to_numpy()
    own[np.bincount(per_parent, minlength=len(awaited))[parent] > _MOST_LISTS] = 0
    slot, distinct = number_keys(awaited.operation[parent] * operations + own, operations**2)
    return slot, len(distinct), int(np.bincount(distinct // operations).max(initial=1))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Each span of the lists with each list of its parent.

    ``ended`` is how many of the list end before the span begins, ``begun`` how many begin before it ends. ``group`` is
    a code for the two slots, in whatever order, ``groups`` the keys of these codes, ascending, and ``own_group`` by
    list the code of its slot with itself.
    """

    span: Rows
    list: Rows
    ended: Rows
    begun: Rows
    own: Flags
    last: Flags
    group: Rows
    groups: Array
    own_group: Rows


def _pair(lists: _Lists) -> _Pairs:
    ended, many = lists.ended, lists.lists[lists.list]

    def each(values: Array) -> Array:
        return np.repeat(values, many)

    other = each((lists.first_list[lists.list] - (np.cumsum(many) - many)).astype(np.int32))
    other += np.arange(len(other), dtype=np.int32)
    low, high = lists.first[other], lists.first[other + 1]
    before = _count_below(lists.ends, low, high, each(lists.begin[ended]))
    begun = _count_below(lists.begins, low, high, each(lists.end[ended]))
    keys = _key(lists, each(lists.slot[ended]), _slot_of(lists)[other])
    group, groups = number_keys(keys, lists.slots * lists.widest)
    own = other == each(lists.list)
    begun -= own & each(~lists.instant[ended])
    own_group = np.zeros(len(lists.first) - 1, np.int32)
    own_group[other[own]] = group[own]
    last = each(np.arange(len(ended)) == lists.first[1:][lists.list] - 1)
    return _Pairs(each(ended), other, before, begun, own, last, group, groups, own_group)


def _count_below(values: Times, low: Rows, high: Rows, limit: Times) -> Rows:
    """Return how many of these ascending values are below the limit, in each range; most ranges have one value."""
    found: Rows = (values[low] < limit).astype(np.int32)
    several = np.flatnonzero(high - low > 1)
    low = low[several]
    found[several] = search(values, low, high[several], limit[several] - 1) - low
    return found


def _slot_of(lists: _Lists) -> Rows:
    slots: Rows = lists.slot[lists.ended[lists.first[:-1]]]
    return slots


def _key(lists: _Lists, one: Rows, other: Rows) -> Array:
    low = np.minimum(one, other).astype(np.int64)
    key: Array = low * lists.widest + np.maximum(one, other) - low  # small: both are of one parent's operation
    return key


def _contradictions(lists: _Lists, pairs: _Pairs) -> tuple[Flags, Flags]:
    """Tell by group whether no order holds between its two slots, and whether any trace ever showed one."""
    against, forward, backward, ordered = np.zeros((4, len(pairs.groups)), np.bool_)
    against[pairs.group[pairs.begun > pairs.ended]] = True
    ordered[pairs.group[pairs.ended > 0]] = True
    all_before = lists.begins[lists.first[pairs.list]] > lists.end[pairs.span]
    before = np.flatnonzero(pairs.last & all_before)
    rising = lists.slot[pairs.span[before]] < _slot_of(lists)[pairs.list[before]]
    forward[pairs.group[before[rising]]] = True
    backward[pairs.group[before[~rising]]] = True
    against |= forward & backward
    return against, ordered


def _unordered(lists: _Lists, pairs: _Pairs) -> Flags:
    """Mark the groups of operations of which two calls of no length come at the same moment."""
    instant = lists.instant[lists.ended]
    tied = (lists.ends[1:] == lists.ends[:-1]) & (lists.list[1:] == lists.list[:-1]) & instant[1:] & instant[:-1]
    unordered = np.zeros(len(pairs.groups), np.bool_)
    unordered[pairs.own_group[lists.list[1:][tied]]] = True
    return unordered


@dataclass(frozen=True, slots=True)
class _Found:
    """A span, the list that it waits for, and the place behind the last span there that it waits for."""

    span: Rows
    list: Rows
    behind: Rows


def _without_implied(lists: _Lists, pairs: _Pairs, against: Flags, found: _Found) -> _Found:
    """Leave out what the last-ending span that another waits for has waited for itself."""
    nearest = lists.ended[found.behind - 1]
    starts = offsets_of_runs(starts_of_runs(found.span)) if len(found.span) else np.zeros(1, np.int32)
    latest = np.full(len(lists.slot), NONE, np.int64)
    latest[found.span[starts[:-1]]] = np.maximum.reduceat(lists.end[nearest], starts[:-1]) if len(starts) > 1 else 0
    top = np.full(len(lists.slot), NONE, np.int32)
    is_top = lists.end[nearest] == latest[found.span]
    top[found.span[is_top]] = nearest[is_top]
    last = top[found.span]
    implied = lists.end[nearest] < lists.begin[last]
    group = np.searchsorted(pairs.groups, _key(lists, lists.slot[nearest], lists.slot[last]))
    implied[implied] &= ~against[group[implied]]
    return _Found(found.span[~implied], found.list[~implied], found.behind[~implied])
