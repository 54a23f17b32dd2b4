"""The vectorised steps that trees and intervals are worked with: climbing to ancestors, looking up inside segments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Flags: TypeAlias = npt.NDArray[np.bool_]
Codes: TypeAlias = npt.NDArray[np.uint8]
Rows: TypeAlias = npt.NDArray[np.int32]
Times: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Array: TypeAlias = npt.NDArray[Any]

NONE = -1
"""Stands for "no row" in arrays of rows."""


def climb(
    pointers: Rows,
    values: Sequence[Array],
    combine: Sequence[Callable[[Array, Array], Array]],
    rows: Array | None = None,
) -> bool:
    """Combine each row's value with those of all rows its pointers lead to, in place, and tell whether all arrived.

    Pointers end in -1; those that end nowhere are given up, with their values spoilt. ``combine[i](near, far)`` must be
    associative. Only ``rows`` are climbed from, which must hold every row that they lead to (default: all). A chain of
    length d takes log2(d) rounds over the rows that have not arrived (pointer jumping), so the work is O(n log d).
    """
    reached = pointers.copy()
    active = np.flatnonzero(reached >= 0) if rows is None else rows[reached[rows] >= 0]
    for _ in range(len(pointers).bit_length()):
        if not active.size:
            break
        far = reached[active]
        for value, function in zip(values, combine, strict=True):
            value[active] = function(value[active], value[far])
        far = reached[far]
        reached[active] = far
        active = active[far >= 0]
    return not active.size


def farther(_near: Array, far: Array) -> Array:
    """Take the value from farther up (for ``climb``)."""
    return far


def search(values: Array, low: Array, high: Array, limits: Array) -> Array:
    """Return for each query the place behind the last value ≤ its limit within [low, high).

    ``values`` ascend within each range. The result equals ``low`` when no value is small enough.
    """
    low, high = low.copy(), high.copy()
    active = np.flatnonzero(low < high)
    while active.size:
        middle = (low[active] + high[active]) // 2
        right = values[middle] <= limits[active]
        low[active[right]] = middle[right] + 1
        high[active[~right]] = middle[~right]
        active = active[low[active] < high[active]]
    return low


def order_by(*keys: Array) -> Rows:
    """Return the rows in ascending order of these keys, the first being the most significant.

    Polars does this in a sixth of the time of ``numpy.lexsort`` on two cores (36 against 210 ms for a million rows).
    """
    frame = pl.DataFrame({str(place): key for place, key in enumerate(keys)})
    return frame.select(pl.arg_sort_by(frame.columns)).to_series().to_numpy().astype(np.int32)


def with_siblings(parent: Array, count: int) -> Flags:
    """Tell for each child, by its parent's row (below ``count``), whether another has the same parent."""
    several: Flags = np.bincount(parent, minlength=count)[parent] > 1
    return several


def starts_of_runs(*keys: Array) -> Flags:
    """Tell for each row whether it differs in any key from the row before."""
    starts = np.ones(len(keys[0]), np.bool_)
    starts[1:] = False
    for key in keys:
        starts[1:] |= key[1:] != key[:-1]
    return starts


def offsets_of_runs(starts: Flags) -> Rows:
    """Return where runs begin, and at the end the number of rows."""
    return np.append(np.flatnonzero(starts), len(starts)).astype(np.int32)
