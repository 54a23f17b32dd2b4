"""Lines for cells of a table: how busy and how slow each service was over the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dashboard.client import LINE_PARTS

if TYPE_CHECKING:
    import polars as pl


class Line(NamedTuple):
    """A value for each part of the time: the last known p99 where there was no request."""

    requests: list[int]
    p99_ms: list[float]


def lines_by_service(lines: pl.DataFrame) -> dict[str, Line]:
    """Return the line of each service; ``lines`` are the client's."""
    found: dict[str, Line] = {}
    for (service,), rows in lines.partition_by("service", as_dict=True).items():
        known = {
            min(part, LINE_PARTS - 1): (count, p99)
            for part, count, p99 in rows.select("part", "requests", "p99_ms").iter_rows()
        }
        last = next(iter(known.values()))[1]
        line = Line([], [])
        for part in range(LINE_PARTS):
            count, last = known.get(part, (0, last))
            line.requests.append(count)
            line.p99_ms.append(last)
        found[str(service)] = line
    return found
