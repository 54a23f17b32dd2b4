"""Saturation: which resource of a service is short, now and against its own past, as far as metrics tell."""

from __future__ import annotations

import polars as pl

from analytics.schema import conform
from analytics.service_schema import RESOURCE_USE, SATURATION, SEVERITIES

WARNING, CRITICAL = 0.8, 0.9
"""Of utilisation; queueing theory's knee: at 0.8 a request waits four times its service time (M/M/1)."""
ENOUGH_PAST = 5
"""Minutes; of fewer a median deviation says nothing."""
_JUMP_UTILISATION = 0.2
_JUMP_LEVEL = 2.0
_SIGMAS = 3 * 1.4826
"""Three standard deviations, as a multiple of the median absolute deviation of a normal distribution."""
_WHO = ["environment", "namespace", "service"]
_SERIES = [*_WHO, "instance", "resource", "metric", "part"]


def resource_use(minutes: pl.DataFrame, since_minute: int | None = None) -> pl.DataFrame:
    """Return RESOURCE_USE of RESOURCE_MINUTES; those before ``since_minute`` are the past (default: there is none).

    A utilisation jumped when it exceeds its past mean by 0.2 and by three deviations, a level when by the factor 2;
    five past minutes are needed. Severity follows from the greatest minute: 0.8 is a warning, 0.9 critical; a jump
    is at least a warning.
    """
    now = minutes if since_minute is None else minutes.filter(pl.col("minute") >= since_minute)
    past = minutes.clear() if since_minute is None else minutes.filter(pl.col("minute") < since_minute)
    used = pl.col("utilisation")
    frame = now.group_by(_SERIES).agg(
        pl.len().alias("minutes"),
        used.mean().alias("mean"),
        used.max().alias("max"),
        (used >= WARNING).sum().alias("minutes_over"),
        pl.coalesce("utilisation", "level").mean().alias("now"),
    )
    compared = frame.join(_past(past), on=_SERIES, how="left", nulls_equal=True).with_columns(
        pl.col("past_minutes").fill_null(0), jump=pl.col("now") - pl.col("past_mean")
    )
    judged = compared.with_columns(_jumped()).with_columns(_severity())
    order = [pl.col("max"), pl.col("mean"), pl.col("jump")]
    return conform(
        judged.sort(*order, *_SERIES, descending=[True] * 3 + [False] * len(_SERIES), nulls_last=True), RESOURCE_USE
    )


def service_saturation(use: pl.DataFrame) -> pl.DataFrame:
    """Return SATURATION of RESOURCE_USE: each service's worst resource."""
    named = [
        pl.col("metric"),
        pl.format("on {}", "instance"),
        pl.when(pl.col("part") != "").then(pl.format("({})", "part")),
    ]
    source = pl.concat_str(pl.col("resource"), pl.concat_str(named, separator=" ", ignore_nulls=True), separator=": ")
    worst = use.sort("max", "mean", descending=True, nulls_last=True, maintain_order=True).with_columns(
        source=pl.when(pl.col("max").is_not_null()).then(source)
    )
    frame = worst.group_by(_WHO, maintain_order=True).agg(
        pl.col("max").first().alias("saturation"),
        pl.col("mean").first().alias("saturation_mean"),
        pl.col("severity").max(),
        pl.col("source").first().alias("saturation_source"),
    )
    return conform(frame, SATURATION)


def _past(minutes: pl.DataFrame) -> pl.DataFrame:
    value = pl.coalesce("utilisation", "level")
    return minutes.group_by(_SERIES).agg(
        pl.len().alias("past_minutes"),
        value.mean().alias("past_mean"),
        (value - value.median()).abs().median().alias("deviation"),
    )


def _jumped() -> pl.Expr:
    far = pl.col("jump") > _SIGMAS * pl.col("deviation")
    high = (
        pl.when(pl.col("mean").is_not_null())
        .then(pl.col("jump") >= _JUMP_UTILISATION)
        .otherwise((pl.col("past_mean") > 0) & (pl.col("now") >= _JUMP_LEVEL * pl.col("past_mean")))
    )
    return (pl.when(pl.col("past_minutes") >= ENOUGH_PAST).then(far & high)).alias("jumped")


def _severity() -> pl.Expr:
    info, warning, critical = (pl.lit(name).cast(pl.Enum(SEVERITIES)) for name in SEVERITIES)
    return (
        pl.when(pl.col("max") >= CRITICAL)
        .then(critical)
        .when((pl.col("max") >= WARNING) | pl.col("jumped"))
        .then(warning)
        .when(pl.col("max").is_not_null())
        .then(info)
        .alias("severity")
    )
