"""How answers are shown and written."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.box import SQUARE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from collector.cli.options import SqlFormat
from collector.cli.text import printable
from collector.errors import ConfigurationError, LithoscopeError
from collector.query.formats import Form, encode, flat_values, unique_names

if TYPE_CHECKING:
    from pathlib import Path

_MOST_ROWS = 200  # more than anybody reads in a terminal; --format csv writes all
_CELLS = (120, 60, 34)  # characters of one value: as many as fit the terminal, and a trace id always stays whole
_MOST_LINES = 20  # of one value: a stack trace from its top
_WIDE = 100_000  # a table is as wide as it needs to be: a folded trace id cannot be copied

_FORMS = {
    SqlFormat.JSON: Form.JSON,
    SqlFormat.CSV: Form.CSV,
    SqlFormat.ARROW: Form.ARROW,
    SqlFormat.PARQUET: Form.PARQUET,
}
_ENDINGS = {f".{form}": form for form in _FORMS} | {"": SqlFormat.TABLE, ".txt": SqlFormat.TABLE}
_PLAN = ["explain_key", "explain_value"]
_BINARY = (SqlFormat.ARROW, SqlFormat.PARQUET)


def choose_form(form: SqlFormat | None, path: Path | None) -> SqlFormat:
    """Return how an answer is written: as was said, else as the file's ending says, else as a table.

    Raises ``ConfigurationError``, before a query is run, for an ending that says nothing and for an answer that has
    nowhere to go.
    """
    form = form or _form_of(path)
    if form in _BINARY and path is None and sys.stdout.isatty():
        raise ConfigurationError(f"{form} is binary and no text for a terminal: name a file with -o, or pipe it.")
    return form


def _form_of(path: Path | None) -> SqlFormat:
    ending = "" if path is None else path.suffix.lower()
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    endings = ", ".join(filter(None, _ENDINGS))
    raise ConfigurationError(f"{path} does not tell its format by {ending}: take one of {endings}, or say --format.")


def write_answer(table: pa.Table, form: SqlFormat, path: Path | None) -> None:
    """Write an answer to a file, or to standard output."""
    if form == SqlFormat.TABLE and path is None and sys.stdout.isatty():
        print_table(table, Console(width=_WIDE), Console().width)
        return
    content = table_text(table).encode() if form == SqlFormat.TABLE else encode(table, _FORMS[form])
    if path is None:
        _write_out(content)
        return
    try:
        path.write_bytes(content)
    except OSError as error:
        raise LithoscopeError(f"{path} cannot be written ({error.strerror}): name another file with -o.") from error


def _write_out(content: bytes) -> None:
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # the reader has enough, which is no failure; the front door knows
    except OSError as error:
        raise LithoscopeError(f"Standard output cannot be written ({error.strerror}): send it elsewhere.") from error


def print_table(table: pa.Table, console: Console, width: int = _WIDE) -> None:
    """Print the first rows as a table, and how many there are; a query plan as it was drawn.

    Long values are shortened when the table is wider than ``width``.
    """
    if table.column_names == _PLAN:
        console.print(Text("\n".join(map(_lines, table.column(1).to_pylist()))))
        return
    for most in _CELLS:
        drawn = _drawn(table, most)
        if console.measure(drawn).maximum <= width:
            break
    console.print(drawn)
    console.print(Text(_count(table.num_rows), style="dim"))


def _drawn(table: pa.Table, most: int) -> Table:
    shown = Table(box=SQUARE, header_style="bold", show_edge=False, pad_edge=False)
    for name, kind in zip(unique_names(table.column_names), table.schema.types, strict=True):
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        shown.add_column(Text(printable(name)), justify="right" if is_number else "left")
    columns = [_cells(column, most) for column in table.slice(0, _MOST_ROWS).columns]
    for row in zip(*columns, strict=True):
        shown.add_row(*row)
    return shown


def _count(rows: int) -> str:
    if rows > _MOST_ROWS:
        return f"(the first {_MOST_ROWS} of {rows:,} rows; --format csv writes all)"
    return f"({rows:,} row{'' if rows == 1 else 's'})"


def table_text(table: pa.Table) -> str:
    """Return what ``print_table`` prints, as plain text."""
    written = io.StringIO()
    print_table(table, Console(file=written, width=_WIDE, no_color=True, force_terminal=False))
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def _cells(column: pa.ChunkedArray, most: int) -> list[Text]:
    return [_cell(value, most) for chunk in column.chunks for value in flat_values(chunk).to_pylist()]


def _cell(value: object, most: int) -> Text:
    if value is None:
        return Text("NULL", style="dim")
    lines = _lines(str(value).lower() if isinstance(value, bool) else str(value)).split("\n")
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES - 1 :] = ["…"]
    return Text("\n".join(line if len(line) <= most else line[: most - 1] + "…" for line in lines))


def _lines(text: str) -> str:
    """Printable text that keeps its lines: stack traces and plans have many."""
    return "\n".join(map(printable, text.expandtabs().split("\n")))
