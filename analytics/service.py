"""The analysis as the collector sees it: ``collector.analysis.Analysis``."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl
from prometheus_client import Gauge

from analytics.alerts.watch import watching
from analytics.analysis import analyse
from analytics.changes import KINDS, parse_changes
from analytics.comparison import Compared, build_diff
from analytics.coupling_change import Coupling, coupling_changes
from analytics.environments import UNNAMED, choose_environment, find_environments, of_environment
from analytics.figures import Figures, figures_of
from analytics.history import read_history
from analytics.hours import HOUR_NS
from analytics.judged_hours import judge_hours
from analytics.judgement import Judgement, judge
from analytics.options import read_options
from analytics.pipeline import MinutePipeline
from analytics.propagation_report import describe_propagation
from analytics.report import build_report
from analytics.resources import resource_minutes
from analytics.rolled import rolled_figures
from analytics.saturation import resource_use, service_saturation
from analytics.saturation_series import read_saturation
from analytics.series import read_series
from analytics.sides import Side, of_version, parse_side, parse_window
from analytics.simulation_report import build_simulation
from analytics.source import count_spans, newest_span, read_metrics, read_traces, stored_minutes
from analytics.trace import analyse_trace
from analytics.windows import MINUTE_NS, MOST_EXACT_SPANS, find_rolled, sum_rollups
from collector.errors import ConfigurationError, NoTracesError
from collector.store.protocol import TraceWindow
from collector.units import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from prometheus_client import CollectorRegistry

    from analytics.source import Traces
    from analytics.windows import Rolled
    from collector.analysis import Beside
    from collector.store.protocol import Store

    _Found: TypeAlias = tuple[Figures, pl.DataFrame, Sequence[str], str, Judgement]
    _Propagation: TypeAlias = dict[str, Any] | None

_OF_SIMULATION = ("since", "from", "to", "env", *KINDS)
_OF_AGAIN = ("since", "from", "to")
_MOST_SPANS = 2_000_000  # at once: 1.9 GB and 5 s, measured; of more, a share of the traces stands for all
_MOST_REPLAYED_SPANS = 50_000
"""Of the last hour, for a report from rollups: so many are read and replayed in a fifth of a second."""


class TraceAnalysis:
    """Implements ``collector.analysis.Analysis``; ``settings`` are those of ``analytics.options``."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self._options = read_options(settings or {})
        self._pipeline: MinutePipeline | None = None

    @contextmanager
    def running(self, store: Store, registry: CollectorRegistry, beside: Beside | None = None) -> Iterator[None]:
        """See ``Analysis``."""
        with watching(store, self._options.alerts, registry, beside) as watch:
            pipeline = MinutePipeline(store, self._options, watch=watch)
            _register(registry, pipeline)
            pipeline.start()
            self._pipeline = pipeline
            try:
                yield
            finally:
                self._pipeline = None
                pipeline.stop()

    def analyse_again(self, store: Store, options: Mapping[str, str] | None) -> dict[str, Any]:
        """See ``Analysis``."""
        if self._pipeline is None:
            raise ConfigurationError("Nothing is analysed here: ask a collector that `lithoscope serve` runs.")
        minutes = {} if options is None else stored_minutes(store, parse_window(options, _OF_AGAIN, "an analysis"))
        self._pipeline.again(minutes)
        return {"minutes": len(minutes), "waiting": self._pipeline.waiting_again}

    def trace(self, trace: dict[str, Any], rows: pa.Table) -> dict[str, Any]:
        """See ``Analysis``."""
        return analyse_trace(trace, rows, correct_clocks=self._options.correct_clocks)

    def report(self, store: Store, options: Mapping[str, str]) -> dict[str, Any]:
        """See ``Analysis``."""
        window, env = parse_window(options), options.get("env")
        found, propagation = self._from_rollups(store, window, env) or self._from_traces(store, window, env)
        return build_report(*found, endpoint=options.get("endpoint")) | {"propagation": propagation}

    def _from_rollups(self, store: Store, window: TraceWindow, env: str | None) -> tuple[_Found, _Propagation] | None:
        rolled = find_rolled(store, window)
        if rolled is None:
            return None
        _check_environment(store, rolled.environments, env)
        environment = choose_environment(rolled.environments, env)
        rollups = sum_rollups(store, rolled, environment, self._options)
        saturation = service_saturation(resource_use(rollups["rollup_resources"]))
        figures = rolled_figures(rollups, rolled.settled_through)
        judged = judge_hours(store, window, environment) or self._judge_latest(store, rolled, environment)
        propagation = self._propagate_latest(store, rolled, environment)
        return (figures, saturation, rolled.environments, environment, judged), propagation

    def _judge_latest(self, store: Store, rolled: Rolled, environment: str) -> Judgement:
        """Judge a share of the last hour, when none has been judged yet."""
        window, share = _last_hour(store, rolled, MOST_EXACT_SPANS)
        traces = of_environment(read_traces(store, window), environment)
        judged = self._judge(self._compared(store, window, environment, traces, share))
        return replace(judged, based_on={"from": window.begin, "to": window.end, "share": share})

    def _propagate_latest(self, store: Store, rolled: Rolled, environment: str) -> _Propagation:
        """Tell the propagation of a share of the last hour: it needs traces, and those of all hours are too many."""
        window, share = _last_hour(store, rolled, _MOST_REPLAYED_SPANS)
        traces = of_environment(read_traces(store, window), environment)
        analysed = analyse(traces, correct_clocks=self._options.correct_clocks, share=share)
        return describe_propagation(analysed, {"from": window.begin, "to": window.end, "share": share})

    def _from_traces(self, store: Store, window: TraceWindow, env: str | None) -> tuple[_Found, _Propagation]:
        environments, found = self._analysed(store, Side(window), env)
        figures, propagation = figures_of(found.analysed), describe_propagation(found.analysed)
        return (figures, found.saturation, environments, found.environment, self._judge(found)), propagation

    def diff(self, before: tuple[Store, str], after: tuple[Store, str], env: str | None = None) -> dict[str, Any]:
        """See ``Analysis``."""
        sides = [self._analysed(store, parse_side(text), env)[1] for store, text in (before, after)]
        return build_diff(*sides) | {"coupling": coupling_changes(*map(self._coupling, sides))}

    def simulate(self, store: Store, options: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """See ``Analysis``."""
        changes = parse_changes(options)
        given = {name: values[-1] for name, values in options.items() if name not in KINDS and values}
        window = parse_window(given, _OF_SIMULATION, "a simulation")
        environments, found = self._analysed(store, Side(window), given.get("env"))
        return build_simulation(found.analysed, changes, environments, found.environment)

    def series(self, store: Store, options: Mapping[str, str]) -> dict[str, Any]:
        """See ``Analysis``."""
        return read_series(store, options, self._options)

    def saturation(self, store: Store, options: Mapping[str, str]) -> dict[str, Any]:
        """See ``Analysis``."""
        return read_saturation(store, options, self._options)

    def coupling_history(self, store: Store, options: Mapping[str, str]) -> dict[str, Any]:
        """See ``Analysis``."""
        return read_history(store, options)

    def _coupling(self, side: Compared) -> Coupling:
        judged, edges = (
            self._judge(side),
            side.analysed.edges.select("caller", "callee", "callee_type", "mode", "calls"),
        )
        return Coupling(
            judged.index["score"] if judged.index else None,
            side.analysed.forest.traces.height,
            edges.to_dicts(),
            judged.findings,
            judged.index["missing"] if judged.index else None,
        )

    def _judge(self, side: Compared) -> Judgement:
        return judge(side.analysed, side.minutes, self._options.rules)

    def _analysed(self, store: Store, side: Side, env: str | None) -> tuple[list[str], Compared]:
        """Read and analyse a side's traces; also say which environments there are."""
        parts = max(-(-count_spans(store, side.window) // _MOST_SPANS), 1)
        traces = read_traces(store, replace(side.window, parts=parts))
        environments = find_environments(traces)
        _check_environment(store, environments, side.environment or env)
        environment = _chosen(environments, side, env, traces.resources)
        chosen = of_version(of_environment(traces, environment), side)
        compared = self._compared(store, side.window, environment, chosen, 1 / parts)
        return environments, replace(compared, service=side.service, version=side.version)

    def _compared(self, store: Store, window: TraceWindow, environment: str, traces: Traces, share: float) -> Compared:
        analysed = analyse(traces, correct_clocks=self._options.correct_clocks, share=share)
        minutes = self._resource_minutes(store, window, environment)
        return Compared(environment, analysed, minutes, service_saturation(resource_use(minutes)))

    def _resource_minutes(self, store: Store, window: TraceWindow, environment: str) -> pl.DataFrame:
        aliases = self._options.metric_aliases
        found = resource_minutes(read_metrics(store, window, aliases), aliases)
        return found.filter(pl.col("environment").fill_null(UNNAMED) == environment)


def _last_hour(store: Store, rolled: Rolled, most_spans: int) -> tuple[TraceWindow, float]:
    """Return the last hour that rollups answer for, in as many parts as leave about so many spans, and that share."""
    end = (rolled.last + 1) * MINUTE_NS
    window = TraceWindow(max(end - HOUR_NS, rolled.first * MINUTE_NS), end)
    parts = max(-(-count_spans(store, window) // most_spans), 1)
    return replace(window, parts=parts), 1 / parts


def _check_environment(store: Store, environments: list[str], wanted: str | None) -> None:
    """Raise ``NoTracesError`` when the environment has traces, but none in the window."""
    if wanted is None or wanted in environments or (newest := newest_span(store, wanted)) is None:
        return
    name = wanted or "(unnamed)"
    raise NoTracesError(f"{name} has no trace in this window, its newest is of {format_time(newest)}: widen it.")


def _chosen(environments: list[str], side: Side, env: str | None, resources: pl.DataFrame) -> str:
    """Return the environment that is asked for, else the first one in which the side's version runs."""
    if side.environment is not None:
        return choose_environment(environments, side.environment, side=True)
    if side.service is None or env is not None:
        return choose_environment(environments, env)
    is_it = (pl.col("service") == side.service) & (pl.col("version") == side.version)
    running = set(resources.filter(is_it)["environment"].fill_null(UNNAMED))
    return choose_environment([name for name in environments if name in running] or environments, None)


def _register(registry: CollectorRegistry, pipeline: MinutePipeline) -> None:
    lag = Gauge("lithoscope_analysis_lag_seconds", "Age of the oldest minute that waits to be analysed.", registry=None)
    kept = Gauge("lithoscope_analysis_kept_ratio", "Share of the traces that is analysed.", registry=None)
    lag.set_function(lambda: pipeline.lag_s)
    done = Gauge(
        "lithoscope_analysed_until_timestamp_seconds",
        "Everything that came and is older has been analysed; now, when nothing waits.",
        registry=None,
    )
    kept.set_function(lambda: pipeline.kept)
    done.set_function(lambda: time.time() if pipeline.first_waiting is None else pipeline.first_waiting * 60.0)
    for metric in (lag, kept, done, pipeline.too_late, pipeline.seconds):
        registry.register(metric)
