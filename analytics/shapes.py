"""Shapes: who waits for whom in a trace, with traces that look alike counted once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE, climb, farther
from analytics.codes import sum_by
from analytics.entries import entry_of

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags, Floats, Rows
    from analytics.calls import CallGraph

PROBES = (
    r"(?i)^((GET|HEAD) )?/?((api|actuator|internal)/)?"
    r"(healthz?|health[_-]?check|livez?|liveness|readyz?|readiness|metrics|ping|heartbeat)(/.*)?$|grpc\.health"
)
"""Operations by which a platform asks whether a service is alive: as many as one likes, and no user's requests."""

_MIX = np.uint64(0x9E3779B97F4A7C15)
_STIR = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
"""The constants of splitmix64 (Steele, Lea, Flood 2014): 64 bits, so a million shapes meet by chance once in 10^7."""


@dataclass(frozen=True, slots=True)
class Visits:
    """Stays in services, one row each.

    ``up`` is the row of the stay that waits for this one, -1 where nobody waits: at a root, and where a message is
    taken. A stay and all that wait for each other below it are a piece of work. ``shape`` ascends.
    """

    shape: Rows
    up: Rows
    service: Rows

    @property
    def caller(self) -> Rows:
        """The waiting service, -1 where nobody waits."""
        caller: Rows = np.where(self.up >= 0, self.service[self.up], NONE).astype(np.int32)
        return caller


@dataclass(frozen=True, slots=True)
class Shapes:
    """The traces with one root, probes left out, by their shape.

    Two traces have one shape when the same services wait for the same ones in them, however often. ``visits`` are those
    of one trace of each shape, ``weight`` the requests of a shape, ``traces`` its traces. ``shape_of`` has an entry a
    trace of the forest, -1 for those left out. ``services`` is the number of codes in SERVICES.
    """

    visits: Visits
    weight: Floats
    traces: Array
    shape_of: Rows
    services: int

    def __len__(self) -> int:
        return len(self.weight)


def find_shapes(graph: CallGraph, weights: Floats) -> Shapes:
    """Return the shapes of all traces; ``weights`` has one entry a trace.

    A service waits for those that it calls ``sync``, but not where the answer starts after the caller is done, or where
    the call was made by a span that outlives its own parent: nobody waits for that.
    """
    forest = graph.forest
    trace, up, service = _stays(graph)
    counted = (forest.trace_root != NONE) & ~_is_probe(graph)
    trace, up, service = _kept(counted[trace], trace, up, service)
    signature = _signatures(trace, up, service, len(counted))
    chosen = np.flatnonzero(counted)
    distinct, first, shape = np.unique(signature[chosen], return_index=True, return_inverse=True)
    shape_of = np.full(len(counted), NONE, np.int32)
    shape_of[chosen] = shape
    speaks = np.zeros(len(counted), np.bool_)
    speaks[chosen[first]] = True
    trace, up, service = _kept(speaks[trace], trace, up, service)
    return Shapes(
        visits=Visits(shape_of[trace], up, service),
        weight=sum_by(shape, weights[chosen], len(distinct)),
        traces=np.bincount(shape, minlength=len(distinct)),
        shape_of=shape_of,
        services=forest.origins.services.height,
    )


def _stays(graph: CallGraph) -> tuple[Rows, Rows, Rows]:
    """Return trace, waiting stay and service of all stays, by trace; those without a span come from inferred calls."""
    forest, services = graph.forest, graph.forest.origins.services.height
    calls = graph.calls.filter((pl.col("mode") == "sync") & pl.col("span").is_not_null())
    calls = calls.filter(pl.max_horizontal("caller", "callee") < services)
    span, answer = (calls[side].fill_null(NONE).to_numpy() for side in ("span", "answer"))
    entry, late = entry_of(forest, graph.entries), _detached(graph)
    silent = np.flatnonzero(answer == NONE)
    child = answer.astype(np.int32)
    child[silent] = len(forest) + np.arange(len(silent))
    waits = ~late[span] & ((answer == NONE) | (forest.start[answer] < forest.end[span])) if len(forest) else span < 0
    up = np.full(len(forest) + len(silent), NONE, np.int32)
    up[child[waits]] = entry[span[waits]]
    trace = np.concatenate([forest.trace, forest.trace[span[silent]]])
    service = np.concatenate([forest.service, calls["callee"].to_numpy()[silent].astype(np.int32)])
    stays = np.concatenate([entry == np.arange(len(forest)), waits[silent]])
    return _kept(stays, trace, up, service)


def _detached(graph: CallGraph) -> Flags:
    """Mark the spans that began after a span around them in the same request was over."""
    forest = graph.forest
    parent = np.where(forest.parent >= 0, forest.parent, 0)
    inside = (forest.parent >= 0) & ~graph.entries & (forest.service[parent] == forest.service)
    late: Flags = inside & (forest.start >= forest.end[parent])
    climb(np.where(inside, forest.parent, NONE).astype(np.int32), (late,), (np.logical_or,))
    return late


def _is_probe(graph: CallGraph) -> Flags:
    forest = graph.forest
    root = forest.trace_root
    names = forest.column("span_name", np.maximum(root, 0)) if len(forest) else pl.Series(dtype=pl.String)
    probes: Flags = names.cast(pl.String).str.contains(PROBES).fill_null(value=False).to_numpy()
    probes &= root != NONE
    return probes


def _kept(keep: Flags, trace: Rows, up: Rows, service: Rows) -> tuple[Rows, Rows, Rows]:
    """Return these stays in the order of their traces, and pointers to their new rows; a lost stay waits no more."""
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(trace[rows], kind="stable")]
    place = np.full(len(keep) + 1, NONE, np.int32)
    place[rows] = np.arange(len(rows))
    return trace[rows], place[up[rows]], service[rows]


def _signatures(trace: Rows, up: Rows, service: Rows, traces: int) -> Array:
    """Return a number for each trace that is equal for traces of one shape; each round is one level of stays."""
    level = (up >= 0).astype(np.int32)
    climb(up, (level,), (np.add,))
    below = np.zeros(len(up), np.uint64)
    whole = np.zeros(traces, np.uint64)
    order = np.argsort(level, kind="stable")
    ends = np.cumsum(np.bincount(level)) if len(level) else np.empty(0, np.int64)
    for depth in range(len(ends) - 1, -1, -1):
        rows = order[ends[depth - 1] if depth else 0 : ends[depth]]
        mine = _stir(below[rows] + service[rows].astype(np.uint64) * _MIX + _MIX)
        _add_distinct(below if depth else whole, up[rows] if depth else trace[rows], mine)
    return whole


def _stir(values: Array) -> Array:
    for shift, factor in zip((30, 27), _STIR, strict=True):
        values = (values ^ (values >> np.uint64(shift))) * factor
    stirred: Array = values ^ (values >> np.uint64(31))
    return stirred


def _add_distinct(sums: Array, place: Rows, values: Array) -> None:
    """Add to each place its distinct values, in place."""
    pairs = pl.DataFrame({"place": place, "value": values}).unique()
    np.add.at(sums, pairs["place"].to_numpy(), pairs["value"].to_numpy())


def tops(up: Rows) -> Rows:
    """Return for each stay the topmost one that waits for it, or itself."""
    top = np.arange(len(up), dtype=np.int32)
    climb(up, (top,), (farther,))
    return top


def hops(up: Rows, service: Rows) -> Rows:
    """Return for each stay how many times a wait crossed from one service to another on the way to it."""
    crossed = ((up >= 0) & (service != service[up])).astype(np.int32) if len(up) else np.zeros(0, np.int32)
    climb(up, (crossed,), (np.add,))
    return crossed


def under_edge(visits: Visits, caller: int, callee: int) -> tuple[Flags, Flags]:
    """Tell which stays one service waits for in another, and which come about by that: those, and all below them."""
    called = (visits.caller == caller) & (visits.service == callee)
    below = called.copy()
    climb(visits.up, (below,), (np.logical_or,))
    return called, below
