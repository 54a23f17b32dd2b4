"""Blocking: what a trace's root waits for, spans and nodes of the service graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import climb
from analytics.codes import distinct_keys

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags
    from analytics.calls import CallGraph
    from analytics.forest import Forest
    from analytics.messages import Messages


def blocking_spans(forest: Forest, messages: Messages) -> Flags:
    """Mark the spans that their trace's only root waited for.

    They are below it by children that block: that took no message from their parent and started before its end.
    """
    child = np.flatnonzero(forest.parent >= 0)
    parent = forest.parent[child]
    free = messages.sends[parent] & (messages.takes[child] | (forest.service[parent] != forest.service[child]))
    free |= messages.takes[child] & (forest.service[parent] != forest.service[child])
    free |= forest.start[child] >= forest.end[parent]
    apart = np.zeros(len(forest), np.bool_)
    apart[child[free]] = True
    some = np.zeros(forest.traces.height, np.bool_)
    some[forest.trace[child[free]]] = True
    climb(forest.parent, (apart,), (np.logical_or,), np.flatnonzero(some[forest.trace]))
    waited: Flags = ~apart & (forest.trace_root[forest.trace] == forest.root)
    return waited


def needed_nodes(graph: CallGraph) -> tuple[Array, Array]:
    """Return pairs of a trace with one root and a node that it waits for."""
    forest, nodes = graph.forest, graph.nodes.height
    waited = graph.blocking
    own = np.flatnonzero(waited)
    # The spans of callees speak for themselves; these left none.
    calls = graph.calls.filter((pl.col("mode") == "sync") & pl.col("answer").is_null())
    calls = calls.filter(pl.Series(waited[calls["span"].to_numpy()]))
    pairs = distinct_keys(
        np.concatenate(
            [
                forest.trace[own].astype(np.int64) * nodes + forest.service[own],
                calls["trace"].to_numpy().astype(np.int64) * nodes + calls["callee"].to_numpy(),
            ]
        ),
        forest.traces.height * nodes,
    )
    return np.divmod(pairs, max(nodes, 1))
