"""What a comparison compares: a window of time, an environment, or the traces of a version of a service."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from collector.errors import ConfigurationError
from collector.store.protocol import TraceWindow
from collector.units import parse_duration_ns, parse_time_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from analytics.source import Traces

ALL_TIME = TraceWindow(0, 2**62)
_OPTIONS = ("since", "from", "to", "env", "endpoint")
_ENVIRONMENT = "env:"
_FORMS = "a .duckdb file, a window FROM..TO, SERVICE@VERSION or env:NAME"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison; None means any."""

    window: TraceWindow = ALL_TIME
    environment: str | None = None
    service: str | None = None
    version: str | None = None


def parse_side(text: str) -> Side:
    """Return the side that a text names, all traces for an empty one; raises ``ConfigurationError``."""
    if not text:
        return Side()
    if text.startswith(_ENVIRONMENT):
        return Side(environment=text.removeprefix(_ENVIRONMENT))
    begin, dots, end = text.partition("..")
    if dots:
        return Side(window=_window(text, begin, end))
    service, at, version = text.rpartition("@")
    if at and service and version:
        return Side(service=service, version=version)
    raise ConfigurationError(f"{text!r} is no side of a comparison: give {_FORMS}.")


def _window(text: str, begin: str, end: str) -> TraceWindow:
    try:
        window = TraceWindow(parse_time_ns(begin), parse_time_ns(end))
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is no window: {error}.") from error
    if window.begin >= window.end:
        raise ConfigurationError(f"The window {text!r} is empty: its first time must come before its second.")
    return window


def side_of_window(options: Mapping[str, str]) -> str:
    """Return the side that ``since``, ``from`` and ``to`` mean, empty for all time; raises ``ConfigurationError``."""
    window = parse_window(options)
    times = (f"{Decimal(time_ns) / 10**9:f}" for time_ns in (window.begin, window.end))
    return "" if window == ALL_TIME else "..".join(times)


def of_version(traces: Traces, side: Side) -> Traces:
    """Return the traces in which the side's service ran in its version; all when the side names none.

    Raises ``ConfigurationError`` when it never ran in that version.
    """
    if side.service is None:
        return traces
    is_it = (pl.col("service") == side.service) & (pl.col("version") == side.version)
    if traces.resources.filter(is_it).is_empty():
        there = traces.resources.filter(pl.col("service") == side.service)["version"].drop_nulls().unique().sort()
        known = ", ".join(f"{side.service}@{version}" for version in there) or "another service"
        raise ConfigurationError(f"No trace has {side.service} in version {side.version}: give {known}.")
    ids = ["trace_high", "trace_low"]
    chosen = traces.spans.join(traces.resources.filter(is_it), on="resource", how="semi").select(ids).unique()
    return replace(traces, spans=traces.spans.join(chosen, on=ids, how="semi"))


def parse_window(options: Mapping[str, str], known: Sequence[str] = _OPTIONS, of: str = "a report") -> TraceWindow:
    """Return the window of options; raises ``ConfigurationError`` for one that is not known, or wrong."""
    unknown = sorted(options.keys() - set(known))
    if unknown:
        raise ConfigurationError(f"{unknown[0]} is no option of {of}: give {', '.join(known)}.")
    if "since" in options:
        if "from" in options or "to" in options:
            raise ConfigurationError("Give either --since or --from and --to.")
        return replace(ALL_TIME, begin=max(time.time_ns() - _parsed(options, "since", parse_duration_ns), 0))
    begin, end = (_parsed(options, name, parse_time_ns) if name in options else None for name in ("from", "to"))
    window = TraceWindow(ALL_TIME.begin if begin is None else begin, ALL_TIME.end if end is None else end)
    if window.begin >= window.end:
        raise ConfigurationError("The window is empty: --from must come before --to, and before the year 2116.")
    return window


def _parsed(options: Mapping[str, str], name: str, parse: Callable[[str], int]) -> int:
    try:
        return parse(options[name])
    except ValueError as error:
        raise ConfigurationError(f"--{name}: {error}.") from error
