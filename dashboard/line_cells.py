"""Lines for cells of a table: how busy and how slow each service was over the time."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Lines: TypeAlias = "dict[str, list[float]]"

POINTS = 40
"""Of a line at most: its cell is some seventy pixels wide."""
_NS_PER_S = 10**9
_NOTHING = ("calls_per_s", "error_rate")  # where no call was; a latency stays what it was
FIGURES = (*_NOTHING, "p50_ms", "p95_ms", "p99_ms")


def lines_by_service(answer: Mapping[str, Any]) -> dict[str, Lines]:
    """Return a line for each of FIGURES of each name in an answer of ``/v1/series``, from its first bucket to its last.

    Where nothing was called, rate and errors are 0 and latencies stay what they were. Of more than POINTS buckets
    neighbours are joined: rates to their mean, latencies to the highest, so that a peak stays in sight.
    """
    if not answer["rows"]:
        return {}
    width = answer["bucket_seconds"] * _NS_PER_S
    first, last = answer["from"] // width, (answer["to"] - 1) // width
    by_name: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in answer["rows"]:
        by_name.setdefault(row["name"], {})[row["start_unix_nano"] // width] = row
    places = range(first, last + 1)
    return {name: {figure: _line(rows, places, figure) for figure in FIGURES} for name, rows in by_name.items()}


def _line(rows: Mapping[int, Mapping[str, Any]], places: Iterable[int], figure: str) -> list[float]:
    is_rate = figure in _NOTHING
    known = next((row[figure] for row in rows.values() if row[figure] is not None), 0.0)
    points = []
    for place in places:
        found = rows[place][figure] if place in rows else None
        known = known if found is None else found
        points.append((found or 0.0) if is_rate else known)
    return _joined(points, fmean if is_rate else max)


def _joined(points: Sequence[float], join: Callable[[Sequence[float]], float]) -> list[float]:
    together = -(-len(points) // POINTS)
    return [join(points[begin : begin + together]) for begin in range(0, len(points), together)]
