"""What changed between two sets of traces, and who is to blame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analytics.chance import chance_limits
from analytics.schema import CHANGES, CULPRITS, conform

if TYPE_CHECKING:
    from analytics.analysis import Analysed

_ENDPOINT = ["namespace", "service", "operation"]
_NODE = ["kind", "type", "name", "caller", "callee"]
_RISES = {"service": pl.String, "rise": pl.Float64}
_SIDES = ("before", "after")
_ALONE = 1  # an edge that is its caller's only one cannot tell whether the caller is starved
_SLOWER = pl.col("delta_ms") > 0.05  # noqa: PLR2004  (less nobody would look for)
_GREW = _SLOWER & (pl.col("delta_ms") > pl.col("noise_ms"))


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
        pl.col("critical_path_ms", "critical_path_ms_after").fill_null(0.0) * pl.col("mix"),
        squared_error=_squared_error(),
    )
    changes = weighted.group_by(_NODE).agg(
        before_ms=pl.col("critical_path_ms").sum(),
        after_ms=pl.col("critical_path_ms_after").sum(),
        error=pl.col("squared_error").sum().sqrt(),
        freedom=_freedom(),
    )
    changes = changes.with_columns(
        delta_ms=pl.col("after_ms") - pl.col("before_ms"),
        noise_ms=pl.Series(chance_limits(changes["error"].to_numpy(), changes["freedom"].to_numpy())),
    )
    return conform(changes.sort("delta_ms", "name", descending=[True, False]), CHANGES)


def _squared_error() -> pl.Expr:
    """The squared standard error of the difference of both means, were both sides the same system.

    So the variance of traces is that of both sides together: a few requests that hang make one side alone look as if
    it could be anything, and a single trace has no variance of its own. How unsteady a system is by itself is told by
    the side before alone: an incident of some minutes makes the side after unsteady, and must not be explained away.
    """
    both = [(pl.col(f"traces_{side}") - 1).clip(0) for side in _SIDES]
    spread = [pl.col(name).fill_null(0.0) for name in ("variance", "variance_after")]
    pooled = (both[0] * spread[0] + both[1] * spread[1]) / (both[0] + both[1]).clip(1)
    variance = pl.max_horizontal(pooled, pl.col("unsteady").fill_null(0.0))
    return variance * pl.col("mix") ** 2 * sum((1 / pl.col(f"effective_{side}") for side in _SIDES), pl.lit(0.0))


def _freedom() -> pl.Expr:
    """Welch and Satterthwaite's degrees of freedom of a sum over endpoints; 0 where none has a second trace."""
    degrees = sum((pl.col(f"traces_{side}") - 1 for side in _SIDES), pl.lit(0.0))
    spread = pl.when(degrees > 0).then(pl.col("squared_error") ** 2 / degrees).sum()
    return pl.when(spread > 0).then(pl.col("squared_error").sum() ** 2 / spread).otherwise(0.0)


def culprits(changes: pl.DataFrame, saturation_rise: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return CULPRITS: the nodes that grew by more than chance explains, most to blame first.

    What an edge's gap grew by is the callee's, or its network's; when the gaps of all edges of one caller grew, the
    caller is starved: they are its. Everything that is one service's counts together, and more when a resource of that
    service filled up: ``saturation_rise`` has ``service`` and ``rise`` (0..1), by which the score grows.
    """
    grown = changes.filter(_GREW).join(_starved_callers(changes), on="caller", how="left")
    blamed = grown.with_columns(
        service=pl.when(pl.col("kind") == "service")
        .then("name")
        .when(pl.col("starved").fill_null(value=False))
        .then("caller")
        .otherwise("callee")
    )
    rises = pl.DataFrame(schema=_RISES) if saturation_rise is None else saturation_rise
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
        .join(side.spread.nodes, on=["endpoint", "node"], how="left")
        .select(*_ENDPOINT, *_NODE, "critical_path_ms", "variance", "unsteady")
    )


def _mix(before: Analysed, after: Analysed, environments: tuple[str, str]) -> pl.DataFrame:
    """The share of each endpoint that both sides have in the traffic before, and of how many traces the means are."""
    first, second = (
        side.profile.endpoints.filter(pl.col("environment").fill_null("") == name)
        .join(side.spread.endpoints, on="endpoint")
        .select(*_ENDPOINT, "weight", "traces", "effective")
        .rename({column: f"{column}_{when}" for column in ("weight", "traces", "effective")})
        for side, name, when in zip((before, after), environments, _SIDES, strict=True)
    )
    shared = first.join(second, on=_ENDPOINT, nulls_equal=True)
    return shared.with_columns(mix=pl.col("weight_before") / pl.col("weight_before").sum())


def _starved_callers(changes: pl.DataFrame) -> pl.DataFrame:
    """Callers with several edges whose gaps all grew, with ``starved`` true.

    Chance must not explain more than one of them; of a rare edge it cannot be told, so that may not speak against it.
    """
    edges = changes.filter(pl.col("kind") == "edge").group_by("caller")
    grew = _SLOWER.all() & (_GREW.sum() > _ALONE)
    return edges.agg(starved=grew).filter("starved")
