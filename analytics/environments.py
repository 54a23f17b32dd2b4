"""Environments (``deployment.environment.name``) are analysed apart: one service in two of them is two services."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.source import Traces

UNNAMED = ""
"""How the environment without a name is asked for and told."""


def find_environments(traces: Traces) -> list[str]:
    """Return the environments that spans come from, those with most traces first."""
    named = traces.spans.select("resource", "trace_high", "trace_low").unique().join(_names(traces), on="resource")
    counts = named.group_by("environment").agg(traces=pl.struct("trace_high", "trace_low").n_unique())
    return counts.sort("traces", "environment", descending=[True, False])["environment"].to_list()


def choose_environment(environments: Sequence[str], wanted: str | None) -> str:
    """Return the environment that is wanted, or the first; raises ``ConfigurationError`` when there is none such."""
    if wanted is None:
        return environments[0] if environments else UNNAMED
    if wanted not in environments:
        known = ", ".join(name or "(unnamed)" for name in environments) or "none"
        raise ConfigurationError(f"No trace has the environment {wanted!r}: give one of {known} with --env.")
    return wanted


def split_environments(traces: Traces) -> list[Traces]:
    """Return the traces of each environment, by name; all of them when there is but one or none."""
    names = _names(traces)["environment"].unique().sort()
    return [of_environment(traces, name) for name in names] if len(names) > 1 else [traces]


def of_environment(traces: Traces, environment: str) -> Traces:
    """Return the spans of one environment; those that other ones add to the same traces are left out."""
    chosen = _names(traces).filter(pl.col("environment") == environment)
    return replace(traces, spans=traces.spans.join(chosen, on="resource", how="semi"))


def _names(traces: Traces) -> pl.DataFrame:
    return traces.resources.select("resource", pl.col("environment").fill_null(UNNAMED))
