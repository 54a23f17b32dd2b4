"""An answer of SQL in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.assistant.short import HIGHER, clipped, joined
from analytics.words import counted
from collector.cli.text import printable
from collector.query.formats import flat_values, unique_names

if TYPE_CHECKING:
    import pyarrow as pa

_CELL = 300
_PLAN = ["explain_key", "explain_value"]
_REMEDY = f"{HIGHER}, or aggregate, name fewer columns, or page with LIMIT and OFFSET"


def rows_answer(table: pa.Table, most: int) -> str:
    """Return the first ``most`` rows, a line each, values between bars, long ones cut; a query plan as it was drawn."""
    if table.column_names == _PLAN:
        return joined([printable(line) for text in table.column(1).to_pylist() for line in text.split("\n")], "shorten")
    columns = [_cells(column) for column in table.slice(0, most).columns]
    lines = [" | ".join(clipped(name, _CELL) for name in unique_names(table.column_names))]
    lines += map(" | ".join, zip(*columns, strict=True))
    more = table.num_rows - most
    end = (
        f"({counted(table.num_rows, 'row')})" if more <= 0 else f"({more:,} more rows of {table.num_rows:,}: {_REMEDY})"
    )
    return joined([*lines, end], _REMEDY)


def _cells(column: pa.ChunkedArray) -> list[str]:
    return [_cell(value) for chunk in column.chunks for value in flat_values(chunk).to_pylist()]


def _cell(value: object) -> str:
    if value is None:
        return "NULL"
    return clipped(str(value).lower() if isinstance(value, bool) else str(value), _CELL)
