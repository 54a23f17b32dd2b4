"""Load and resources once more, nanosecond by nanosecond and point by point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.analytics.oracle import Span

Key = tuple[int, str, int]


def instance_load(
    spans: list[Span],
    entries: list[bool],
    weights: list[float],
    windows: tuple[int, int, int],
    self_times: list[int],
) -> dict[Key, tuple[float, ...]]:
    """Return by service, host and window: requests, started, concurrency and busy; windows are begin, width, count."""
    begin, width, count = windows
    found: dict[Key, tuple[float, ...]] = {}
    for window in range(count):
        low, high = begin + window * width, begin + (window + 1) * width
        for key in sorted({(span.service, f"h{span.host}", window) for span in spans}):
            mine = [row for row, span in enumerate(spans) if (span.service, f"h{span.host}") == key[:2]]
            here = [row for row in mine if entries[row] and _overlaps(spans[row], low, high)]
            weigh = {row: weights[spans[row].trace - 1] for row in mine}
            started = sum(weigh[row] for row in here if low <= spans[row].begin < high)
            concurrency = sum(weigh[row] * _inside(spans[row], low, high) for row in here) / width
            busy = sum(
                weigh[row] * self_times[row] * _inside(spans[row], low, high) / max(spans[row].duration, 1)
                for row in mine
            )
            if here:
                found[key] = (len(here), started, concurrency, busy / width)
    return found


def _inside(span: Span, low: int, high: int) -> int:
    return sum(low <= t < high for t in range(span.begin, span.end))


def _overlaps(span: Span, low: int, high: int) -> bool:
    return low <= span.begin < high if span.begin == span.end else _inside(span, low, high) > 0


@dataclass
class Point:
    """A point of a pool's metrics, or of a processor's counter."""

    instance: str
    metric: str
    state: str | None
    pool: str | None
    second: int
    value: float


def utilisations(points: list[Point]) -> dict[tuple[Any, ...], float | None]:
    """Return by instance, metric, pool and minute the utilisation of pools, of queues and of processors."""
    found: dict[tuple[Any, ...], float | None] = {}
    for point in points:
        if point.metric in {"db.client.connection.max", "process.cpu.count"}:
            continue
        same = [
            p
            for p in _rates(points)
            if (p.instance, p.metric, p.pool, p.second // 60)
            == (point.instance, point.metric, point.pool, point.second // 60)
        ]
        key = (point.instance, point.metric, point.pool, point.second // 60)
        if point.metric.endswith("pending_requests"):
            found[key] = float(any(p.value > 0 for p in same))
        elif point.metric.endswith("count"):
            used = _sum_of_means(same, lambda p: p.state in {None, "used"})
            every = _sum_of_means(same, lambda _: True)
            others = any(p.state not in {None, "used"} for p in same)
            limit = _limit(points, point, "db.client.connection.max")
            found[key] = used / limit if limit else used / every if others and every > 0 else None
        elif point.metric == "process.cpu.time" and same:
            limit = _limit(points, point, "process.cpu.count")
            found[key] = _sum_of_means(same, lambda _: True) / limit if limit else None
    return {key: None if value is None else min(max(value, 0.0), 1.0) for key, value in found.items()}


def _sum_of_means(points: list[Point], wanted: Callable[[Point], bool]) -> float:
    total = 0.0
    for state in {p.state for p in points if wanted(p)}:
        values = [p.value for p in points if p.state == state]
        total += sum(values) / len(values)
    return total


def _limit(points: list[Point], point: Point, metric: str) -> float | None:
    limits = [p for p in points if p.instance == point.instance and p.metric == metric and p.value > 0]
    exact = [p.value for p in limits if p.pool == point.pool]
    pools = {p.pool for p in limits}
    return max(exact) if exact else max(p.value for p in limits) if len(pools) == 1 else None


def _rates(points: list[Point]) -> list[Point]:
    """Return the points, with counters as growth a second since the point before."""
    found = []
    for place, point in enumerate(points):
        if point.metric != "process.cpu.time":
            found.append(point)
            continue
        series = [
            (p.second, i, p)
            for i, p in enumerate(points)
            if (p.instance, p.metric, p.state, p.pool) == (point.instance, point.metric, point.state, point.pool)
        ]
        before = [entry for entry in series if entry[:2] < (point.second, place)]
        if before:
            second, _, last = max(before, key=lambda entry: entry[:2])
            if point.second > second and point.value >= last.value:
                rate = (point.value - last.value) / (point.second - second)
                found.append(Point(point.instance, point.metric, point.state, point.pool, point.second, rate))
    return found
