"""The report: what the contract's JSON object says, from what was analysed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from analytics.analysis import Analysed

UNNAMED = ""
"""How an environment without a name is asked for and told."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a report is about; None means all, and of environments the one with most traces."""

    environment: str | None = None
    endpoint: str | None = None


def build_report(analysed: Analysed, question: Question) -> dict[str, Any]:
    """Return the contract's ``report`` object.

    Raises ``ConfigurationError`` for an environment or an endpoint that no trace has.
    """
    environments = _environments(analysed)
    environment = _choose(environments, question.environment)
    endpoints = _endpoints(analysed, environment)
    if question.endpoint is not None:
        endpoints = _only(endpoints, question.endpoint)
    return {
        "environment": environment,
        "environments": environments,
        "window": _window(analysed, environment),
        "coupling_index": None,
        "services": [],
        "edges": [],
        "endpoints": endpoints,
        "findings": [],
    }


def _trace_environments(analysed: Analysed) -> pl.DataFrame:
    """Each trace with the environment of its root, or of its first span when it has not one root."""
    forest = analysed.forest
    first = pl.Series(forest.trace_offset[:-1])
    rows = forest.traces["root"].fill_null(first).to_numpy()
    names = forest.origins.services["environment"].fill_null(UNNAMED)
    return forest.traces.with_columns(
        names.gather(pl.Series(forest.service[rows])).alias("environment"), pl.Series("weight", analysed.weights)
    )


def _environments(analysed: Analysed) -> list[str]:
    """Those with most traces first."""
    counts = _trace_environments(analysed).group_by("environment").len().sort("len", "environment", descending=True)
    return counts["environment"].to_list()


def _choose(environments: list[str], wanted: str | None) -> str:
    if wanted is None:
        return environments[0] if environments else UNNAMED
    if wanted not in environments:
        known = ", ".join(name or "(unnamed)" for name in environments) or "none"
        raise ConfigurationError(f"No trace has the environment {wanted!r}: give one of {known} with --env.")
    return wanted


def _window(analysed: Analysed, environment: str) -> dict[str, Any]:
    traces = _trace_environments(analysed).filter(pl.col("environment") == environment)
    ends = analysed.forest.end[analysed.forest.trace_root[traces["trace"].to_numpy()]]
    return {
        "from": traces["start_unix_nano"].min(),
        "to": int(ends.max()) if len(ends) else None,
        "traces": traces.height,
        "spans": int(traces["span_count"].sum()),
        "incomplete_traces": traces.height - int(traces["complete"].sum()),
        "sampled": bool((traces["weight"] != 1).any()),
    }


def _endpoints(analysed: Analysed, environment: str) -> list[dict[str, Any]]:
    """Those that took most time in all first."""
    profile = analysed.profile
    chosen = profile.endpoints.filter(pl.col("environment").fill_null(UNNAMED) == environment)
    nodes = analysed.attribution.nodes.select("node", "kind", "type", "name")
    parts = profile.contributions.join(nodes, on="node", maintain_order="left").partition_by("endpoint", as_dict=True)
    ordered = chosen.sort(pl.col("mean_ms") * pl.col("weight"), descending=True)
    none = profile.contributions.clear()
    return [_endpoint(row, parts.get((row["endpoint"],), none)) for row in ordered.iter_rows(named=True)]


def _endpoint(row: dict[str, Any], contributions: pl.DataFrame) -> dict[str, Any]:
    columns = {"critical_path_ms": "critical_path_ms", "share": "share", "middle_share": "middle_share"}
    columns |= {"tail_share": "tail_share", "excess_ms": "excess_ms"}
    names = ("service", "operation", "traces", "error_rate", "mean_ms", "p50_ms", "p95_ms", "p99_ms")
    flags = ("p99_known", "tail_known", "tail_excess_ms")
    return {name: row[name] for name in (*names, *flags)} | {
        "contributions": [
            {"node": part["name"], "kind": part["kind"], "type": part["type"]} | {key: part[key] for key in columns}
            for part in contributions.iter_rows(named=True)
        ]
    }


def _only(endpoints: list[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    found = [endpoint for endpoint in endpoints if f"{endpoint['service']} {endpoint['operation']}" == wanted]
    if not found:
        known = ", ".join(f'"{endpoint["service"]} {endpoint["operation"]}"' for endpoint in endpoints) or "none"
        raise ConfigurationError(f"There is no endpoint {wanted!r}: give one of {known} with --endpoint.")
    return found
