"""The analysis as the collector sees it: ``collector.analysis.Analysis``."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl
from prometheus_client import Gauge

from analytics.analysis import analyse
from analytics.comparison import Compared, build_diff
from analytics.environments import UNNAMED, choose_environment, find_environments, of_environment
from analytics.figures import Figures, figures_of
from analytics.options import read_options
from analytics.pipeline import MinutePipeline
from analytics.report import build_report
from analytics.resources import resource_minutes
from analytics.rolled import rolled_figures
from analytics.saturation import resource_use, service_saturation
from analytics.sides import Side, of_version, parse_side, parse_window
from analytics.source import count_spans, read_metrics, read_traces
from analytics.trace import analyse_trace
from analytics.windows import find_rolled, sum_rollups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from prometheus_client import CollectorRegistry

    from collector.store.protocol import Store, TraceWindow

    _Found: TypeAlias = tuple[Figures, pl.DataFrame, Sequence[str], str]

_MOST_SPANS = 2_000_000  # at once: 1.9 GB and 5 s, measured; of more, a share of the traces stands for all


class TraceAnalysis:
    """Implements ``collector.analysis.Analysis``; ``settings`` are those of ``analytics.options``."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self._options = read_options(settings or {})

    @contextmanager
    def running(self, store: Store, registry: CollectorRegistry) -> Iterator[None]:
        """See ``Analysis``."""
        pipeline = MinutePipeline(store, self._options)
        _register(registry, pipeline)
        pipeline.start()
        try:
            yield
        finally:
            pipeline.stop()

    def trace(self, trace: dict[str, Any], rows: pa.Table) -> dict[str, Any]:
        """See ``Analysis``."""
        return analyse_trace(trace, rows, correct_clocks=self._options.correct_clocks)

    def report(self, store: Store, options: Mapping[str, str]) -> dict[str, Any]:
        """See ``Analysis``."""
        window, env = parse_window(options), options.get("env")
        found = self._from_rollups(store, window, env) or self._from_traces(store, window, env)
        return build_report(*found, options.get("endpoint"))

    def _from_rollups(self, store: Store, window: TraceWindow, env: str | None) -> _Found | None:
        rolled = find_rolled(store, window)
        if rolled is None:
            return None
        environment = choose_environment(rolled.environments, env)
        rollups = sum_rollups(store, rolled, environment, self._options)
        saturation = service_saturation(resource_use(rollups["rollup_resources"]))
        return rolled_figures(rollups, rolled.settled_through), saturation, rolled.environments, environment

    def _from_traces(self, store: Store, window: TraceWindow, env: str | None) -> _Found:
        environments, found = self._analysed(store, Side(window), env)
        return figures_of(found.analysed), found.saturation, environments, found.environment

    def diff(self, before: tuple[Store, str], after: tuple[Store, str], env: str | None = None) -> dict[str, Any]:
        """See ``Analysis``."""
        return build_diff(*(self._analysed(store, parse_side(text), env)[1] for store, text in (before, after)))

    def _analysed(self, store: Store, side: Side, env: str | None) -> tuple[list[str], Compared]:
        """Read and analyse a side's traces; also say which environments there are."""
        parts = max(-(-count_spans(store, side.window) // _MOST_SPANS), 1)
        traces = read_traces(store, replace(side.window, parts=parts))
        environments = find_environments(traces)
        environment = choose_environment(environments, side.environment or env)
        chosen = of_version(of_environment(traces, environment), side)
        analysed = analyse(chosen, correct_clocks=self._options.correct_clocks, share=1 / parts)
        return environments, Compared(environment, analysed, self._saturation(store, side.window, environment))

    def _saturation(self, store: Store, window: TraceWindow, environment: str) -> pl.DataFrame:
        aliases = self._options.metric_aliases
        minutes = resource_minutes(read_metrics(store, window, aliases), aliases)
        found = service_saturation(resource_use(minutes))
        return found.filter(pl.col("environment").fill_null(UNNAMED) == environment)


def _register(registry: CollectorRegistry, pipeline: MinutePipeline) -> None:
    lag = Gauge("lithoscope_analysis_lag_seconds", "Age of the oldest minute that waits to be analysed.", registry=None)
    kept = Gauge("lithoscope_analysis_kept_ratio", "Share of the traces that is analysed.", registry=None)
    lag.set_function(lambda: pipeline.lag_s)
    kept.set_function(lambda: pipeline.kept)
    for gauge in (lag, kept):
        registry.register(gauge)
