"""What is in a window of time, read and analysed: traces by environment, and what metrics tell of resources."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from analytics.analysis import analyse
from analytics.environments import UNNAMED, split_environments
from analytics.resources import resource_minutes
from analytics.rollups import merge_rollups, roll_up
from analytics.schema import ROLLUPS, conform
from analytics.source import count_spans, read_metrics, read_traces
from collector.store.protocol import TraceWindow

if TYPE_CHECKING:
    from analytics.options import Options
    from analytics.source import Traces
    from collector.store.protocol import Store

MINUTE_NS = 60 * 10**9
MOST_EXACT_SPANS = 200_000
"""Spans that a report reads one by one; of more it takes the rollups. So many take half a second."""
_BEFORE_NS = 5 * MINUTE_NS
"""A counter's growth needs the point before, and limits are told with it: exporters send every minute."""


def roll_up_window(store: Store, window: TraceWindow, options: Options, kept: float = 1.0) -> dict[str, pl.DataFrame]:
    """Return the ROLLUPS of a window's traces, of which a share ``kept`` is looked at; those of resources are empty."""
    return roll_up_traces(read_traces(store, window), options, kept)


def roll_up_traces(traces: Traces, options: Options, kept: float = 1.0) -> dict[str, pl.DataFrame]:
    """Return what ``roll_up_window`` does, of traces that were read."""
    parts = split_environments(traces)
    analysed = (analyse(part, correct_clocks=options.correct_clocks, share=kept) for part in parts)
    return merge_rollups([roll_up(part, kept) for part in analysed])


def read_resources(store: Store, window: TraceWindow, options: Options) -> pl.DataFrame:
    """Return ``rollup_resources`` of the minutes that a window touches."""
    points = read_metrics(store, replace(window, begin=max(window.begin - _BEFORE_NS, 0)), options.metric_aliases)
    found = resource_minutes(points, options.metric_aliases)
    within = pl.col("minute").is_between(window.begin // MINUTE_NS, (window.end - 1) // MINUTE_NS)
    return conform(found.filter(within), ROLLUPS["rollup_resources"])


@dataclass(frozen=True, slots=True)
class Rolled:
    """A window that rollups answer for: minutes ``first`` to ``last``, and the ``rest`` of it, which spans must.

    ``environments`` are those of the minutes, most traces first. All that began before ``settled_through`` (Unix
    nanoseconds) is in the rollups, but for spans of the last seconds.
    """

    first: int
    last: int
    rest: list[TraceWindow]
    environments: list[str]
    settled_through: int


def find_rolled(store: Store, window: TraceWindow) -> Rolled | None:
    """Return how rollups answer for a window; None when its spans are few, or not even half of them were rolled up.

    Few spans are not asked when minutes are kept of which retention has deleted spans.
    """
    first, end = -(-window.begin // MINUTE_NS), window.end // MINUTE_NS
    kept = store.rolled_minutes(first, end)
    found = pl.DataFrame(pl.from_arrow(kept.environments))
    rolled, stored = int(found["spans"].sum()), count_spans(store, window)
    is_whole = not (found["first_minute"] * MINUTE_NS < kept.deleted_before).any()
    if (is_whole and max(rolled, stored) <= MOST_EXACT_SPANS) or 2 * rolled < stored:
        return None
    last = int(found["last_minute"].to_numpy().max())
    edges = (window.begin, first * MINUTE_NS), ((last + 1) * MINUTE_NS, window.end)
    settled = last + 1 if kept.first_pending is None else min(last + 1, kept.first_pending)
    return Rolled(
        first=first,
        last=last,
        rest=[TraceWindow(begin, until) for begin, until in edges if begin < until],
        environments=found["environment"].to_list(),
        settled_through=settled * MINUTE_NS,
    )


def sum_rollups(store: Store, rolled: Rolled, environment: str, options: Options) -> dict[str, pl.DataFrame]:
    """Return ROLLUPS of a window's environment, added up over minutes, whose column is null but for resources."""
    tables = store.sum_rollups(rolled.first, rolled.last + 1, environment)
    kept = {name: conform(pl.DataFrame(pl.from_arrow(tables[name])), columns) for name, columns in ROLLUPS.items()}
    return merge_rollups([kept, *(_roll_up_rest(store, window, environment, options) for window in rolled.rest)])


def _roll_up_rest(store: Store, window: TraceWindow, environment: str, options: Options) -> dict[str, pl.DataFrame]:
    parts = max(-(-count_spans(store, window) // MOST_EXACT_SPANS), 1)
    rollups = roll_up_window(store, replace(window, parts=parts), options, 1 / parts)
    no_minute = pl.lit(None, pl.Int64).alias("minute")
    merged = {name: frame.with_columns(no_minute) for name, frame in rollups.items()}
    merged["rollup_resources"] = read_resources(store, window, options)
    is_it = pl.col("environment").fill_null(UNNAMED) == environment
    return {name: frame.filter(is_it) for name, frame in merged.items()}
