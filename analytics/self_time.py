"""Self time: how long a span worked while none of its children did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.arrays import order_by, starts_of_runs, with_siblings

if TYPE_CHECKING:
    from analytics.arrays import Flags, Rows, Times
    from analytics.forest import Forest


def self_time(forest: Forest) -> Times:
    """Return for each span, in nanoseconds, its duration less the union of its children's intervals within it.

    It measures work. In traces with parallel calls it adds up to more than the latency, so it does not rank blame.
    """
    child = np.flatnonzero(forest.parent >= 0)
    parent = forest.parent[child]
    begin = np.maximum(forest.start[child], forest.start[parent])
    end = np.minimum(forest.end[child], forest.end[parent])
    inside = np.flatnonzero(begin < end)
    parent, begin, end = parent[inside], begin[inside], end[inside]
    result = forest.duration.copy()
    several = with_siblings(parent, len(forest))
    result[parent[~several]] -= (end - begin)[~several]
    # Sorting is most of the work here, and an only child needs none.
    _subtract_unions(result, parent[several], begin[several], end[several])
    return result


def _subtract_unions(result: Times, parent: Rows, begin: Times, end: Times) -> None:
    """Subtract from each parent's result, in place, the union of its children's intervals."""
    # Latest end first: then all that came before reaches at least as far as this child, from its earliest start on.
    order = order_by(parent, -end)
    parent, begin, end = parent[order], begin[order], end[order]
    starts = starts_of_runs(parent)
    covered = np.minimum(end, _earliest_before(begin, end, starts)) - begin
    runs = np.flatnonzero(starts)
    if runs.size:
        result[parent[runs]] -= np.add.reduceat(np.maximum(covered, 0), runs)


def _earliest_before(begin: Times, end: Times, starts: Flags) -> Times:
    """Return for each child the least start of those before it in its run, its own end when it is the first.

    A running minimum over runs: log2 of the longest run's length rounds over the rows that reach back so far.
    """
    place = np.arange(len(begin))
    low = np.maximum.accumulate(np.where(starts, place, 0))
    least = begin.copy()
    step = 1
    active = np.flatnonzero(place - low >= step)
    while active.size:
        least[active] = np.minimum(least[active], least[active - step])
        step *= 2
        active = active[active - low[active] >= step]
    before = end.copy()
    followers = np.flatnonzero(~starts)
    before[followers] = least[followers - 1]
    return before
