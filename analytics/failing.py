"""How failures climb: which requests fail when the calls that they make fail."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE, offsets_of_runs, order_by, starts_of_runs
from analytics.codes import sum_by
from analytics.entries import entry_of
from analytics.errors import ENOUGH_FAILURES, find_errors
from analytics.graph import edge_numbers
from analytics.retries import find_attempts
from analytics.schema import STATUSES

if TYPE_CHECKING:
    from analytics.arrays import Flags, Floats, Rows
    from analytics.calls import CallGraph


@dataclass(frozen=True, slots=True)
class Climb:
    """How failures of calls reach the caller's request, by edge of EDGES.

    ``share`` is how often a request fails because its last attempts on the edge did: measured, less the requests that
    fail without it, or 1 where ``assumed``, since too few calls failed. ``retried`` is the share of failed calls that
    is made again, 0 where too few failed.
    """

    share: Floats
    assumed: Flags
    retried: Floats


def measure_climb(graph: CallGraph, weights: Floats) -> Climb:
    """Return how failures climb; ``weights`` has one entry a trace.

    Only calls whose server failed count, where there is one: that nobody minds a 404 says nothing of a 500.
    """
    strict = _of_servers(graph)
    edges = find_errors(strict, weights).edges
    known = edges["failure_propagation"].is_not_null().to_numpy()
    measured, base = (edges[name].fill_null(0).to_numpy() for name in ("failure_propagation", "base_rate"))
    excess = np.clip((measured - base) / np.where(base < 1, 1 - base, 1), 0, 1)
    number, _ = edge_numbers(graph)
    failed = _failed(strict)
    again = sum_by(number, find_attempts(strict).repeated, edges.height)
    failures = sum_by(number, failed, edges.height)
    retried = np.where(failures >= ENOUGH_FAILURES, again / np.maximum(failures, 1), 0)
    return Climb(np.where(known, excess, 1.0), ~known, retried)


def _of_servers(graph: CallGraph) -> CallGraph:
    """Return the graph with answered calls that fail only where their server does."""
    failed = pl.when(pl.col("answer").is_null()).then("client_failed").otherwise("server_failed")
    return replace(graph, calls=graph.calls.with_columns(client_failed=failed))


def fail_upwards(graph: CallGraph, climb: Climb, requests: Floats, calls: Floats) -> tuple[Floats, Flags]:
    """Return by span how likely it is that this entry fails that did not, and which edges that went over.

    ``requests`` has by span and ``calls`` by call the probability that it fails of itself; those of one request are
    independent of each other. What failed in the record stays as it is.
    """
    forest = graph.forest
    status = (forest.source["status"].to_physical().to_numpy() == STATUSES.index("error"))[forest.source_row]
    failing = np.where(status, 0.0, requests)
    used = np.zeros(len(climb.share), np.bool_)
    rows, entry, edge = _ordered(graph)
    answer = graph.calls["answer"].fill_null(NONE).to_numpy()[rows]
    failed, own = _failed(_of_servers(graph))[rows], calls[rows]
    depth = forest.depth[entry]
    for low, high in _runs(depth):
        part = slice(low, high)
        fails = np.where(answer[part] == NONE, 0.0, failing[answer[part]])
        fails = np.where(failed[part], 0.0, 1 - (1 - fails) * (1 - own[part]))
        again = climb.retried[edge[part]]
        last = np.where(fails < 1, fails * (1 - again) / np.where(fails < 1, 1 - again * fails, 1), 1.0)
        used[edge[part][last > 0]] = True
        _raise(failing, status, entry[part], edge[part], 1 - last, climb.share)
    return failing, used


def _raise(failing: Floats, status: Flags, entry: Rows, edge: Rows, passes: Floats, share: Floats) -> None:
    """Add to entries, in place, what the calls that they make add to their failing."""
    groups = offsets_of_runs(starts_of_runs(entry, edge))[:-1]
    none_fails = np.multiply.reduceat(passes, groups)
    survives = 1 - share[edge[groups]] * (1 - none_fails)
    owner = entry[groups]
    firsts = offsets_of_runs(starts_of_runs(owner))[:-1]
    owners = owner[firsts]
    result = 1 - (1 - failing[owners]) * np.multiply.reduceat(survives, firsts)
    failing[owners] = np.where(status[owners], 0.0, result)


def _ordered(graph: CallGraph) -> tuple[Rows, Rows, Rows]:
    """Return sync calls with a caller's span, those of the deepest requests first, with their requests and edges."""
    forest = graph.forest
    span = graph.calls["span"].fill_null(NONE).to_numpy()
    rows = np.flatnonzero((span != NONE) & (graph.calls["mode"] == "sync").to_numpy()).astype(np.int32)
    entry = entry_of(forest, graph.entries)[span[rows]]
    edge = edge_numbers(graph)[0][rows]
    order = order_by(-forest.depth[entry], entry, edge)
    return rows[order], entry[order], edge[order]


def _runs(values: Rows) -> list[tuple[int, int]]:
    if not len(values):
        return []
    offsets = offsets_of_runs(starts_of_runs(values)).tolist()
    return list(pairwise(offsets))


def _failed(graph: CallGraph) -> Flags:
    """Tell by call whether either side failed."""
    failed: Flags = np.logical_or(
        *(graph.calls[f"{side}_failed"].fill_null(value=False).to_numpy() for side in ("client", "server"))
    )
    return failed
