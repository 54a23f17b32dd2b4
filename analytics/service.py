"""The analysis as the collector sees it: ``collector.analysis.Analysis``."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
from prometheus_client import Gauge

from analytics.analysis import analyse
from analytics.comparison import Compared, build_diff
from analytics.environments import UNNAMED, choose_environment, find_environments, of_environment
from analytics.pipeline import MinutePipeline
from analytics.report import build_report
from analytics.resources import resource_minutes
from analytics.saturation import resource_use, service_saturation
from analytics.sides import ALL_TIME, Side, of_version, parse_side
from analytics.source import count_spans, read_metrics, read_traces
from analytics.trace import analyse_trace
from collector.errors import ConfigurationError
from collector.store.protocol import TraceWindow
from collector.units import parse_duration_ns, parse_time_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa
    from prometheus_client import CollectorRegistry

    from collector.store.protocol import Store

_OPTIONS = ("since", "from", "to", "env", "endpoint")
_MOST_SPANS = 2_000_000  # at once: some 2 GB; of more, a share of the traces stands for all


class TraceAnalysis:
    """Implements ``collector.analysis.Analysis``."""

    @contextmanager
    def running(self, store: Store, registry: CollectorRegistry) -> Iterator[None]:
        """See ``Analysis``."""
        pipeline = MinutePipeline(store)
        _register(registry, pipeline)
        pipeline.start()
        try:
            yield
        finally:
            pipeline.stop()

    def trace(self, trace: dict[str, Any], rows: pa.Table) -> dict[str, Any]:
        """See ``Analysis``."""
        return analyse_trace(trace, rows)

    def report(self, store: Store, options: Mapping[str, str]) -> dict[str, Any]:
        """See ``Analysis``."""
        window = _window(options)
        parts = max(-(-count_spans(store, window) // _MOST_SPANS), 1)
        traces = read_traces(store, replace(window, parts=parts))
        environments = find_environments(traces)
        environment = choose_environment(environments, options.get("env"))
        analysed = analyse(of_environment(traces, environment), share=1 / parts)
        saturation = _saturation(store, window, environment)
        return build_report(analysed, saturation, environments, environment, options.get("endpoint"))

    def diff(self, before: tuple[Store, str], after: tuple[Store, str], env: str | None = None) -> dict[str, Any]:
        """See ``Analysis``."""
        return build_diff(*(_compared(store, parse_side(text), env) for store, text in (before, after)))


def _chosen(environments: list[str], side: Side, env: str | None) -> str:
    if side.environment is not None:
        return choose_environment(environments, side.environment, side=True)
    return choose_environment(environments, env)


def _compared(store: Store, side: Side, env: str | None) -> Compared:
    parts = max(-(-count_spans(store, side.window) // _MOST_SPANS), 1)
    traces = read_traces(store, replace(side.window, parts=parts))
    environment = _chosen(find_environments(traces), side, env)
    chosen = of_version(of_environment(traces, environment), side)
    return Compared(environment, analyse(chosen, share=1 / parts), _saturation(store, side.window, environment))


def _saturation(store: Store, window: TraceWindow, environment: str) -> pl.DataFrame:
    found = service_saturation(resource_use(resource_minutes(read_metrics(store, window))))
    return found.filter(pl.col("environment").fill_null(UNNAMED) == environment)


def _register(registry: CollectorRegistry, pipeline: MinutePipeline) -> None:
    lag = Gauge("lithoscope_analysis_lag_seconds", "Age of the oldest minute that waits to be analysed.", registry=None)
    kept = Gauge("lithoscope_analysis_kept_ratio", "Share of the traces that is analysed.", registry=None)
    lag.set_function(lambda: pipeline.lag_s)
    kept.set_function(lambda: pipeline.kept)
    for gauge in (lag, kept):
        registry.register(gauge)


def _window(options: Mapping[str, str]) -> TraceWindow:
    unknown = sorted(options.keys() - set(_OPTIONS))
    if unknown:
        raise ConfigurationError(f"{unknown[0]} is no option of a report: give {', '.join(_OPTIONS)}.")
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
