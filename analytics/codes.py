"""Codes: dense numbers for keys, so that groups are counted by place and not by hashing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags, Floats, Rows

_ROOM = 4
"""A table of keys may hold as many entries per key; a million keys then take 4 MB and a hundredth of a hash's time."""


def number_keys(keys: Array, size: int) -> tuple[Rows, Array]:
    """Return each key's place among the distinct ones, and these, ascending; keys are from 0 to below ``size``."""
    distinct = distinct_keys(keys, size)
    if size > _ROOM * len(keys) + 1024:
        return np.searchsorted(distinct, keys).astype(np.int32), distinct
    place = np.empty(size, np.int32)
    place[distinct] = np.arange(len(distinct))
    return place[keys], distinct


def distinct_keys(keys: Array, size: int) -> Array:
    """Return the distinct keys, ascending; keys are from 0 to below ``size``."""
    if size > _ROOM * len(keys) + 1024:
        return pl.Series(keys).unique().sort().to_numpy()
    seen: Flags = np.zeros(size, np.bool_)
    seen[keys] = True
    return np.flatnonzero(seen)


def sum_by(codes: Array, values: Array, count: int) -> Floats:
    """Return the sums of values by code, 0 for codes below ``count`` that do not occur."""
    sums: Floats = np.bincount(codes, values, count).astype(np.float64, copy=False)
    return sums
