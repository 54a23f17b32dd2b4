"""Resources: what metrics tell of the utilisation of processors, memory, pools and queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analytics.metric_aliases import MEAN_KEYS, METRIC_ALIASES, PART_KEYS, MetricAlias
from analytics.schema import conform, empty
from analytics.service_schema import RESOURCE_MINUTES
from collector.semconv import ENVIRONMENT, SERVICE_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from analytics.schema import Columns

_ENTRY = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))
_NS_PER_MINUTE = 60_000_000_000
_WHO = ["environment", "namespace", "service", "instance"]
_SERIES = [*_WHO, "metric", "part"]
_PERCENT = 100
_NS_PER_SECOND = 1_000_000_000


def resource_minutes(metrics: pl.DataFrame, aliases: Mapping[str, MetricAlias] | None = None) -> pl.DataFrame:
    """Return RESOURCE_MINUTES of a frame with the columns of the store's ``metrics`` view.

    Needed are ``time``, ``service_name``, ``service_instance_id``, ``metric_name``, ``value``, ``attributes`` and
    ``resource_attributes`` (maps, or lists of key and value); ``unit``, ``start_time``, ``aggregation_temporality`` and
    ``is_monotonic`` are used where they are. ``aliases`` add to METRIC_ALIASES and replace them. Metrics without an
    alias, and points without a value, are left out.
    """
    known = {**METRIC_ALIASES, **(aliases or {})}
    table = _alias_frame(known)
    names = set(known) | {limit for alias in known.values() for limit in alias.limits}
    points = _points(metrics.filter(pl.col("metric_name").is_in(sorted(names)) & pl.col("value").is_not_null()))
    if points.is_empty():
        return empty(RESOURCE_MINUTES)
    read = points.join(table, on="metric", how="inner", maintain_order="left")
    minutes = _add_up(_as_rates(read))
    limited = minutes.join(_limits(points, known), on=_SERIES, how="left", nulls_equal=True)
    found = limited.with_columns(level=_level(), utilisation=_utilisation().clip(0, 1))
    return conform(found.sort(*_WHO, "resource", "metric", "part", "minute"), RESOURCE_MINUTES)


def _alias_frame(aliases: Mapping[str, MetricAlias]) -> pl.DataFrame:
    rows = [(name, a.resource, a.reading, list(a.parts)) for name, a in aliases.items()]
    columns: Columns = {"metric": pl.String, "resource": pl.String, "reading": pl.String, "parts": pl.List(pl.String)}
    return pl.DataFrame(rows, schema=columns, orient="row")


def _points(metrics: pl.DataFrame) -> pl.DataFrame:
    """Return points with who sent them, their ``state`` (of PART_KEYS) and ``part`` (all other attributes)."""
    optional = {"unit": pl.String, "aggregation_temporality": pl.String, "is_monotonic": pl.Boolean}
    times = [
        pl.col(name).cast(pl.Datetime("ns")).cast(pl.Int64)
        for name in ("time", "start_time")
        if name in metrics.columns
    ]
    frame = metrics.with_columns(
        pl.col("attributes", "resource_attributes").cast(_ENTRY),
        *(pl.lit(None, dtype).alias(name) for name, dtype in optional.items() if name not in metrics.columns),
        *times,
    )
    if "start_time" not in metrics.columns:
        frame = frame.with_columns(start_time=pl.lit(None, pl.Int64))
    return frame.select(
        _first_of("resource_attributes", ENVIRONMENT).alias("environment"),
        _first_of("resource_attributes", SERVICE_NAMESPACE).alias("namespace"),
        pl.col("service_name").alias("service"),
        pl.col("service_instance_id").alias("instance"),
        pl.col("metric_name").alias("metric"),
        _first_of("attributes", PART_KEYS).alias("state"),
        _others("attributes", (*PART_KEYS, *MEAN_KEYS)).alias("part"),
        _others("attributes", ()).alias("all_attributes"),
        (pl.col("time") // _NS_PER_MINUTE).alias("minute"),
        *("time", "start_time", "unit", "aggregation_temporality", "is_monotonic", "value"),
    )


def _first_of(column: str, keys: Iterable[str]) -> pl.Expr:
    """Return the value of the first of these keys that is present."""
    key, value = (pl.element().struct.field(name) for name in ("key", "value"))
    found = [pl.col(column).list.eval(value.filter(key == name)).list.first() for name in keys]
    return pl.coalesce(found)


def _others(column: str, keys: Iterable[str]) -> pl.Expr:
    """Return all entries but those of these keys as sorted text."""
    key, value = (pl.element().struct.field(name) for name in ("key", "value"))
    text = pl.format("{}={}", key, value.fill_null("")).filter(~key.is_in(list(keys)))
    return pl.col(column).list.eval(text).list.sort().list.join(",").fill_null("")


def _as_rates(points: pl.DataFrame) -> pl.DataFrame:
    """Turn counters that are read as rates into growth a second, without first points and those after a restart."""
    series = [*_WHO, "metric", "all_attributes"]
    rate = (pl.col("reading") == "rate") & pl.col("is_monotonic").fill_null(value=True)
    delta = pl.col("aggregation_temporality") == "delta"
    ordered = points.sort("time", maintain_order=True)
    growth = pl.when(delta).then("value").otherwise(pl.col("value").diff().over(series))
    since = pl.when(delta).then(pl.col("time") - pl.col("start_time")).otherwise(pl.col("time").diff().over(series))
    per_second = pl.when((growth >= 0) & (since > 0)).then(growth / since * _NS_PER_SECOND)
    return ordered.with_columns(value=pl.when(rate).then(per_second).otherwise("value")).drop_nulls("value")


def _add_up(points: pl.DataFrame) -> pl.DataFrame:
    """Return by series and minute ``used`` and ``all`` parts added up, ``most`` of the used, and whether others are."""
    keys = [*_SERIES, "resource", "reading", "minute"]
    counted = (pl.col("parts").list.len() == 0) | pl.col("state").is_null() | pl.col("state").is_in("parts")
    by_state = (
        points.with_columns(counted=counted)
        .group_by(*keys, "state")
        .agg(pl.col("value").mean(), pl.col("value").max().alias("most"), pl.col("counted", "unit").first())
    )
    return by_state.group_by(keys).agg(
        pl.col("value").filter("counted").sum().alias("used"),
        pl.col("most").filter("counted").sum(),
        pl.col("value").sum().alias("all"),
        (~pl.col("counted")).any().alias("has_others"),
        pl.col("unit").first(),
    )


def _limits(points: pl.DataFrame, aliases: Mapping[str, MetricAlias]) -> pl.DataFrame:
    """Return by series its ``limit``: of the first metric that has one for this part, or for the whole instance."""
    rows = [(name, limit, rank) for name, alias in aliases.items() for rank, limit in enumerate(alias.limits)]
    pairs = pl.DataFrame(rows, schema=["metric", "limit_metric", "rank"], orient="row")
    values = (
        points.rename({"metric": "limit_metric"})
        .filter(pl.col("limit_metric").is_in(pairs["limit_metric"].unique().implode()) & (pl.col("value") > 0))
        .group_by(*_WHO, "limit_metric", "part")
        .agg(pl.col("value").max().alias("exact"))
    )
    whole = values.group_by(*_WHO, "limit_metric").agg(pl.len(), pl.col("exact").first().alias("whole"))
    series = points.select(_SERIES).unique().join(pairs, on="metric")
    on = [*_WHO, "limit_metric"]
    found = series.join(values, on=[*on, "part"], how="left", nulls_equal=True).join(
        whole.filter(pl.col("len") == 1), on=on, how="left", nulls_equal=True
    )
    return found.sort("rank").group_by(_SERIES).agg(pl.coalesce("exact", "whole").drop_nulls().first().alias("limit"))


def _level() -> pl.Expr:
    return pl.when(pl.col("reading") == "pending").then("most").otherwise("used")


def _utilisation() -> pl.Expr:
    reading = pl.col("reading")
    of_all = pl.when(pl.col("has_others") & (pl.col("all") > 0)).then(pl.col("used") / pl.col("all"))
    of_limit = pl.when(pl.col("limit").is_not_null()).then(pl.col("used") / pl.col("limit")).otherwise(of_all)
    percent = pl.when(pl.col("unit") == "%").then(pl.col("used") / _PERCENT).otherwise("used")
    return (
        pl.when(reading == "share")
        .then(percent)
        .when(reading.is_in(["used", "rate"]))
        .then(of_limit)
        .when(reading == "pending")
        .then((pl.col("most") > 0).cast(pl.Float64))
    )
