"""A window in buckets of minutes: what the rollups keep of each, or where there are none, what its spans make."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.environments import UNNAMED, choose_environment
from analytics.rollups import add_up
from analytics.schema import ROLLUPS, conform, empty
from analytics.source import count_spans
from analytics.windows import MINUTE_NS, MOST_EXACT_SPANS, read_resources, roll_up_window
from collector.errors import ConfigurationError
from collector.store.protocol import Buckets
from collector.units import parse_duration_ns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analytics.options import Options
    from collector.store.protocol import Store, TraceWindow

MOST_BUCKETS = 120
"""More points than that are no better to look at, and each is rows to add up."""
_WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)
_HOUR, _DAY = 60, 1440
LONG = 360
"""Minutes from which a row a minute and bucket of latency is too much to add up while somebody waits: the 13 million of
a day took 1 s of processor time, those of hours that are added up already 0.06 s."""
FINE_ERROR, COARSE_ERROR = 0.00543, 0.0275
"""Of quantiles: half a bucket at scale 6, and two and a half of them."""
_TOO_FINE = ("namespace", "service", "operation", "bucket")
_KEPT_APART = ("rollup_resources",)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be read: which ROLLUPS, of which types of nodes (none: all), and whether their latency is needed.

    ``width`` is that of a bucket in minutes, None to choose. ``many``: there are so many rows that latencies of long
    windows are read coarser.
    """

    tables: Sequence[str]
    types: tuple[str, ...] = ()
    width: int | None = None
    many: bool = False


@dataclass(frozen=True, slots=True)
class Bucketed:
    """ROLLUPS of one environment, whose ``minute`` is the first of a bucket of ``width`` minutes.

    ``rollup_paths`` has neither endpoints nor latencies, ``rollup_resources`` each minute. The window is the minutes
    from ``first`` up to ``end``, both 0 when nothing is known. ``settled_through`` (Unix nanoseconds) is as in a
    report: null when spans were read. ``has_paths`` is false when ``rollup_paths`` were too many to be added up, and
    ``coarse`` says that quantiles are 2.8 % off at most instead of 0.543 %.
    """

    environment: str
    environments: list[str]
    width: int
    first: int
    end: int
    settled_through: int | None
    has_paths: bool
    coarse: bool
    tables: Mapping[str, pl.DataFrame]

    def describe(self) -> dict[str, Any]:
        """Return what every answer in buckets says first; times are Unix nanoseconds."""
        known = self.first < self.end
        return {
            "environment": self.environment,
            "environments": self.environments,
            "from": self.first * MINUTE_NS if known else None,
            "to": self.end * MINUTE_NS if known else None,
            "settled_through": self.settled_through,
            "bucket_seconds": self.width * 60,
            "quantile_error": COARSE_ERROR if self.coarse else FINE_ERROR,
        }

    def seconds(self) -> pl.Expr:
        """Return how many seconds of a row's bucket lie in the window."""
        begin = pl.max_horizontal(pl.col("minute"), pl.lit(self.first))
        return (pl.min_horizontal(pl.col("minute") + self.width, pl.lit(self.end)) - begin) * 60.0


def choose_width(minutes: int, first: int = 0) -> int:
    """Return the least usual width, in minutes, of at most MOST_BUCKETS buckets over so many minutes from ``first``."""
    days = -(-minutes // (_DAY * (MOST_BUCKETS - 1)))  # a window may begin within its first bucket
    widths = (*_WIDTHS, _DAY * max(days, 1))
    return next(width for width in widths if (first + minutes - 1) // width - first // width < MOST_BUCKETS)


def parse_width(text: str | None) -> int | None:
    """Return the minutes of a bucket's width as a duration has it; raises ``ConfigurationError`` for others."""
    if text is None:
        return None
    try:
        minutes, rest = divmod(parse_duration_ns(text), MINUTE_NS)
    except ValueError as error:
        raise ConfigurationError(f"bucket: {error}.") from error
    if rest or minutes < 1:
        raise ConfigurationError(f"bucket: {text!r} is not a number of whole minutes, 5m or 1h for example.")
    return minutes


def read_buckets(store: Store, window: TraceWindow, env: str | None, plan: Plan, options: Options) -> Bucketed:
    """Return a window's minutes in buckets: from rollups, when most of its spans are in them, else from its spans.

    So it is for an environment that no rollup has yet: after a start, old minutes are analysed one after the other.

    Of a window of many spans that were not rolled up, a share of the traces stands for all. From rollups, minutes count
    that lie in the window as a whole and have settled.
    """
    first, end = -(-window.begin // MINUTE_NS), window.end // MINUTE_NS
    stored = count_spans(store, window)
    if first < end:
        found = pl.DataFrame(pl.from_arrow(store.rolled_minutes(first, end).environments))
        is_there = env is None or env in found["environment"]
        if (0 < stored <= 2 * int(found["spans"].sum()) and is_there) or (not stored and found.height):
            return _from_rollups(store, (first, end), found, env, plan)
    return _from_spans(store, window, stored, env, plan, options)


def _from_rollups(store: Store, window: tuple[int, int], found: pl.DataFrame, env: str | None, plan: Plan) -> Bucketed:
    environments = found["environment"].to_list()
    environment = choose_environment(environments, env)
    first, end = int(found["first_minute"].to_numpy().min()), int(found["last_minute"].to_numpy().max()) + 1
    end = min(end, max(time.time_ns() // MINUTE_NS + _HOUR, first + 1))  # some clocks are years ahead
    pending = store.rolled_minutes(*window).first_pending
    width = _width(first, end, plan)
    is_long = end - first > LONG
    fine = width % _HOUR == 0 or not is_long
    coarse = is_long and (plan.many or not fine)
    names = [name for name in plan.tables if fine or name != "rollup_paths"]
    kept = store.bucket_rollups(names, Buckets(first, end, width, plan.types, coarse), environment)
    tables = {name: conform(pl.DataFrame(pl.from_arrow(kept[name])), ROLLUPS[name]) for name in names}
    settled = end if pending is None else min(end, pending)
    tables |= {name: empty(ROLLUPS[name]) for name in plan.tables if name not in tables}
    return Bucketed(environment, environments, width, first, end, settled * MINUTE_NS, fine, coarse, tables)


def _from_spans(
    store: Store, window: TraceWindow, stored: int, env: str | None, plan: Plan, options: Options
) -> Bucketed:
    parts = max(-(-stored // MOST_EXACT_SPANS), 1)
    rollups = roll_up_window(store, replace(window, parts=parts), options, 1 / parts)
    rollups["rollup_resources"] = read_resources(store, window, options)
    windows = rollups["rollup_windows"]
    counts = windows.group_by(pl.col("environment").fill_null(UNNAMED)).agg(pl.col("traces").sum())
    environments = counts.sort("traces", "environment", descending=[True, False])["environment"].to_list()
    environment = choose_environment(environments, env)
    minutes = windows["minute"].drop_nulls().to_numpy()
    first, end = (int(minutes.min()), int(minutes.max()) + 1) if len(minutes) else (0, 0)
    width = _width(first, end, plan)
    is_it = pl.col("environment").fill_null(UNNAMED) == environment
    tables = {name: _in_buckets(name, rollups[name].filter(is_it), width, plan) for name in plan.tables}
    return Bucketed(environment, environments, width, first, end, None, True, False, tables)


def _width(first: int, end: int, plan: Plan) -> int:
    """Return the width of buckets: what is asked for, else of long windows at least the hours that are added up."""
    width = choose_width(max(end - first, 1), first)
    return plan.width or (max(width, _HOUR) if end - first > LONG else width)


def _in_buckets(name: str, rows: pl.DataFrame, width: int, plan: Plan) -> pl.DataFrame:
    if name in _KEPT_APART:
        return rows
    if plan.types and name in ("rollup_nodes", "rollup_node_latency"):
        rows = rows.filter(pl.col("type").is_in(plan.types))
    if name == "rollup_paths":
        rows = rows.with_columns(pl.lit(None, ROLLUPS[name][key]).alias(key) for key in _TOO_FINE)
    return add_up(name, [rows.with_columns(pl.col("minute") // width * width)])
