"""Waits: how long traces waited for spans together with all that is inside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.arrays import NONE

if TYPE_CHECKING:
    from analytics.analysis import Analysed
    from analytics.arrays import Array, Times


def waited_ns(analysed: Analysed, rows: Array) -> Times:
    """Return the time on the critical path of each of these spans and what is inside it, 0 off the path."""
    path = analysed.path
    window = path.siblings.end[rows] - path.siblings.begin[rows]
    waited: Times = np.where(path.on_path[rows], np.maximum(window, 0), 0)
    return waited


def share_of_traces(analysed: Analysed, rows: Array) -> float:
    """Return what part of their traces' whole time these spans (none inside another) made them wait, 0 to 1.

    Traces without one root count for nothing.
    """
    trace = analysed.forest.trace[rows]
    waited = float((waited_ns(analysed, rows) * analysed.weights[trace]).sum())
    whole = total_ns(analysed, np.unique(trace))
    return min(waited / whole, 1.0) if whole > 0 else 0.0


def total_ns(analysed: Analysed, traces: Array) -> float:
    """Return the weighted durations of these traces, which have one root, added up."""
    root = analysed.forest.trace_root[traces]
    known = root != NONE
    return float((analysed.forest.duration[root[known]] * analysed.weights[traces[known]]).sum())
