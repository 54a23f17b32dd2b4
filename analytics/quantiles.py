"""Quantiles: of values at hand and of histograms that merge, by one definition.

The definition is linear interpolation at place q·(n - 1). A value of weight w stands for w equal values; between
values of other than whole weights the places are interpolated in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import offsets_of_runs, search
from analytics.schema import HISTOGRAM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analytics.arrays import Array, Floats, Rows, Times

SCALE = 64
"""Buckets a doubling: OpenTelemetry's exponential histogram at scale 6, so a value is off by at most 0.543 %."""
ZERO = np.int16(-(2**15))
"""The bucket of 0 and below; every other number of nanoseconds lies in bucket -1 or above."""
ENOUGH_FOR_P99 = 100
"""Below as many values a 99th percentile is one of the two largest values, and says nothing."""
_DECIMALS = 9
"""0.95 · 20 must be place 19; places are rounded, since a binary fraction may land a hair beside it."""


def bucket_of(values: Times) -> Array:
    """Return each value's bucket, int16: ceil(64 · log2(x)) - 1, ZERO for 0 and below."""
    positive = values > 0
    index = np.ceil(np.log2(np.where(positive, values, 1)) * SCALE) - 1
    return np.where(positive, index, ZERO).astype(np.int16)


def middle_of(buckets: Array) -> Floats:
    """Return each bucket's geometric middle, 0 for ZERO."""
    return np.where(buckets == ZERO, 0.0, np.exp2((buckets.astype(np.float64) + 0.5) / SCALE))


def histogram(frame: pl.DataFrame, keys: Sequence[str], value: str, weight: str | None = None) -> pl.DataFrame:
    """Return the keys and HISTOGRAM of an integer column, sorted, each value weighing ``weight`` (default: 1)."""
    rows = frame.select(
        *keys,
        pl.Series("bucket", bucket_of(frame[value].to_numpy()), HISTOGRAM["bucket"]),
        (pl.lit(1.0) if weight is None else pl.col(weight).cast(pl.Float64)).alias("weight"),
    )
    return merge_histograms([rows], keys)


def merge_histograms(frames: Sequence[pl.DataFrame], keys: Sequence[str]) -> pl.DataFrame:
    """Return the keys and HISTOGRAM of at least one histogram, added up, sorted by key and bucket."""
    return pl.concat(frames).group_by(*keys, "bucket").agg(pl.col("weight").sum()).sort(*keys, "bucket")


def histogram_quantiles(rows: pl.DataFrame, keys: Sequence[str], quantiles: Mapping[str, float]) -> pl.DataFrame:
    """Return the keys and a column for each quantile, within 0.543 % of what ``weighted_quantiles`` says of the values.

    Keys without a row in HISTOGRAM have none in the result.
    """
    middles = rows.with_columns(pl.Series("middle", middle_of(rows["bucket"].to_numpy()), pl.Float64))
    return weighted_quantiles(middles, keys, "middle", "weight", quantiles)


def weighted_quantiles(
    frame: pl.DataFrame, keys: Sequence[str], value: str, weight: str, quantiles: Mapping[str, float]
) -> pl.DataFrame:
    """Return the keys, sorted, and a Float64 column for each named quantile between 0 and 1 of each group's values.

    Rows of weight 0 do not count, and a group with no other rows is left out. No keys make one group.
    """
    rows = frame.filter(pl.col(weight) > 0).select(*keys, value, weight).sort(*keys, value, nulls_last=False)
    offsets = _group_offsets(rows, keys)
    values = rows[value].to_numpy().astype(np.float64)
    weights = rows[weight].to_numpy().astype(np.float64)
    columns = _interpolate(values, weights, offsets, np.array(list(quantiles.values()), np.float64))
    found = [pl.Series(name, column) for name, column in zip(quantiles, columns, strict=True)]
    return rows[offsets[:-1]].select(*keys).with_columns(found) if keys else pl.DataFrame(found)


def _group_offsets(rows: pl.DataFrame, keys: Sequence[str]) -> Rows:
    if not keys:
        return np.array([0, rows.height] if rows.height else [0], np.int32)
    starts = rows.select(pl.struct(keys).rle_id().diff().fill_null(1) > 0).to_series()
    return offsets_of_runs(starts.to_numpy())


def _interpolate(values: Floats, weights: Floats, offsets: Rows, quantiles: Floats) -> list[Floats]:
    """Return for each quantile one value a group, of values that ascend within groups."""
    low, high = offsets[:-1], offsets[1:]
    upto = np.append(0.0, np.cumsum(weights))
    place = upto[:-1] - np.repeat(upto[low], high - low)
    total = upto[high] - upto[low]
    return [_at(values, weights, place, np.stack([low, high]), np.maximum(total - 1, 0) * q) for q in quantiles]


def _at(values: Floats, weights: Floats, place: Floats, bounds: Rows, wanted: Floats) -> Floats:
    """Return the values at these places of the groups within ``bounds``.

    A value of weight w takes up the places from its own to w - 1 further; from there to the next one it is a line.
    """
    wanted = np.round(wanted, _DECIMALS)
    low, high = bounds
    here = np.maximum(search(place, low, high, wanted) - 1, low)
    following = np.minimum(here + 1, high - 1)
    flat_until = place[here] + np.maximum(weights[here] - 1, 0)
    slope_length = place[here] + weights[here] - flat_until
    # A slope of no length is stepped over: weights of less than one may add up to a place exactly.
    share = np.clip((wanted - flat_until) / np.where(slope_length > 0, slope_length, 1), 0, 1)
    result: Floats = values[here] + (values[following] - values[here]) * share
    return result
