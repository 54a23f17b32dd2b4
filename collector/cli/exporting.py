"""Writes what is stored as Parquet, partitioned by day, a slice of a day in memory at a time."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from collector.errors import ConfigurationError, LithoscopeError, QueryError
from collector.units import parse_duration_ns, parse_time_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from collector.cli.source import SqlSource

TIME_COLUMNS = {"spans": "start_time", "logs": "time", "metrics": "time"}
"""The views that are exported, and the column that puts a row into a day."""

_SLICE_ROWS = 100_000
_DAY_NS = 86_400_000_000_000
_OVER_LIMIT = ("row_limit", "memory_limit", "time_limit")
_SHORTEST_NS = 1_000_000  # a slice this short that is still over a limit will not get smaller by being halved


@dataclass(frozen=True, slots=True)
class Window:
    """Times in Unix nanoseconds, the end excluded."""

    start: int
    end: int

    def halves(self) -> tuple[Window, Window]:
        """Return the earlier and the later half."""
        middle = (self.start + self.end) // 2
        return Window(self.start, middle), Window(middle, self.end)


ALL_TIME = Window(0, 9_223_372_036_854_000_000)  # DuckDB reads the last microsecond of 2262 as infinity


def window_since(since: str | None) -> Window:
    """Return the window of ``--since``: a duration before now or a time; everything when it was not given."""
    if since is None:
        return ALL_TIME
    for parse in (lambda text: time.time_ns() - parse_duration_ns(text), parse_time_ns):
        with suppress(ValueError):
            return Window(parse(since), ALL_TIME.end)
    raise ConfigurationError(
        f"--since {since!r} is neither a duration such as 1h nor a time such as 2026-11-23T12:00:00Z."
    )


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One written file."""

    path: Path
    rows: int


def export(source: SqlSource, target: Path, window: Window = ALL_TIME) -> Iterator[ExportedFile]:
    """Write ``target/VIEW/day=YYYY-MM-DD/VIEW.parquet`` for each day with rows, and yield each file once it is whole.

    A file that is there already is replaced. Rows are sorted by time; those without one are left out.
    """
    for view, column in TIME_COLUMNS.items():
        for day, count in _days(source, view, column, window):
            path = target / view / f"day={day}" / f"{view}.parquet"
            yield ExportedFile(path, _export_day(source, view, _within_day(window, day), count, path))


def _days(source: SqlSource, view: str, column: str, window: Window) -> list[tuple[str, int]]:
    table = source.sql_arrow(
        f'SELECT CAST("{column}" AS DATE)::VARCHAR AS day, count(*) AS rows FROM {view} '
        f"WHERE {_condition(column, window)} GROUP BY day ORDER BY day"
    )
    return list(zip(table.column("day").to_pylist(), table.column("rows").to_pylist(), strict=True))


def _condition(column: str, window: Window) -> str:
    return f'"{column}" >= make_timestamp_ns({window.start}) AND "{column}" < make_timestamp_ns({window.end})'


def _within_day(window: Window, day: str) -> Window:
    start = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000_000
    return Window(max(window.start, start), min(window.end, start + _DAY_NS))


def _export_day(source: SqlSource, view: str, window: Window, count: int, path: Path) -> int:
    rows = 0
    with _new_file(path) as part:
        writer = None
        try:
            for table in _slices(source, view, window, count):
                writer = writer or pq.ParquetWriter(part, table.schema, compression="zstd")
                writer.write_table(table)
                rows += table.num_rows
        finally:
            if writer is not None:
                writer.close()
    return rows


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A name to write under; it becomes ``path`` only when all went well."""
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise LithoscopeError(f"{path} cannot be written ({error.strerror}): name another folder with --to.") from error


def _slices(source: SqlSource, view: str, window: Window, count: int) -> Iterator[pa.Table]:
    """The rows of a window by time; a slice that is over a limit of the collector is halved."""
    column = TIME_COLUMNS[view]
    waiting = list(reversed(_split(window, count)))
    while waiting:
        part = waiting.pop()
        try:
            table = source.sql_arrow(f'SELECT * FROM {view} WHERE {_condition(column, part)} ORDER BY "{column}"')
        except QueryError as error:
            if error.code not in _OVER_LIMIT or part.end - part.start <= _SHORTEST_NS:
                raise
            waiting.extend(reversed(part.halves()))
        else:
            yield table


def _split(window: Window, count: int) -> list[Window]:
    """Parts of equal time with about ``_SLICE_ROWS`` rows each, if rows were spread evenly."""
    parts = max(1, -(-count // _SLICE_ROWS))
    edges = [window.start + (window.end - window.start) * index // parts for index in range(parts + 1)]
    return [Window(*edge) for edge in pairwise(edges)]
