"""The ``diff`` object of the contract: what got slower or less reliable between two sides, and who is to blame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.diff import culprits, node_changes
from analytics.figures import describe_window
from analytics.words import ms_change, percent

if TYPE_CHECKING:
    from analytics.analysis import Analysed

_TOLD_RISE = 0.1  # of a resource's room: less explains no delay
_WHO = ["type", "namespace", "name"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One side: its traces, all of one environment, with the RESOURCE_MINUTES and the SATURATION of that.

    ``service`` and ``version`` say what all of the traces have in common, None for nothing.
    """

    environment: str
    analysed: Analysed
    minutes: pl.DataFrame
    saturation: pl.DataFrame
    service: str | None = None
    version: str | None = None

    def describe(self) -> dict[str, Any]:
        """Return what the side is: the contract's ``window`` object, the environment, the service and its version."""
        named = {"environment": self.environment, "service": self.service, "version": self.version}
        return named | describe_window(self.analysed)


def build_diff(before: Compared, after: Compared) -> dict[str, Any]:
    """Return the contract's ``diff`` object; culprits, services and edges come with what grew most first."""
    changes = node_changes(before.analysed, after.analysed, (before.environment, after.environment))
    filled = _filled(before.saturation, after.saturation)
    blamed = culprits(changes, filled.select("service", "rise"))
    return {
        "before": before.describe(),
        "after": after.describe(),
        "services": _services(before.analysed, after.analysed, changes),
        "edges": changes.filter(pl.col("kind") == "edge").select("caller", "callee", "delta_ms", "noise_ms").to_dicts(),
        "endpoints": _endpoints(before, after),
        "culprits": [_culprit(row, changes, filled) for row in blamed.iter_rows(named=True)],
    }


def _filled(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """How much fuller each service's resource got: ``service``, ``was``, ``now``, ``source``, ``rise`` (0..1)."""
    columns = ["service", "saturation", "saturation_source"]
    both = after.select(columns).join(before.select(columns[:2]), on="service", how="left", suffix="_before")
    grown = both.with_columns(
        was=pl.col("saturation_before").fill_null(0.0), now=pl.col("saturation"), source=pl.col("saturation_source")
    )
    rise = (pl.col("now") - pl.col("was")).clip(0.0, 1.0)
    return grown.filter(pl.col("now").is_not_null()).select("service", "was", "now", "source", rise=rise)


def _services(before: Analysed, after: Analysed, changes: pl.DataFrame) -> list[dict[str, Any]]:
    figures = ["p99_ms", "p99_known", "error_rate"]
    sides = [side.nodes.filter(pl.col("type") != "user").select(*_WHO, *figures) for side in (before, after)]
    both = sides[0].join(sides[1], on=_WHO, how="full", coalesce=True, nulls_equal=True, suffix="_after")
    deltas = changes.filter(pl.col("kind") == "service").group_by("name").agg(pl.col("delta_ms", "noise_ms").sum())
    rows = both.join(deltas, on="name", how="left").with_columns(pl.col("delta_ms", "noise_ms").fill_null(0.0))
    return (
        rows.sort("delta_ms", "name", descending=[True, False])
        .select(
            *("name", "type", "delta_ms", "noise_ms"),
            *(pl.col("p99_ms").alias("p99_before_ms"), pl.col("p99_ms_after").alias("p99_after_ms")),
            *(pl.col("p99_known").alias("p99_known_before"), pl.col("p99_known_after")),
            *(pl.col("error_rate").alias("error_rate_before"), pl.col("error_rate_after")),
        )
        .to_dicts()
    )


def _endpoints(before: Compared, after: Compared) -> list[dict[str, Any]]:
    """The endpoints of both sides, those with most traces before first; the figures of a side without it are null."""
    key = ["service", "operation", "namespace"]
    figures = ["traces", "p50_ms", "p99_ms", "p99_known", "error_rate"]
    sides = [
        side.analysed.profile.endpoints.filter(pl.col("environment").fill_null("") == side.environment)
        .select(*key, *figures)
        .rename({name: f"{name.removesuffix('_ms')}_{when}" + "_ms" * name.endswith("_ms") for name in figures})
        for side, when in ((before, "before"), (after, "after"))
    ]
    both = sides[0].join(sides[1], on=key, how="full", coalesce=True, nulls_equal=True)
    order = [pl.col("traces_before").fill_null(0), pl.col("traces_after").fill_null(0)]
    return both.sort(*order, *key[:2], descending=[True, True, False, False]).drop("namespace").to_dicts()


def _culprit(row: dict[str, Any], changes: pl.DataFrame, filled: pl.DataFrame) -> dict[str, Any]:
    change = changes.row(by_predicate=(pl.col("name") == row["name"]) & (pl.col("kind") == row["kind"]), named=True)
    return {name: row[name] for name in ("service", "kind", "name", "delta_ms", "score")} | {
        "explanation": _explain(row, change, filled.filter(pl.col("service") == row["service"]))
    }


def _explain(row: dict[str, Any], change: dict[str, Any], filled: pl.DataFrame) -> str:
    times = f"{ms_change(change['before_ms'], change['after_ms'])} a request"
    if row["kind"] == "service":
        sentence = f"{row['name']} itself: {times}"
    elif row["starved"]:
        sentence = f"waiting on {row['name']}, as on all other calls of {row['service']}: {times}"
    else:
        sentence = f"waiting on {row['name']}, for the network or in a queue of {row['service']}: {times}"
    if filled.height and (row["rise"] or 0.0) >= _TOLD_RISE:
        was, now, source = filled.select("was", "now", "source").row(0)
        sentence += f"; its fullest resource went from {percent(was)} to {percent(now)} full, now {source}"
    return f"{sentence}."
