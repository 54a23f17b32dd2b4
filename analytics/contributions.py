"""Latency contribution: what each service and edge adds to the latency of each endpoint, to its middle and its tail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE
from analytics.quantiles import ENOUGH_FOR_P99, bucket_of, weighted_quantiles
from analytics.schema import CONTRIBUTIONS, ENDPOINTS, conform

if TYPE_CHECKING:
    from analytics.arrays import Floats
    from analytics.attribution import Attribution
    from analytics.forest import Forest

ENOUGH_TAIL_TRACES = 30
"""With fewer traces at or above p95 the tail's means say little; results come with a flag."""
_QUANTILES = {"p40": 0.4, "p50": 0.5, "p60": 0.6, "p95": 0.95, "p99": 0.99}
_MS = 1e6


@dataclass(frozen=True, slots=True)
class Requests:
    """The traces that have one root, as requests to endpoints.

    ``endpoints`` has ``endpoint``, ``environment``, ``namespace``, ``service`` and ``operation``, sorted by the last
    four. ``traces`` has ``trace``, ``endpoint``, ``minute``, ``duration_ns``, ``weight`` and ``error``. ``left_out``
    counts the traces that have no root or several.
    """

    endpoints: pl.DataFrame
    traces: pl.DataFrame
    left_out: int


@dataclass(frozen=True, slots=True)
class Profile:
    """Frames ENDPOINTS and CONTRIBUTIONS."""

    endpoints: pl.DataFrame
    contributions: pl.DataFrame


def endpoint_requests(forest: Forest, weights: Floats) -> Requests:
    """Return the requests that the traces record; ``weights`` has one entry a trace."""
    root = forest.trace_root
    trace = np.flatnonzero(root != NONE)
    rows = root[trace]
    traces = pl.DataFrame(
        {
            "trace": trace.astype(np.int32),
            "minute": forest.traces["minute"].gather(trace),
            "duration_ns": forest.duration[rows],
            "weight": weights[trace],
            "error": forest.column("status", rows) == "error",
            "service_code": forest.service[rows],
            "operation": forest.column("span_name", rows).cast(pl.String).fill_null(""),
        }
    ).with_columns(pl.col("error").fill_null(value=False))
    key = ["service_code", "operation"]
    endpoints = traces.select(key).unique().sort(key).with_row_index("endpoint")
    endpoints = endpoints.with_columns(pl.col("endpoint").cast(pl.Int32))
    coded = traces.join(endpoints, on=key, how="left", maintain_order="left").drop(key)
    named = endpoints.join(forest.origins.services, on="service_code", how="left", maintain_order="left")
    return Requests(named.drop("service_code"), coded, len(root) - len(trace))


def profile_endpoints(requests: Requests, attribution: Attribution) -> Profile:
    """Return for each endpoint its latency and what each node contributes to it.

    The middle is the traces from p40 to p60 of the endpoint's latency, the tail those at or above p95. Means are
    weighted. Endpoints without traces and nodes without time are left out.
    """
    traces = _classify(requests.traces)
    endpoints = requests.endpoints.join(_summarise(traces), on="endpoint").sort("endpoint")
    return complete_profile(endpoints, _node_sums(attribution.sections, traces))


def complete_profile(endpoints: pl.DataFrame, sums: pl.DataFrame) -> Profile:
    """Return the profile of sums by endpoint, and by endpoint and node.

    ``endpoints`` has the columns of ENDPOINTS that are no means or rates, ``errors``, ``weight``, ``middle`` and
    ``tail`` (how much the traces of each weigh) and the latencies of these, ``weight_ns``, ``middle_ns`` and
    ``tail_ns``; ``sums`` has ``endpoint``, ``node``, ``node_ns``, ``node_middle_ns`` and ``node_tail_ns``.
    """
    frame = endpoints.with_columns(
        error_rate=pl.col("errors") / pl.col("weight"),
        mean_ms=_mean("weight_ns", "weight"),
        middle_mean_ms=_mean("middle_ns", "middle"),
        tail_weight="tail",
        tail_mean_ms=_mean("tail_ns", "tail"),
        tail_excess_ms=_mean("tail_ns", "tail") - _mean("middle_ns", "middle"),
        p99_known=pl.col("traces") >= ENOUGH_FOR_P99,
        tail_known=pl.col("tail_traces") >= ENOUGH_TAIL_TRACES,
    )
    return Profile(conform(frame, ENDPOINTS), _share(sums, frame))


def critical_path_sums(requests: Requests, attribution: Attribution) -> pl.DataFrame:
    """Return what rollups keep: weighted critical-path time by endpoint, node, minute and latency bucket.

    ``critical_path_ns`` adds up over minutes to the mean's sum, over the buckets above a quantile's to the tail's, so
    middle and tail of any window come from sums alone, to the width of a bucket. Columns ``endpoint``, ``node``,
    ``minute``, ``bucket`` and ``critical_path_ns``, sorted by the first four.
    """
    keys = ["endpoint", "minute", "bucket"]
    traces = requests.traces.with_columns(pl.Series("bucket", bucket_of(requests.traces["duration_ns"].to_numpy())))
    groups = traces.select(keys).unique().with_row_index("group")
    # One number instead of three columns halves the time to group the sections by.
    lengths = _lengths(attribution.sections, traces.join(groups, on=keys), ["group"])
    sums = lengths.group_by("group", "node").agg(pl.col("ns").sum().alias("critical_path_ns"))
    columns = ["endpoint", "node", "minute", "bucket"]
    return sums.join(groups, on="group").select(*columns, "critical_path_ns").sort(columns)


def _classify(traces: pl.DataFrame) -> pl.DataFrame:
    """Add each trace's endpoint's quantiles and its weights in the middle and in the tail, 0 outside."""
    quantiles = weighted_quantiles(traces, ["endpoint"], "duration_ns", "weight", _QUANTILES)
    duration = pl.col("duration_ns").cast(pl.Float64)
    return traces.join(quantiles, on="endpoint", maintain_order="left").with_columns(
        middle=pl.col("weight") * duration.is_between(pl.col("p40"), pl.col("p60")),
        tail=pl.col("weight") * (duration >= pl.col("p95")),
    )


def _summarise(traces: pl.DataFrame) -> pl.DataFrame:
    """Return latency and counts by endpoint, and the sums of weights that contributions divide by."""
    middle, tail = pl.col("middle") > 0, pl.col("tail") > 0
    return traces.group_by("endpoint").agg(
        pl.len().alias("traces"),
        (pl.col("weight") * pl.col("error")).sum().alias("errors"),
        middle.sum().alias("middle_traces"),
        tail.sum().alias("tail_traces"),
        *(pl.col(part).sum().alias(part) for part in ("weight", "middle", "tail")),
        *((pl.col(part) * pl.col("duration_ns")).sum().alias(f"{part}_ns") for part in ("weight", "middle", "tail")),
        *((pl.col(name).first() / _MS).alias(f"{name}_ms") for name in ("p50", "p95", "p99")),
    )


def _mean(total_ns: str, weight: str) -> pl.Expr:
    """Return a mean in milliseconds, null over nothing."""
    return pl.when(pl.col(weight) > 0).then(pl.col(total_ns) / pl.col(weight) / _MS)


def _lengths(sections: pl.DataFrame, traces: pl.DataFrame, also: list[str]) -> pl.DataFrame:
    """Return each section's node, endpoint and weighted length ``ns``, with more columns of its trace."""
    length = (pl.col("end_unix_nano") - pl.col("begin_unix_nano")).alias("length")
    by_trace = sections.select("trace", "node", length).join(
        traces.select("trace", "endpoint", "weight", *also), on="trace", how="inner"
    )
    return by_trace.with_columns(ns=pl.col("length") * pl.col("weight"))


def _node_sums(sections: pl.DataFrame, traces: pl.DataFrame) -> pl.DataFrame:
    lengths = _lengths(sections, traces, ["middle", "tail"])
    return lengths.group_by("endpoint", "node").agg(
        pl.col("ns").sum().alias("node_ns"),
        *((pl.col("length") * pl.col(part)).sum().alias(f"node_{part}_ns") for part in ("middle", "tail")),
    )


def _share(sums: pl.DataFrame, endpoints: pl.DataFrame) -> pl.DataFrame:
    """Divide each node's sums by its endpoint's."""
    frame = sums.join(endpoints, on="endpoint").with_columns(
        critical_path_ms=_mean("node_ns", "weight"),
        middle_ms=_mean("node_middle_ns", "middle"),
        tail_ms=_mean("node_tail_ns", "tail"),
        share=_part("node_ns", "weight_ns", "weight"),
        middle_share=_part("node_middle_ns", "middle_ns", "middle"),
        tail_share=_part("node_tail_ns", "tail_ns", "tail"),
    )
    frame = frame.with_columns(excess_ms=pl.col("tail_ms") - pl.col("middle_ms"))
    order = frame.sort("endpoint", "critical_path_ms", "node", descending=[False, True, False])
    return conform(order, CONTRIBUTIONS)


def _part(part: str, whole: str, weight: str) -> pl.Expr:
    """Return a share, 0 of no latency at all, null of no traces."""
    some = pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole)).otherwise(0.0)
    return pl.when(pl.col(weight) > 0).then(some)
