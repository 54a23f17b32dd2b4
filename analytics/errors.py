"""Errors: where they begin, how far they travel, and how often they are tried away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE
from analytics.codes import sum_by
from analytics.entries import entry_of
from analytics.graph import edge_numbers
from analytics.retries import find_attempts, seen_failures
from analytics.schema import STATUSES, conform
from analytics.service_schema import EDGE_ERRORS, SERVICE_ERRORS

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags, Floats, Rows
    from analytics.calls import CallGraph
    from analytics.retries import Attempts

ENOUGH_FAILURES = 20
"""Below as many failures Wilson's interval is wider than ±0.2, and a propagation is not told."""
_Z = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""


@dataclass(frozen=True, slots=True)
class _Failures:
    """What failed: by call, as the caller saw it, and whether as the last attempt; by span, whether it did.

    ``any_call`` and ``last_call`` tell for each entry whether any call or last attempt that it made failed. ``entry``
    is each call's, -1 without a caller's span.
    """

    seen: Flags
    last: Flags
    repeats: Flags
    entry: Rows
    span: Flags
    any_call: Flags
    last_call: Flags
    entry_of: Rows


@dataclass(frozen=True, slots=True)
class Errors:
    """Frames SERVICE_ERRORS and EDGE_ERRORS."""

    services: pl.DataFrame
    edges: pl.DataFrame


def find_errors(graph: CallGraph, weights: Floats, attempts: Attempts | None = None) -> Errors:
    """Return the errors of services and edges; ``weights`` has one entry a trace, ``attempts`` is ``find_attempts``."""
    failures = _failures(graph, attempts)
    number, keys = edge_numbers(graph)
    edges = complete_edge_errors(_sums_of_edges(graph, failures, number, len(keys), weights))
    return Errors(_of_services(graph, failures, weights), edges)


def edge_error_sums(graph: CallGraph, number: Rows, count: int, weights: Floats) -> pl.DataFrame:
    """Return what EDGE_ERRORS are made of and adds up, by the number that each call has, as ``edge``."""
    return _sums_of_edges(graph, _failures(graph), number, count, weights)


def complete_edge_errors(sums: pl.DataFrame) -> pl.DataFrame:
    """Return EDGE_ERRORS of sums by edge."""
    total, failed, squares, rest, rest_failed = (
        sums[name].to_numpy()
        for name in ("failed_weight", "failed_errors", "failed_squares", "other_weight", "other_errors")
    )
    share = failed / np.where(total > 0, total, 1)
    low, high = wilson_interval(share, total**2 / np.where(squares > 0, squares, 1))
    base = np.clip(rest_failed / np.where(rest > 0, rest, 1), 0, 1)
    enough, others = pl.col("failed_parents") >= ENOUGH_FAILURES, pl.col("other_parents") > 0
    first = pl.col("attempts") - pl.col("retries")
    frame = sums.with_columns(
        retry_amplification=pl.when(first > 0).then(pl.col("attempts") / first),
        failure_propagation=pl.when(enough).then(pl.Series(share)),
        failure_propagation_low=pl.when(enough).then(pl.Series(low)),
        failure_propagation_high=pl.when(enough).then(pl.Series(high)),
        base_rate=pl.when(others).then(pl.Series(base)),
    )
    return conform(frame, EDGE_ERRORS)


def wilson_interval(share: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Return the bounds between which a share of so many trials lies in 95 % of cases. Source: Wilson 1927."""
    count = np.maximum(count, 1)
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def _failures(graph: CallGraph, attempts: Attempts | None = None) -> _Failures:
    forest = graph.forest
    attempts, seen = attempts or find_attempts(graph), seen_failures(graph)
    span = graph.calls["span"].fill_null(NONE).to_numpy()
    above = entry_of(forest, graph.entries)
    entry = np.where(span != NONE, above[span], NONE).astype(np.int32) if len(forest) else span
    last = seen & ~attempts.repeated
    any_call, last_call = np.zeros((2, len(forest)), np.bool_)
    any_call[entry[seen & (span != NONE)]] = True
    last_call[entry[last & (span != NONE)]] = True
    failed = (forest.source["status"].to_physical().to_numpy() == STATUSES.index("error"))[forest.source_row]
    return _Failures(seen, last, attempts.repeats, entry, failed, any_call, last_call, above)


def _of_services(graph: CallGraph, failures: _Failures, weights: Floats) -> pl.DataFrame:
    forest = graph.forest
    rows = np.flatnonzero(graph.entries)
    service, weight = forest.service[rows], weights[forest.trace[rows]]
    failed, any_call, last_call = (flags[rows] for flags in (failures.span, failures.any_call, failures.last_call))
    count = forest.origins.services.height
    sums = {
        "weight": np.ones(len(rows), np.bool_),
        "errors": failed,
        "originated": failed & ~last_call,
        "propagated": failed & last_call,
        "suppressed": ~failed & any_call,
    }
    frame = graph.nodes[:count].with_columns(
        pl.Series("requests", np.bincount(service, minlength=count)),
        *(pl.Series(name, sum_by(service, weight * flags, count)) for name, flags in sums.items()),
        service="name",
    )
    kept = frame.filter(pl.col("requests") > 0).with_columns(error_rate=pl.col("errors") / pl.col("weight"))
    return conform(kept, SERVICE_ERRORS)


def _sums_of_edges(graph: CallGraph, failures: _Failures, number: Rows, count: int, weights: Floats) -> pl.DataFrame:
    calls, sync = graph.calls, (graph.calls["mode"] == "sync").to_numpy()
    weight = calls["weight"].to_numpy()
    answer = calls["answer"].fill_null(NONE).to_numpy()
    failed = failures.seen | calls["server_failed"].fill_null(value=False).to_numpy()
    passed_on = answer != NONE
    passed_on[passed_on] = failures.last_call[failures.entry_of[answer[passed_on]]]
    called = failures.entry != NONE
    bore = called.copy()
    bore[called] = ~failures.span[failures.entry[called]]
    sums = {
        "errors": failed,
        "originated": failed & ~passed_on,
        "propagated": failed & passed_on,
        "suppressed": failures.seen & bore,
        "retries": failures.repeats,
        "attempts": sync & called,
    }
    weighted = {name: sum_by(number, weight * flags, count) for name, flags in sums.items()}
    frame = pl.DataFrame({"edge": np.arange(count, dtype=np.int32)} | weighted)
    return frame.with_columns(_failing_parents(graph, failures, number, count, weights))


def _failing_parents(
    graph: CallGraph, failures: _Failures, number: Rows, count: int, weights: Floats
) -> list[pl.Series]:
    """Return by edge how many requests fail when their last attempts at calls on it did, and when none did."""
    sync = (graph.calls["mode"] == "sync").to_numpy() & (failures.entry != NONE)
    hit = _parents(failures, number, sync & failures.last, count, graph, weights)
    every = _parents(failures, number, sync, count, graph, weights)
    parents, total, failed, squares = hit
    others, rest, rest_failed, _ = (all_of - part for all_of, part in zip(every, hit, strict=True))
    return [
        pl.Series("failed_parents", parents),
        pl.Series("failed_weight", total),
        pl.Series("failed_errors", failed),
        pl.Series("failed_squares", squares),
        pl.Series("other_parents", others),
        pl.Series("other_weight", rest),
        pl.Series("other_errors", rest_failed),
    ]


def _parents(
    failures: _Failures, number: Rows, rows: Flags, count: int, graph: CallGraph, weights: Floats
) -> tuple[Array, Floats, Floats, Floats]:
    """Return by edge the requests that these calls were made in: count, weight, failed weight, sum of squares."""
    key = failures.entry[rows].astype(np.int64) * count + number[rows]
    entry, edge = np.divmod(pl.Series(key).unique().to_numpy(), max(count, 1))
    weight = weights[graph.forest.trace[entry]]
    return (
        np.bincount(edge, minlength=count),
        sum_by(edge, weight, count),
        sum_by(edge, weight * failures.span[entry], count),
        sum_by(edge, weight**2, count),
    )
