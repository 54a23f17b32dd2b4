"""Series: how often services, endpoints and edges were called over time, how long it took, and what failed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.buckets import Plan, parse_width, read_buckets
from analytics.graph import QUANTILES
from analytics.quantiles import ENOUGH_FOR_P99, histogram_quantiles
from analytics.schema import ROLLUPS, conform, empty
from analytics.sides import parse_window
from analytics.windows import MINUTE_NS
from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from analytics.buckets import Bucketed
    from analytics.options import Options
    from analytics.schema import Columns
    from collector.store.protocol import Store

MOST_ROWS = 5_000
_ROWS = re.compile(r"0*[1-9][0-9]{0,8}")
_WINDOW = ("since", "from", "to", "env", "bucket", "rows")
_MS = 1e6
_FIRST: Columns = {"start_unix_nano": pl.Int64}
_LATENCY: Columns = {**dict.fromkeys(("p50_ms", "p95_ms", "p99_ms"), pl.Float64), "p99_known": pl.Boolean}
_CALLED: Columns = {"calls": pl.Int64, "calls_per_s": pl.Float64, "error_rate": pl.Float64, **_LATENCY}
_TYPES = ("service", "database", "queue", "external")

SERVICE_SERIES: Columns = {
    **_FIRST,
    **dict.fromkeys(("name", "type", "namespace"), pl.String),
    **_CALLED,
    **dict.fromkeys(("self_time_ms", "critical_path_ms", "concurrency"), pl.Float64),
}
"""One row a service (or another node, by ``type``) and bucket in which it was called, by time and name.

``calls`` are those that were looked at, ``calls_per_s`` what they stand for. ``self_time_ms`` is the mean of a trace of
the bucket, ``critical_path_ms`` that of a request, as in the report. ``concurrency`` is how many were at work at once.
"""

ENDPOINT_SERIES: Columns = {
    **_FIRST,
    **dict.fromkeys(("service", "operation", "namespace"), pl.String),
    **_CALLED,
    "mean_ms": pl.Float64,
}
"""One row an endpoint and bucket with requests to it, by time, service and operation."""

EDGE_SERIES: Columns = {
    **_FIRST,
    **dict.fromkeys(("caller", "callee", "callee_type", "mode"), pl.String),
    **_CALLED,
    **dict.fromkeys(("gap_ms", "critical_path_ms"), pl.Float64),
}
"""One row an edge and bucket with calls on it, by time, caller, callee and mode; ``gap_ms`` is client minus server."""

_NODE = ["minute", "type", "namespace", "name"]
_EDGE = ["minute", "caller_type", "caller_namespace", "caller", "callee_type", "callee_namespace", "callee", "mode"]
_ENDPOINT = ["minute", "namespace", "service", "operation"]


def read_series(store: Store, given: Mapping[str, str], options: Options) -> dict[str, Any]:
    """Return the answer of ``GET /v1/series``; raises ``ConfigurationError`` for an option that is unknown or wrong."""
    window = parse_window(given, (*_WINDOW, "of", "name"), "series")
    of, rows, width = given.get("of", "services"), parse_rows(given), parse_width(given.get("bucket"))
    if of not in _KINDS:
        raise ConfigurationError(f"of: {of!r} is none of {', '.join(_KINDS)}.")
    tables, build, keys = _KINDS[of]
    types = {"services": ("service",), "systems": _TYPES[1:]}.get(of, ())
    plan = Plan(tables, types, width, many=of == "edges")
    found = read_buckets(store, window, given.get("env"), plan, options)
    frame = build(found)
    if "name" in given:
        names = [key for key in keys if key in ("name", "service", "caller", "callee")]
        frame = frame.filter(pl.any_horizontal(pl.col(names) == given["name"]))
    return found.describe() | {"of": of} | describe_rows(frame, list(keys), "calls", rows)


def parse_rows(given: Mapping[str, str]) -> int:
    """Return how many rows are wanted at most, MOST_ROWS if nobody says."""
    text = given.get("rows", str(MOST_ROWS))
    if not _ROWS.fullmatch(text):
        raise ConfigurationError(f"rows: {text[:20]!r} is not a whole number from 1 to 999999999.")
    return int(text)


def describe_rows(frame: pl.DataFrame, keys: list[str], weight: str, most: int) -> dict[str, Any]:
    """Return at most so many rows as objects, and how many series were left out.

    A series (all rows with these keys) is there as a whole or not at all, those with the greatest sum of ``weight``
    first; of the first of all, when it has more rows, the latest.
    """
    sizes = frame.group_by(keys).agg(pl.len().alias("rows"), pl.col(weight).sum().alias("of_all"))
    ranked = sizes.sort("of_all", *keys, descending=[True] + [False] * len(keys), nulls_last=True)
    fits = (pl.col("rows").cum_sum() <= most) | (pl.int_range(pl.len()) == 0)
    kept = ranked.filter(fits)
    rows = frame.join(kept, on=keys, how="semi", nulls_equal=True, maintain_order="left").tail(most)
    return {"left_out": ranked.height - kept.height, "rows": rows.to_dicts()}


def service_series(found: Bucketed) -> pl.DataFrame:
    """Return SERVICE_SERIES of nodes; ``critical_path_ms`` is null where paths were too many to be added up."""
    nodes = found.tables["rollup_nodes"].filter(pl.col("type") != "user")
    latency = _quantiles(found.tables["rollup_node_latency"], _NODE)
    traces = found.tables["rollup_windows"].group_by("minute").agg(traces=pl.col("weight").sum())
    paths = _path_ms(found, "service").rename({"node_namespace": "namespace"})
    frame = (
        nodes.join(latency, on=_NODE, how="left", nulls_equal=True, maintain_order="left")
        .join(traces, on="minute", how="left", maintain_order="left")
        .join(paths.drop("caller", "callee"), on=_NODE, how="left", nulls_equal=True, maintain_order="left")
        .filter((pl.col("calls") > 0) | (pl.col("self_ns") > 0) | (pl.col("path_ms") > 0))
    )
    is_service = pl.col("type") == "service"
    frame = frame.with_columns(
        *_called(found),
        self_time_ms=pl.when(is_service & (pl.col("traces") > 0)).then(pl.col("self_ns") / pl.col("traces") / _MS),
        critical_path_ms=pl.col("path_ms").fill_null(0.0) if found.has_paths else pl.lit(None),
        concurrency=pl.col("total_ns") / found.seconds() / 1e9,
    )
    return conform(frame.sort("minute", "name", "type", "namespace", nulls_last=True), SERVICE_SERIES)


def endpoint_series(found: Bucketed) -> pl.DataFrame:
    """Return ENDPOINT_SERIES."""
    rows, latency = found.tables["rollup_endpoints"], _quantiles(found.tables["rollup_latency"], _ENDPOINT)
    frame = rows.join(latency, on=_ENDPOINT, how="left", nulls_equal=True, maintain_order="left")
    mean = pl.when(pl.col("weight") > 0).then(pl.col("duration_ns") / pl.col("weight") / _MS)
    frame = frame.with_columns(calls=pl.col("traces"), mean_ms=mean).with_columns(_called(found))
    return conform(frame.sort(*_ENDPOINT, nulls_last=True), ENDPOINT_SERIES)


def edge_series(found: Bucketed) -> pl.DataFrame:
    """Return EDGE_SERIES; ``critical_path_ms`` is null as in SERVICE_SERIES, and 0 for what is not waited for."""
    rows, latency = edge_sums(found), _quantiles(found.tables["rollup_edge_latency"], _EDGE)
    ends = ["minute", "caller", "callee"]
    paths = _path_ms(found, "edge").group_by(ends).agg(pl.col("path_ms").sum())
    frame = rows.join(latency, on=_EDGE, how="left", nulls_equal=True, maintain_order="left").join(
        paths, on=ends, how="left", maintain_order="left"
    )
    sync = pl.col("mode") == "sync"
    frame = frame.with_columns(
        critical_path_ms=pl.when(sync).then(pl.col("path_ms")).fill_null(0.0) if found.has_paths else pl.lit(None),
    )
    return conform(frame.sort(*_EDGE, nulls_last=True), EDGE_SERIES)


def edge_sums(found: Bucketed) -> pl.DataFrame:
    """Return ``rollup_edges`` with what EDGE_SERIES makes of it alone: all but quantiles and critical paths."""
    gap = pl.when(pl.col("gap_weight") > 0).then(pl.col("gap_ns") / pl.col("gap_weight") / _MS)
    return found.tables["rollup_edges"].with_columns(*_called(found), gap_ms=gap)


def _called(found: Bucketed) -> list[pl.Expr]:
    """Return what services, endpoints and edges have in common."""
    return [
        (pl.col("minute") * MINUTE_NS).alias("start_unix_nano"),
        (pl.col("weight") / found.seconds()).alias("calls_per_s"),
        pl.when(pl.col("weight") > 0).then(pl.col("errors") / pl.col("weight")).alias("error_rate"),
        (pl.col("calls") >= ENOUGH_FOR_P99).alias("p99_known"),
    ]


def _quantiles(histograms: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    found = histogram_quantiles(histograms, keys, QUANTILES)
    return found.select(*keys, *((pl.col(name) / _MS).alias(f"{name}_ms") for name in QUANTILES))


def _path_ms(found: Bucketed, kind: str) -> pl.DataFrame:
    """Return ``path_ms`` of a request by bucket and node: on which critical paths it was for how long."""
    requests = found.tables["rollup_endpoints"].group_by("minute").agg(requests=pl.col("weight").sum())
    paths = (
        found.tables.get("rollup_paths", empty(ROLLUPS["rollup_paths"]))
        .filter(pl.col("kind") == kind)
        .join(requests, on="minute")
    )
    keys = ["minute", "type", "node_namespace", "name", "caller", "callee"]
    ms = pl.when(pl.col("requests") > 0).then(pl.col("critical_path_ns") / pl.col("requests") / _MS)
    return paths.with_columns(path_ms=ms).group_by(keys).agg(pl.col("path_ms").sum())


_NODES = ("rollup_windows", "rollup_nodes", "rollup_node_latency", "rollup_endpoints", "rollup_paths")
_KINDS: dict[str, tuple[tuple[str, ...], Callable[[Bucketed], pl.DataFrame], tuple[str, ...]]] = {
    "services": (_NODES, service_series, ("name", "type", "namespace")),
    "systems": (_NODES, service_series, ("name", "type", "namespace")),
    "endpoints": (("rollup_endpoints", "rollup_latency"), endpoint_series, ("service", "operation", "namespace")),
    "edges": (
        ("rollup_edges", "rollup_edge_latency", "rollup_endpoints", "rollup_paths"),
        edge_series,
        ("caller", "callee", "callee_type", "mode"),
    ),
}
