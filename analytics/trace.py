"""One trace, analysed: what each span adds to its latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.critical_path import critical_path, newest_first
from analytics.forest import build_forest
from analytics.self_time import self_time
from analytics.skew import correct_skew
from analytics.source import spans_of_view

if TYPE_CHECKING:
    import pyarrow as pa

    from analytics.critical_path import CriticalPath
    from analytics.forest import Forest


def analyse_trace(trace: dict[str, Any], rows: pa.Table, *, correct_clocks: bool = True) -> dict[str, Any]:
    """Return a ``trace`` object with its analysis, given the object without it and its rows of the ``spans`` view.

    Each span gets ``self_time_ns`` and ``critical_path_ns``, null where the same span came before. ``critical_path``
    has the sections, newest first; none when the trace has no root or several. Clocks are corrected for the analysis,
    unless told not to: ``skew_adjusted`` tells, and the sections are in corrected time, while the spans keep the times
    they came with.
    """
    forest, adjusted = build_forest(*spans_of_view(rows)), False
    if correct_clocks:
        forest, skew = correct_skew(forest)
        adjusted = bool(skew.adjusted.any())
    path = critical_path(forest)
    return trace | {
        "skew_adjusted": adjusted,
        "spans": _with_times(trace["spans"], forest, path),
        "critical_path": _sections(trace["spans"], forest, path),
    }


def _with_times(spans: list[dict[str, Any]], forest: Forest, path: CriticalPath) -> list[dict[str, Any]]:
    length = path.sections["end_unix_nano"] - path.sections["begin_unix_nano"]
    on_path = np.zeros(len(forest), np.int64)
    np.add.at(on_path, path.sections["span"].to_numpy(), length.to_numpy())
    times = pl.DataFrame({"self_time_ns": self_time(forest), "critical_path_ns": on_path})
    found = dict(zip(forest.source_row.tolist(), times.iter_rows(named=True), strict=True))
    none = dict.fromkeys(times.columns)
    return [span | found.get(row, none) for row, span in enumerate(spans)]


def _sections(spans: list[dict[str, Any]], forest: Forest, path: CriticalPath) -> list[dict[str, Any]]:
    sections = newest_first(path.sections)
    rows = forest.source_row[sections["span"].to_numpy()].tolist()
    bounds = zip(rows, sections["begin_unix_nano"], sections["end_unix_nano"], strict=True)
    return [
        {"span_id": spans[row]["span_id"], "start_unix_nano": begin, "end_unix_nano": end} for row, begin, end in bounds
    ]
