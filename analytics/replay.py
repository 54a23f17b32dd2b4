"""Replay: when everything in a trace would have happened, had some of its work taken longer, shorter or no time.

Begins and ends of spans are moments; each comes a fixed gap, in which somebody works, after the latest of those that it
waits for. So the moments of all traces are a graph without cycles, which is walked in waves: every moment of a wave
waits for moments of earlier waves only. Unchanged work gives the recorded times back to the nanosecond, and since there
is nothing but maxima and sums, more work never ends anything earlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from analytics.arrays import NONE, order_by
from analytics.dependencies import Awaited, find_dependencies

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags, Rows, Times
    from analytics.dependencies import Dependencies


@dataclass(frozen=True)
class Plan:
    """How to replay some traces; arrays named for spans have an entry an awaited span.

    Moments are numbered wave by wave: ``begin_at`` and ``end_at`` are those of spans (the same for a span that waits
    for nobody), ``at_ns`` is when each was, ``span`` a span of its trace, ``source`` the moments that each waits for,
    from ``offset`` on: none in the first wave, some in all others. ``waves`` are the first moments of each wave, and
    the number of all; within a wave those of the widest traces come first.
    """

    awaited: Awaited
    dependencies: Dependencies
    begin_at: Rows
    end_at: Rows
    at_ns: Times
    span: Rows
    source: Rows
    offset: Rows
    waves: Rows

    @property
    def latency_ns(self) -> Times:
        """The recorded times of the roots, in the order of traces."""
        latency_ns: Times = self.awaited.end[self.awaited.parent == NONE]
        return latency_ns

    @property
    def lead_ns(self) -> Times:
        """The work of each span's parent right before it begins, since the latest moment that it waited for."""
        return self._gaps[0]

    @property
    def own_ns(self) -> Times:
        """Each span's own work after all that it waited for, all of its time if that is nothing."""
        return self._gaps[1]

    @cached_property
    def _gaps(self) -> tuple[Times, Times]:
        latest = np.zeros(len(self.at_ns), np.int64)
        some = np.flatnonzero(np.diff(self.offset))
        if some.size:
            latest[some] = np.maximum.reduceat(self.at_ns[self.source], self.offset[some])
        awaited, leaf = self.awaited, self.begin_at == self.end_at
        lead = awaited.begin - latest[self.begin_at]
        return lead, awaited.end - np.where(leaf, awaited.begin, latest[self.end_at])


@dataclass(frozen=True, slots=True)
class Cuts:
    """Spans that end early: one that takes longer than ``limit_ns`` takes ``instead_ns``; entries as in ``Awaited``."""

    span: Rows
    limit_ns: Times
    instead_ns: Times


@dataclass(frozen=True, slots=True)
class Replayed:
    """When each awaited span ends, in nanoseconds since its root began, and by entry of ``Cuts`` whether it was cut."""

    end_ns: Times
    cut: Flags


def plan_replay(awaited: Awaited, width: Rows | None = None) -> Plan:
    """Return how to replay traces of which these are the awaited spans; ``width`` is by span that of its trace."""
    dependencies = find_dependencies(awaited)
    moments = _moments(awaited, dependencies)
    edges = order_by(moments.target)
    many = np.bincount(moments.target, minlength=len(moments.at))
    needs = _Needs(moments.source[edges], np.cumsum(many) - many, many)
    wave = _waves(needs)
    order = _sorted(wave) if width is None else _sorted(wave, width.max(initial=0) - width[moments.span])
    number = np.empty_like(order)
    number[order] = np.arange(len(order), dtype=np.int32)
    source = number[needs.of(order)]
    offset = np.append(0, np.cumsum(many[order])).astype(np.int32)
    waves = np.append(0, np.cumsum(np.bincount(wave))).astype(np.int32)
    begin_at, end_at, at = number[moments.begin], number[: len(awaited)], moments.at[order]
    return Plan(awaited, dependencies, begin_at, end_at, at, moments.span[order], source, offset, waves)


def _sorted(first: Rows, then: Rows | None = None) -> Rows:
    """Return the places of small numbers in ascending order; of equal ones the smaller ``then`` come first."""
    order = np.arange(len(first), dtype=np.int32)
    for key in (first,) if then is None else (then, first):
        small = key.astype(np.int16) if key.max(initial=0) <= np.iinfo(np.int16).max else key  # six times as fast
        order = order[np.argsort(small[order], kind="stable")]
    return order


def replay(plan: Plan, lead_ns: Times | None = None, own_ns: Times | None = None, cuts: Cuts | None = None) -> Replayed:
    """Return what becomes of the traces given work other than the plan's.

    ``lead_ns`` and ``own_ns`` have an entry an awaited span. Without cuts they may have columns, that many replays at
    once, and then so has the result.
    """
    lead = plan.lead_ns if lead_ns is None else lead_ns
    own = plan.own_ns if own_ns is None else own_ns
    cutting = None if cuts is None else _Cutting(plan, cuts)
    at = _work(plan, lead, own if cutting is None else cutting.leaves(own))
    for begin, end in zip(plan.waves[1:-1], plan.waves[2:], strict=True):
        _pass(plan, at, begin, end)
        if cutting is not None:
            cutting.moments(at, begin, end)
    return Replayed(at[plan.end_at], np.empty(0, np.bool_) if cutting is None else cutting.cut)


def _work(plan: Plan, lead: Times, own: Times) -> Times:
    """Return by moment the work before it."""
    columns = own.shape[1:] if own.ndim > lead.ndim else lead.shape[1:]
    at: Times = np.zeros((len(plan.offset) - 1, *columns), np.int64)
    widen = (..., None) if columns else ...
    at[plan.begin_at] = lead if lead.ndim == at.ndim else lead[widen]
    at[plan.end_at] += own if own.ndim == at.ndim else own[widen]
    return at


def _pass(plan: Plan, at: Times, begin: int, end: int) -> None:
    first, last = plan.offset[begin], plan.offset[end]
    values = at[plan.source[first:last]]
    if last - first > end - begin:
        values = np.maximum.reduceat(values, plan.offset[begin:end] - first, axis=0)
    at[begin:end] += values


class _Cutting:
    """Cuts spans, and notes which."""

    def __init__(self, plan: Plan, cuts: Cuts) -> None:
        self._plan, self._cuts = plan, cuts
        self.cut = np.zeros(len(cuts.span), np.bool_)
        leaf = plan.begin_at[cuts.span] == plan.end_at[cuts.span]
        self._leaves = np.flatnonzero(leaf)
        inner = np.flatnonzero(~leaf)
        self._inner = inner[np.argsort(plan.end_at[cuts.span[inner]])]
        self._ends = plan.end_at[cuts.span[self._inner]]

    def leaves(self, own: Times) -> Times:
        """Return the work of spans, cut where they wait for nobody."""
        cuts, place = self._cuts, self._leaves
        span = cuts.span[place]
        self.cut[place] = own[span] > cuts.limit_ns[place]
        result = own.copy()
        result[span] = np.where(self.cut[place], cuts.instead_ns[place], own[span])
        return result

    def moments(self, at: Times, begin: int, end: int) -> None:
        """Cut spans that end in these moments and wait for others, in place."""
        first, last = np.searchsorted(self._ends, (begin, end))
        place, ending = self._inner[first:last], self._ends[first:last]
        began = at[self._plan.begin_at[self._cuts.span[place]]]
        self.cut[place] = at[ending] - began > self._cuts.limit_ns[place]
        at[ending] = np.where(self.cut[place], began + self._cuts.instead_ns[place], at[ending])


@dataclass(frozen=True, slots=True)
class _Moments:
    """Moments before they are numbered by wave: first the ends of all spans; ``begin`` are those of their begins.

    ``source`` and ``target`` are pairs of moments of which the second waits for the first, ``at`` recorded times,
    ``span`` a span of the same trace.
    """

    at: Times
    span: Rows
    begin: Rows
    source: Rows
    target: Rows


def _moments(awaited: Awaited, waits: Dependencies) -> _Moments:
    count = len(awaited)
    child = np.flatnonzero(awaited.parent >= 0).astype(np.int32)
    is_inner, follows = np.zeros((2, count), np.bool_)
    is_inner[awaited.parent[child]] = True
    inner = np.flatnonzero(is_inner).astype(np.int32)
    begin = np.arange(count, dtype=np.int32)
    begin[inner] = count + np.arange(len(inner))
    single = waits.behind - waits.first == 1
    joins = _joins(waits, ~single, count + len(inner))
    follows[waits.after] = True
    free = child[~follows[child]]
    # A parent waits for the last of its children; those that they waited for have ended before.
    last = child[~_followed(waits, count)[child]]
    source = [last, begin[awaited.parent[free]], waits.ended[waits.first[single]], joins.join_of, joins.source]
    target = [awaited.parent[last], begin[free], begin[waits.after[single]], begin[waits.after[~single]], joins.target]
    span = np.concatenate([np.arange(count, dtype=np.int32), inner, waits.ended[joins.behind - 1]])
    at = np.concatenate([awaited.end, awaited.begin[inner], awaited.end[span[count + len(inner) :]]])
    return _Moments(at, span, begin, np.concatenate(source), np.concatenate(target))


def _followed(waits: Dependencies, count: int) -> Flags:
    """Mark the spans that a sibling waits for."""
    places = len(waits.ended)
    deep = np.cumsum(np.bincount(waits.first, minlength=places + 1) - np.bincount(waits.behind, minlength=places + 1))
    followed = np.zeros(count, np.bool_)
    followed[waits.ended[deep[:-1] > 0]] = True
    return followed


@dataclass(frozen=True, slots=True)
class _Joins:
    """Moments at which all of the first spans of a run have ended; each waits for the one before and what is new."""

    behind: Rows
    join_of: Rows
    source: Rows
    target: Rows


def _joins(waits: Dependencies, several: Array, first_join: int) -> _Joins:
    behind, place = np.unique(waits.behind[several], return_inverse=True)
    low = np.empty(len(behind), np.int32)
    low[place] = waits.first[several]
    chained = np.zeros(len(behind), np.bool_)
    chained[1:] = low[1:] == low[:-1]
    start = low.copy()
    start[1:][chained[1:]] = behind[:-1][chained[1:]]
    many = behind - start
    number = first_join + np.arange(len(behind), dtype=np.int32)
    new = np.arange(many.sum()) + np.repeat(start - (np.cumsum(many) - many), many)
    source = [waits.ended[new], number[np.flatnonzero(chained) - 1]]
    target = [np.repeat(number, many), number[chained]]
    joined = number[place.ravel()].astype(np.int32)
    return _Joins(behind.astype(np.int32), joined, np.concatenate(source), np.concatenate(target))


@dataclass(frozen=True, slots=True)
class _Needs:
    """What each moment waits for: ``many[m]`` entries of ``source``, from ``first[m]`` on."""

    source: Rows
    first: Array
    many: Array

    def of(self, moments: Rows) -> Rows:
        """Return what these moments wait for, one after the other."""
        many = self.many[moments]
        behind = np.cumsum(many)
        sources: Rows = self.source[np.arange(many.sum()) + np.repeat(self.first[moments] - (behind - many), many)]
        return sources


def _waves(needs: _Needs) -> Rows:
    """Return each moment's wave: as late as what waits for it allows, the first for those that wait for nothing."""
    count = len(needs.many)
    waiting = np.bincount(needs.source, minlength=count)
    height = np.zeros(count, np.int32)
    ready = np.flatnonzero(waiting == 0).astype(np.int32)
    number = 0
    while ready.size:
        height[ready] = number
        reached = needs.of(ready)
        np.subtract.at(waiting, reached, 1)
        ready = reached[waiting[reached] == 0]
        height[ready] = np.arange(len(ready))  # the last of equal ones is left
        ready = ready[height[ready] == np.arange(len(ready))]
        number += 1
    wave: Rows = number - 1 - height
    wave[needs.many == 0] = 0
    return wave
