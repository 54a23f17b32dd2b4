"""What changed between two sets of traces, and who is to blame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analytics.schema import CHANGES, CULPRITS, conform

if TYPE_CHECKING:
    from analytics.analysis import Analysed

_ENDPOINT = ["namespace", "service", "operation"]
_NODE = ["kind", "type", "name", "caller", "callee"]
_RISES = {"service": pl.String, "rise": pl.Float64}
_ALONE = 1  # an edge that is its caller's only one cannot tell whether the caller is starved
_NOISE_MS = 0.05  # a change that nobody would look for


def node_changes(before: Analysed, after: Analysed, environments: tuple[str, str]) -> pl.DataFrame:
    """Return CHANGES: by how much each node's mean critical-path time per trace grew, the largest growth first.

    Endpoints are compared one by one and weighted by how often they were called *before*, so that a change of traffic
    is no change of latency; an endpoint that only one side has is left out. Empty when the sides share none.
    """
    sides = [_contributions(side, name) for side, name in zip((before, after), environments, strict=True)]
    mix = _mix(before, after, environments)
    keys = [*_ENDPOINT, *_NODE]
    both = sides[0].join(sides[1], on=keys, how="full", coalesce=True, nulls_equal=True, suffix="_after")
    weighted = both.join(mix, on=_ENDPOINT, nulls_equal=True).with_columns(
        pl.col("critical_path_ms", "critical_path_ms_after").fill_null(0.0) * pl.col("mix")
    )
    changes = weighted.group_by(_NODE).agg(
        before_ms=pl.col("critical_path_ms").sum(), after_ms=pl.col("critical_path_ms_after").sum()
    )
    changes = changes.with_columns(delta_ms=pl.col("after_ms") - pl.col("before_ms"))
    return conform(changes.sort("delta_ms", "name", descending=[True, False]), CHANGES)


def culprits(changes: pl.DataFrame, saturation_rise: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return CULPRITS: the nodes that grew, most to blame first.

    What an edge's gap grew by is the callee's, or its network's; when the gaps of all edges of one caller grew, the
    caller is starved: they are its. Everything that is one service's counts together, and more when a resource of that
    service filled up: ``saturation_rise`` has ``service`` and ``rise`` (0..1), by which the score grows.
    """
    grown = changes.filter(pl.col("delta_ms") > _NOISE_MS).join(_starved_callers(changes), on="caller", how="left")
    blamed = grown.with_columns(
        service=pl.when(pl.col("kind") == "service")
        .then("name")
        .when(pl.col("starved").fill_null(value=False))
        .then("caller")
        .otherwise("callee")
    )
    rises = (
        pl.DataFrame(schema={"service": pl.String, "rise": pl.Float64}) if saturation_rise is None else saturation_rise
    )
    total = pl.col("delta_ms").sum()
    scored = blamed.join(rises, on="service", how="left").with_columns(
        score=pl.col("delta_ms").sum().over("service") / total * (1 + pl.col("rise").fill_null(0.0))
    )
    ordered = scored.sort("score", "service", "delta_ms", descending=[True, False, True])
    return conform(ordered.with_columns(starved=pl.col("starved").fill_null(value=False)), CULPRITS)


def _contributions(side: Analysed, environment: str) -> pl.DataFrame:
    endpoints = side.profile.endpoints.filter(pl.col("environment").fill_null("") == environment)
    nodes = side.attribution.nodes.select("node", *_NODE)
    return (
        side.profile.contributions.join(endpoints.select("endpoint", *_ENDPOINT), on="endpoint")
        .join(nodes, on="node")
        .select(*_ENDPOINT, *_NODE, "critical_path_ms")
    )


def _mix(before: Analysed, after: Analysed, environments: tuple[str, str]) -> pl.DataFrame:
    """The share of each endpoint that both sides have in the traffic before."""
    first, second = (
        side.profile.endpoints.filter(pl.col("environment").fill_null("") == name).select(*_ENDPOINT, "weight")
        for side, name in zip((before, after), environments, strict=True)
    )
    shared = first.join(second, on=_ENDPOINT, how="semi", nulls_equal=True)
    return shared.with_columns(mix=pl.col("weight") / pl.col("weight").sum()).drop("weight")


def _starved_callers(changes: pl.DataFrame) -> pl.DataFrame:
    """Callers with several edges whose gaps all grew, with ``starved`` true."""
    edges = changes.filter(pl.col("kind") == "edge").group_by("caller")
    grew = (pl.col("delta_ms") > _NOISE_MS).all() & (pl.len() > _ALONE)
    return edges.agg(starved=grew).filter("starved")
