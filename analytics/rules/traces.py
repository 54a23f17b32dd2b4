"""Which traces show something best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.findings import MOST_TRACES

if TYPE_CHECKING:
    from analytics.arrays import Array
    from analytics.findings import Subject


def slowest(subject: Subject, traces: Array) -> tuple[str, ...]:
    """Return the ids of the slowest of these traces with one root."""
    requests = subject.analysed.requests.traces
    chosen = requests.filter(pl.col("trace").is_in(pl.Series(np.asarray(traces, np.int32)).implode()))
    return subject.trace_ids(chosen.sort("duration_ns", "trace", descending=[True, False])["trace"].head(MOST_TRACES))


def slowest_of_shapes(subject: Subject, shapes: Array) -> tuple[str, ...]:
    """Return the ids of the slowest traces of these shapes."""
    return slowest(subject, np.flatnonzero(np.isin(subject.shapes.shape_of, shapes)))
