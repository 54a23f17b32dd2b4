"""Clock skew: how far hosts' clocks are apart, and the trees as one clock would have seen them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE, climb
from analytics.schema import CLIENT, CONSUMER, PRODUCER, SERVER

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags, Times
    from analytics.forest import Forest

_NS_PER_MINUTE = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Skew:
    """What was corrected.

    ``adjusted`` tells for each trace whether a start in it was moved. ``offsets`` has one row an ordered pair of hosts
    and minute that calls went between: ``caller_host`` and ``callee_host`` (codes of the forest's hosts), ``minute``,
    ``calls``, and ``offset_ns`` to be added to the callee's times; null when no single offset suits all calls.
    """

    adjusted: Flags
    offsets: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Crossings:
    """Spans whose parent is on another host, with their parents; ``blocking`` is false for asynchronous children."""

    child: Array
    parent: Array
    blocking: Flags


def correct_skew(forest: Forest) -> tuple[Forest, Skew]:
    """Return the forest with starts moved to the clock of each trace's root, and what was moved.

    For each ordered pair of hosts and minute, every CLIENT span with a SERVER child bounds the offset that puts the
    child inside it. No offset is assumed where none is needed for all of them; else it is the middle of the interval
    that suits all. Where none does, and for other pairs of spans, Jaeger's rule moves each child for itself. A span
    moves along with its parent on the same host. Asynchronous children on another host stay as received.
    Source: Jaeger's clock-skew adjuster for the second rule.
    """
    crossings = _crossings(forest)
    offsets = _host_offsets(forest, crossings)
    delta = np.zeros(len(forest), np.int64)
    delta[crossings.child] = _edge_offsets(forest, crossings, offsets)
    adjusted = np.zeros(forest.traces.height, np.bool_)
    moved = np.zeros_like(adjusted)
    moved[forest.trace[np.flatnonzero(delta)]] = True
    if not moved.any():
        return forest, Skew(adjusted, offsets)
    shift = _carry(forest, crossings, delta, np.flatnonzero(moved[forest.trace]))
    adjusted[forest.trace[np.flatnonzero(shift)]] = True
    return replace(forest, start=forest.start + shift), Skew(adjusted, offsets)


def _crossings(forest: Forest) -> _Crossings:
    child = np.flatnonzero(forest.parent >= 0)
    child = child[forest.host[child] != forest.host[forest.parent[child]]]
    parent = forest.parent[child]
    return _Crossings(child, parent, (forest.kind[parent] != PRODUCER) & (forest.kind[child] != CONSUMER))


def _bounds(forest: Forest, child: Array, parent: Array) -> tuple[Times, Times]:
    """Return the smallest and largest offset that puts the child inside its parent."""
    earliest = forest.start[parent] - forest.start[child]
    return earliest, earliest + forest.duration[parent] - forest.duration[child]


def _pairs(forest: Forest, child: Array, parent: Array) -> dict[str, Array]:
    return {
        "caller_host": forest.host[parent],
        "callee_host": forest.host[child],
        "minute": forest.start[parent] // _NS_PER_MINUTE,
    }


def _host_offsets(forest: Forest, crossings: _Crossings) -> pl.DataFrame:
    """Estimate the offset of each ordered pair of hosts and minute."""
    calls = (forest.kind[crossings.parent] == CLIENT) & (forest.kind[crossings.child] == SERVER)
    # A server span that outlives its client fits nowhere: it says nothing about the clocks.
    calls &= forest.duration[crossings.child] <= forest.duration[crossings.parent]
    child, parent = crossings.child[calls], crossings.parent[calls]
    lower, upper = _bounds(forest, child, parent)
    pairs = pl.DataFrame({**_pairs(forest, child, parent), "lower": lower, "upper": upper})
    feasible = pairs.group_by("caller_host", "callee_host", "minute").agg(
        pl.col("lower").max(), pl.col("upper").min(), pl.len().alias("calls")
    )
    middle = pl.col("lower") + (pl.col("upper") - pl.col("lower")) // 2
    offset = (
        pl.when(pl.col("lower") > pl.col("upper"))
        .then(None)
        .when((pl.col("lower") <= 0) & (pl.col("upper") >= 0))
        .then(pl.lit(0, pl.Int64))
        .otherwise(middle)
    )
    keys = ["caller_host", "callee_host", "minute"]
    return feasible.select(*keys, "calls", offset_ns=offset).sort(keys)


def _edge_offsets(forest: Forest, crossings: _Crossings, offsets: pl.DataFrame) -> Times:
    """Return for each crossing what to add to the child's times beyond what its parent's were moved by."""
    pairs = pl.DataFrame(_pairs(forest, crossings.child, crossings.parent))
    estimate = pairs.join(offsets, on=["caller_host", "callee_host", "minute"], how="left", maintain_order="left")[
        "offset_ns"
    ]
    alone = _offset_of_single(forest, crossings.child, crossings.parent)
    offset = np.where(estimate.is_null().to_numpy(), alone, estimate.fill_null(0).to_numpy())
    return np.where(crossings.blocking, offset, 0)


def _offset_of_single(forest: Forest, child: Array, parent: Array) -> Times:
    """Return what moves a child into the middle of its parent, 0 if it fits.

    One that lasts longer than its parent is moved to the parent's start, unless it starts inside the parent already:
    then it merely outlived its caller.
    """
    lower, upper = _bounds(forest, child, parent)
    inside = (lower <= 0) & (forest.start[child] < forest.end[parent])
    longer = np.where(inside, 0, lower)
    shorter = np.where((lower <= 0) & (upper >= 0), 0, lower + (upper - lower) // 2)
    return np.where(upper < lower, longer, shorter)


def _carry(forest: Forest, crossings: _Crossings, delta: Times, rows: Array) -> Times:
    """Return how far each span moves: its own crossing's offset and those above it."""
    pointers = forest.parent.copy()
    pointers[crossings.child[~crossings.blocking]] = NONE
    climb(pointers, (delta,), (np.add,), rows)
    return delta
