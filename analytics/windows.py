"""What is in a window of time, read and analysed: traces by environment, and what metrics tell of resources."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from analytics.analysis import analyse
from analytics.environments import split_environments
from analytics.resources import resource_minutes
from analytics.rollups import merge_rollups, roll_up
from analytics.schema import ROLLUPS, conform
from analytics.source import read_metrics, read_traces

if TYPE_CHECKING:
    from analytics.options import Options
    from collector.store.protocol import Store, TraceWindow

MINUTE_NS = 60 * 10**9
_BEFORE_NS = 5 * MINUTE_NS
"""A counter's growth needs the point before, and limits are told with it: exporters send every minute."""


def roll_up_window(store: Store, window: TraceWindow, options: Options, kept: float = 1.0) -> dict[str, pl.DataFrame]:
    """Return the ROLLUPS of a window's traces, of which a share ``kept`` is looked at; those of resources are empty."""
    traces = split_environments(read_traces(store, window))
    analysed = (analyse(part, correct_clocks=options.correct_clocks, share=kept) for part in traces)
    return merge_rollups([roll_up(part, kept) for part in analysed])


def read_resources(store: Store, window: TraceWindow, options: Options) -> pl.DataFrame:
    """Return ``rollup_resources`` of a window, which begins and ends with a minute."""
    points = read_metrics(store, replace(window, begin=max(window.begin - _BEFORE_NS, 0)), options.metric_aliases)
    found = resource_minutes(points, options.metric_aliases)
    within = pl.col("minute").is_between(window.begin // MINUTE_NS, window.end // MINUTE_NS, closed="left")
    return conform(found.filter(within), ROLLUPS["rollup_resources"])
