"""Saturation over time: how full resources are, how latency and gaps answer to load, and which instance stands out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.analysis import analyse
from analytics.buckets import Plan, parse_width, read_buckets
from analytics.capacity import find_knee, fit_scalability
from analytics.environments import of_environment
from analytics.load import hot_instances, instance_load, windows_of
from analytics.quantiles import ENOUGH_FOR_P99
from analytics.queueing import judge_gaps
from analytics.saturation import resource_use, service_saturation
from analytics.schema import conform
from analytics.series import describe_rows, edge_sums, parse_rows, service_series
from analytics.sides import parse_window
from analytics.source import count_spans, read_traces
from analytics.windows import MINUTE_NS
from collector.store.protocol import TraceWindow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analytics.buckets import Bucketed
    from analytics.capacity import Estimate
    from analytics.options import Options
    from analytics.schema import Columns
    from collector.store.protocol import Store

_OPTIONS = ("since", "from", "to", "env", "bucket", "rows", "service")
_MOST_SPANS = 20_000
"""Of the last hour, to tell instances apart, which rollups do not: so many are read and analysed in 0.1 s."""
_HOUR_NS = 60 * MINUTE_NS
_TABLES = ("rollup_windows", "rollup_nodes", "rollup_node_latency", "rollup_endpoints", "rollup_edges")

RESOURCE_SERIES: Columns = {
    "start_unix_nano": pl.Int64,
    **dict.fromkeys(("service", "namespace", "instance", "resource", "metric", "part"), pl.String),
    **dict.fromkeys(("utilisation", "utilisation_max", "level"), pl.Float64),
}
"""One row an instance, metric, part and bucket, by time: mean and greatest minute's utilisation, 0 to 1, null when no
limit is known, and the mean level."""

LOAD_SERIES: Columns = {
    "start_unix_nano": pl.Int64,
    **dict.fromkeys(("service", "namespace"), pl.String),
    "calls": pl.Int64,
    **dict.fromkeys(("calls_per_s", "concurrency", "p50_ms", "p99_ms"), pl.Float64),
}
"""One row a service and bucket, by time: all its instances together; ``p99_ms`` is null below 100 calls."""

LAWS: Columns = {
    **dict.fromkeys(("service", "namespace"), pl.String),
    "points": pl.Int64,
    "levels": pl.Int64,
    **dict.fromkeys(("knee_calls_per_s", "knee_low", "knee_high", "knee_agreement"), pl.Float64),
    "knee_unknown": pl.String,
    **{
        f"{name}{end}": pl.Float64
        for name in ("rate", "contention", "crosstalk", "peak")
        for end in ("", "_low", "_high")
    },
    "law_unknown": pl.String,
}
"""One row a service, by name: the knee of p99 against load, and Gunther's law of throughput against concurrency, each
with its 95 % interval, or why it is unknown. ``peak`` is the concurrency of the greatest throughput, null when none is
in sight."""

GAP_SERIES: Columns = {
    "start_unix_nano": pl.Int64,
    **dict.fromkeys(("caller", "callee"), pl.String),
    "calls": pl.Int64,
    **dict.fromkeys(("callee_calls_per_s", "gap_ms"), pl.Float64),
}
"""One row a sync edge between services and bucket, by time; ``gap_ms`` is client minus server time, the mean."""

QUEUES: Columns = {
    **dict.fromkeys(("caller", "callee"), pl.String),
    "windows": pl.Int64,
    **dict.fromkeys(("load_low", "load_high", "gap_low_ms", "gap_high_ms", "correlation"), pl.Float64),
    **dict.fromkeys(("status", "reason"), pl.String),
}
"""One row a sync edge between services: whether its gap rises with the load of its callee, as QUEUEING has it."""

INSTANCE_SERIES: Columns = {
    "start_unix_nano": pl.Int64,
    **dict.fromkeys(("service", "namespace", "instance"), pl.String),
    "calls": pl.Int64,
    **dict.fromkeys(("calls_per_s", "concurrency", "busy", "mean_ms"), pl.Float64),
}
"""One row an instance and minute of what ``instances_based_on`` says, by time; ``calls`` overlap the minute."""

HOT_ROWS: Columns = {
    **dict.fromkeys(("service", "namespace", "instance"), pl.String),
    "calls": pl.Int64,
    **dict.fromkeys(("load_share", "load_ratio", "p50_ms", "latency_ratio"), pl.Float64),
    "hot": pl.Boolean,
    "reason": pl.String,
}
"""One row an instance of a service that has several, as HOT_INSTANCES has it; ``hot`` is null when it is unknown."""


def read_saturation(store: Store, given: Mapping[str, str], options: Options) -> dict[str, Any]:
    """Return the answer of ``GET /v1/saturation``; raises ``ConfigurationError`` for wrong options."""
    window = parse_window(given, _OPTIONS, "saturation")
    rows, width = parse_rows(given), parse_width(given.get("bucket"))
    plan = Plan((*_TABLES, "rollup_resources"), ("service",), width)
    found = read_buckets(store, window, given.get("env"), plan, options)
    use = resource_use(found.tables["rollup_resources"])
    load, gaps = load_series(found), gap_series(found)
    instances, hot, based_on = _instances(store, window, found, options)
    parts = {
        "services": service_saturation(use).drop("environment"),
        "resources": resource_series(found),
        "load": load,
        "laws": laws(load),
        "gaps": gaps,
        "queueing": judge_queues(gaps),
        "instances": instances,
        "hot_instances": hot,
    }
    chosen = {name: _of_service(frame, given.get("service")) for name, frame in parts.items()}
    answer: dict[str, Any] = {name: [] if name in _SERIES else frame.to_dicts() for name, frame in chosen.items()}
    left_out = {}
    for name, (keys, weight) in _SERIES.items():
        described = describe_rows(chosen[name], list(keys), weight, rows)
        answer[name], left_out[name] = described["rows"], described["left_out"]
    return found.describe() | answer | {"instances_based_on": based_on, "left_out": left_out}


_SERIES = {
    "resources": (("service", "namespace", "instance", "resource", "metric", "part"), "utilisation_max"),
    "load": (("service", "namespace"), "calls"),
    "gaps": (("caller", "callee"), "calls"),
    "instances": (("service", "namespace", "instance"), "calls"),
}
"""What may have many rows: the columns that tell series apart, and the one whose greatest stay."""


def _of_service(frame: pl.DataFrame, service: str | None) -> pl.DataFrame:
    if service is None:
        return frame
    names = [name for name in ("service", "caller", "callee") if name in frame.columns]
    return frame.filter(pl.any_horizontal(pl.col(names) == service))


def resource_series(found: Bucketed) -> pl.DataFrame:
    """Return RESOURCE_SERIES."""
    minutes = found.tables["rollup_resources"].with_columns(pl.col("minute") // found.width * found.width)
    keys = ["minute", "service", "namespace", "instance", "resource", "metric", "part"]
    used = pl.col("utilisation")
    rows = minutes.group_by(keys).agg(used.mean(), utilisation_max=used.max(), level=pl.col("level").mean())
    told = rows.with_columns(start_unix_nano=pl.col("minute") * MINUTE_NS)
    return conform(told.sort(keys, nulls_last=True), RESOURCE_SERIES)


def load_series(found: Bucketed) -> pl.DataFrame:
    """Return LOAD_SERIES."""
    rows = service_series(found).filter((pl.col("type") == "service") & (pl.col("calls") > 0))
    known = pl.when(pl.col("calls") >= ENOUGH_FOR_P99).then("p99_ms")
    return conform(rows.rename({"name": "service"}).with_columns(known.alias("p99_ms")), LOAD_SERIES)


def laws(load: pl.DataFrame) -> pl.DataFrame:
    """Return LAWS of LOAD_SERIES."""
    groups = load.partition_by("service", "namespace", maintain_order=True)
    rows = [_law(group) for group in groups]
    return conform(pl.DataFrame(rows, schema=LAWS).sort("service", "namespace", nulls_last=True), LAWS)


def _law(load: pl.DataFrame) -> dict[str, Any]:
    known = load.drop_nulls("p99_ms")
    knee = find_knee(known["calls_per_s"].to_numpy(), known["p99_ms"].to_numpy())
    law = fit_scalability(load["concurrency"].to_numpy(), load["calls_per_s"].to_numpy())
    row = {name: load[name][0] for name in ("service", "namespace")}
    row |= {"points": known.height, "levels": knee.levels, "knee_unknown": knee.reason, "law_unknown": law.reason}
    row |= dict(zip(("knee_calls_per_s", "knee_low", "knee_high"), _interval(knee.load), strict=True))
    row["knee_agreement"] = knee.agreement if knee.load else None
    for name in ("rate", "contention", "crosstalk", "peak"):
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), _interval(getattr(law, name)), strict=True))
    return {name: row[name] for name in LAWS}


def _interval(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)


def gap_series(found: Bucketed) -> pl.DataFrame:
    """Return GAP_SERIES of edges between different services."""
    between = (pl.col("caller_type") == "service") & (pl.col("callee_type") == "service") & (pl.col("mode") == "sync")
    other = pl.any_horizontal(
        pl.col("caller") != pl.col("callee"), pl.col("caller_namespace").ne_missing(pl.col("callee_namespace"))
    )
    edges = edge_sums(found).filter(between & other).drop_nulls("gap_ms")
    load = found.tables["rollup_nodes"].filter(pl.col("type") == "service")
    asked = load.select(
        "minute", callee_namespace="namespace", callee="name", callee_calls_per_s=pl.col("weight") / found.seconds()
    )
    keys = ["minute", "callee_namespace", "callee"]
    rows = edges.join(asked, on=keys, how="left", nulls_equal=True)
    return conform(rows.sort("start_unix_nano", "caller", "callee"), GAP_SERIES)


def judge_queues(gaps: pl.DataFrame) -> pl.DataFrame:
    """Return QUEUES of GAP_SERIES."""
    rows = gaps.rename({"gap_ms": "gap", "callee_calls_per_s": "load", "start_unix_nano": "window"})
    return conform(judge_gaps(rows.drop_nulls("load"), ["caller", "callee"]), QUEUES)


def _instances(
    store: Store, window: TraceWindow, found: Bucketed, options: Options
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    """Return INSTANCE_SERIES and HOT_ROWS of a share of the window's last hour, and which share that is."""
    end = min(found.end * MINUTE_NS, window.end)
    last = TraceWindow(max(end - _HOUR_NS, window.begin, 0), max(end, 1))
    parts = max(-(-count_spans(store, last) // _MOST_SPANS), 1)
    traces = of_environment(read_traces(store, replace(last, parts=parts)), found.environment)
    analysed = analyse(traces, correct_clocks=options.correct_clocks, share=1 / parts)
    forest, graph, weights = analysed.forest, analysed.graph, analysed.weights
    windows = windows_of(forest)
    services = forest.origins.services.select("service_code", "service", "namespace")
    load = instance_load(graph, traces.resources, weights, windows, analysed.self_time_ns)
    load = load.filter(pl.col("window").is_between(0, windows.count - 1)).join(services, on="service_code")
    begin = windows.begin_unix_nano + pl.col("window").cast(pl.Int64) * windows.width_ns
    load = load.with_columns(start_unix_nano=begin, calls="requests", calls_per_s="throughput")
    hot = hot_instances(graph, traces.resources, weights).join(services, on="service_code")
    based_on = {"from": last.begin, "to": last.end, "share": 1 / parts} if len(forest) else None
    order = ["start_unix_nano", "service", "namespace", "instance"]
    return (
        conform(load.sort(order, nulls_last=True), INSTANCE_SERIES),
        conform(hot.with_columns(calls="requests").sort(order[1:], nulls_last=True), HOT_ROWS),
        based_on or {},
    )
