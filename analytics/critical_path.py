"""The critical path: for every nanosecond of a trace, the span whose own work the trace waited for.

Source: the walk over the last-ending children of Uber's CRISP (USENIX ATC 2022) and Jaeger's UI, exact to the interval.

The walk visits a span in a window: its interval cut to its parent's window, so cut to those of all its ancestors. That
does not depend on the way taken. So all windows are computed first, and then each child's previous sibling in the walk
is found by windows alone; what remains is following pointers, for all traces at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE, climb, offsets_of_runs, order_by, search, starts_of_runs, with_siblings
from analytics.schema import AFTER, BEFORE, BETWEEN, CONSUMER, PRODUCER, SECTIONS, WHOLE, conform

if TYPE_CHECKING:
    from analytics.arrays import Flags, Rows, Times
    from analytics.forest import Forest


@dataclass(frozen=True, slots=True)
class Siblings:
    """The walk's pointers, by row of the forest; -1 is none.

    ``begin`` and ``end`` are each span's window: its interval within those of all its ancestors; empty (begin ≥ end)
    when nothing is left. ``last_child`` is the blocking child by which the walk enters a span: the last to end there;
    ``previous`` the sibling that it turns to after a child: the last to end before the child starts.
    """

    begin: Times
    end: Times
    last_child: Rows
    previous: Rows


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The critical paths of all traces with one root; ``on_path`` tells for each span whether the walk visits it."""

    sections: pl.DataFrame
    on_path: Flags
    siblings: Siblings


def critical_path(forest: Forest, overlap_tolerance: float = 0.0) -> CriticalPath:
    """Return SECTIONS of every trace that has one root; they add up to the root's duration to the nanosecond.

    A child blocks its parent unless it consumes what the parent produced or starts after the parent's end. Siblings
    that overlap by no more than ``overlap_tolerance`` (a share of the parent's duration; CRISP takes 0.01) count as
    sequential, and the time they share as the later one's. A span of no length, and one that has no nanosecond within
    all its ancestors, is off the path.
    """
    siblings = link_siblings(forest, overlap_tolerance)
    on_path = _on_path(forest, siblings)
    rows = np.flatnonzero(on_path).astype(np.int32)
    sections = _sections(forest, siblings, rows, cut=overlap_tolerance > 0)
    return CriticalPath(sections, on_path, siblings)


def newest_first(sections: pl.DataFrame) -> pl.DataFrame:
    """Return the sections by trace, the latest first."""
    return sections.sort("trace", "end_unix_nano", descending=[False, True])


def link_siblings(forest: Forest, overlap_tolerance: float = 0.0) -> Siblings:
    """Return windows and pointers of the walk for every span, on the path or not."""
    begin, end = _windows(forest)
    children = _blocking_children(forest, begin, end)
    parents = forest.parent[children]
    last_child = np.full(len(forest), NONE, np.int32)
    last_child[parents] = children
    children = children[with_siblings(parents, len(forest))]
    # The rows of a trace are in the order of span ids.
    keys = (forest.parent[children], end[children], begin[children], -children)
    order = children[order_by(*keys)]
    parents = forest.parent[order]
    runs = offsets_of_runs(starts_of_runs(parents))
    last_child[parents[runs[:-1]]] = order[runs[1:] - 1]
    previous = np.full(len(forest), NONE, np.int32)
    allowance = (forest.duration[parents] * overlap_tolerance).astype(np.int64) if overlap_tolerance else None
    previous[order] = _previous(begin[order], end[order], runs, allowance, order)
    return Siblings(begin, end, last_child, previous)


def _windows(forest: Forest) -> tuple[Times, Times]:
    begin, end = forest.start.copy(), forest.end
    child = np.flatnonzero(forest.parent >= 0)
    parent = forest.parent[child]
    overflowing = (begin[child] < begin[parent]) | (end[child] > end[parent])
    cut = np.zeros(forest.traces.height, np.bool_)
    cut[forest.trace[child[overflowing]]] = True
    rows = np.flatnonzero(cut[forest.trace])
    climb(forest.parent, (begin, end), (np.maximum, np.minimum), rows)
    return begin, end


def _blocking_children(forest: Forest, begin: Times, end: Times) -> Rows:
    child = np.flatnonzero((forest.parent >= 0) & (begin < end)).astype(np.int32)
    consumed = (forest.kind[child] == CONSUMER) & (forest.kind[forest.parent[child]] == PRODUCER)
    blocking: Rows = child[~consumed]
    return blocking


def _previous(begin: Times, end: Times, runs: Rows, allowance: Times | None, order: Rows) -> Rows:
    """Return for each child, in the walk's order, the previous sibling's row."""
    low = np.repeat(runs[:-1], np.diff(runs))
    found = _behind_last(end, low, begin if allowance is None else begin + allowance)
    if allowance is not None:
        found = _last_below(begin, low, found, begin)
    previous: Rows = order[found - 1]
    previous[found == low] = NONE
    return previous


def _behind_last(end: Times, low: Rows, limit: Times) -> Rows:
    """Search below each child's own place; most siblings are sequential, so look at the next place first."""
    found = np.arange(len(end), dtype=np.int32)
    asking = np.flatnonzero(found > low)
    asking = asking[end[asking - 1] > limit[asking]]
    found[asking] = search(end, low[asking], found[asking] - 1, limit[asking])
    return found


def _last_below(values: Times, low: Rows, high: Rows, limit: Times) -> Rows:
    """Return the place behind the last value within [low, high) that is below the limit, ``low`` if none is."""
    minima = [values]
    widest = int((high - low).max(initial=1))
    while 2 ** len(minima) <= widest:
        step = 2 ** (len(minima) - 1)
        wider = minima[-1].copy()
        wider[step:] = np.minimum(wider[step:], wider[:-step])
        minima.append(wider)
    found = high.copy()
    for level in reversed(range(len(minima))):
        fits = np.flatnonzero(found - low >= 2**level)
        skip = fits[minima[level][found[fits] - 1] >= limit[fits]]
        found[skip] -= 2**level
    return found


def _on_path(forest: Forest, siblings: Siblings) -> Flags:
    """Mark the spans that the walk visits: those on their parent's chain of siblings whose ancestors all are, too."""
    visited = _chain(siblings)
    roots = forest.trace_root
    visited[roots[roots != NONE]] = True
    rows = np.flatnonzero(visited)
    pointers = np.where(visited, forest.parent, NONE).astype(np.int32)
    # A row that is not visited ends the climb: its own value, false, is final.
    climb(pointers, (visited,), (np.logical_and,), rows)
    return visited & (siblings.begin < siblings.end)


def _chain(siblings: Siblings) -> Flags:
    """Mark every child that its parent's chain leads through, in log2 of the longest chain's length rounds."""
    marked = np.zeros(len(siblings.previous), np.bool_)
    marked[siblings.last_child[siblings.last_child >= 0]] = True
    jump = siblings.previous.copy()
    active = np.flatnonzero(jump >= 0)
    while active.size:
        marked[jump[active[marked[active]]]] = True
        jump[active] = jump[jump[active]]
        active = active[jump[active] >= 0]
    return marked


def _sections(forest: Forest, siblings: Siblings, rows: Rows, *, cut: bool) -> pl.DataFrame:
    """Return what of each visited span's window its children on the path leave."""
    child = rows[forest.parent[rows] >= 0]
    parent, previous = forest.parent[child], siblings.previous[child]
    until = siblings.end.copy()  # by child: where the time after it ends
    until[child] = siblings.end[parent]
    followed = previous >= 0
    until[previous[followed]] = siblings.begin[child[followed]]
    after = np.full(len(forest), AFTER, np.uint8)
    after[previous[followed]] = BETWEEN
    first = siblings.end.copy()  # by span: where its earliest child on the path starts
    first[parent[~followed]] = siblings.begin[child[~followed]]
    before = np.full(len(forest), WHOLE, np.uint8)
    before[parent] = BEFORE
    span = np.concatenate([rows, parent])
    begin = np.concatenate([siblings.begin[rows], siblings.end[child]])
    end = np.concatenate([first[rows], until[child]])
    if cut:
        limit = _limits(forest, siblings, child, until)
        end = np.minimum(end, limit[span])
    part = np.concatenate([before[rows], after[child]])
    kept = np.flatnonzero(begin < end)
    columns = {"span": span, "begin_unix_nano": begin, "end_unix_nano": end, "part": part}
    frame = pl.DataFrame({"trace": forest.trace[span[kept]], **{name: array[kept] for name, array in columns.items()}})
    return conform(frame, SECTIONS)


def _limits(forest: Forest, siblings: Siblings, child: Rows, until: Times) -> Times:
    """Return where each visited span's time ends: before a later sibling's start, its own or an ancestor's."""
    limit = siblings.end.copy()
    limit[child] = np.minimum(limit[child], until[child])
    pointers = np.full(len(forest), NONE, np.int32)
    pointers[child] = forest.parent[child]
    climb(pointers, (limit,), (np.minimum,), child)
    return limit
