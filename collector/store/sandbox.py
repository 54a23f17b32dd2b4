"""One reading statement, bounded in time, rows and bytes, and nothing else.

Five walls stand behind each other: the kind of statement DuckDB's parser finds, what its syntax tree says
(``collector.store.allowed``), a look at what functions would make of their arguments before they do
(``collector.store.bounding``), a read-only transaction, and settings that shut files, the network and Python's
variables out.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import pyarrow as pa

from collector.errors import QueryError
from collector.store.allowed import check_text, check_tree, not_a_read
from collector.store.bounding import bound_values
from collector.store.lean import use_lean_views
from collector.store.query_errors import query_error
from collector.store.syntax import Node, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.store.protocol import QueryLimits

# In this order: no setting can be changed after the last one. `disabled_filesystems` is left out on purpose: with it a
# checkpoint fails, and a failed checkpoint invalidates the whole database.
HARDENING = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
    "python_enable_replacements": "false",
    "python_scan_all_frames": "false",
    **({} if duckdb.__version__.startswith("1.") else {"allowed_configs": "['operator_memory_limit']"}),
    "lock_configuration": "true",
}

_EXPLAIN = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*explain\b(?:\s+analyze\b)?(?:\s*\(\s*(?:analyze|format)\b[^()']*\))?", re.IGNORECASE
)
_INTERRUPT_EVERY_S = 0.05
_LEAST_MEMORY = 32 * 1024**2
_BATCH_ROWS = 65_536  # rows that may be read past a limit before it is noticed


def run_read(
    cursor: duckdb.DuckDBPyConnection, sql: str, limits: QueryLimits, stop: threading.Event | None = None
) -> pa.Table:
    """Answer one SELECT, EXPLAIN of a SELECT, DESCRIBE, SHOW or SUMMARIZE, in the statement's own order.

    The cursor belongs to this call alone. Afterwards it has no open transaction. Raises ``QueryError``, and
    ``StoreError`` when the database itself fails. Setting ``stop`` ends it as the time limit does.
    """
    ending = _Ending(limits.seconds, stop or threading.Event())
    try:
        with _interrupted(cursor, ending):
            _limit_memory(cursor, limits)
            checked = _check_is_read(cursor, sql)
            use_lean_views(cursor, checked.objects, sql)
        with _read_only(cursor), _interrupted(cursor, ending):
            return _collect(cursor, checked.sql, limits, ending)
    except UnicodeDecodeError as error:  # of a refusal by DuckDB 1.5, whose words may be no text
        raise not_a_read("A query may only read what is stored.", sql) from error
    except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
        raise query_error(cursor, error, limits) from error


def _limit_memory(cursor: duckdb.DuckDBPyConnection, limits: QueryLimits) -> None:
    """Let this cursor's sorts and hash tables take no more than a query may; new in DuckDB 2.0."""
    if "allowed_configs" in HARDENING:
        cursor.execute(f"SET operator_memory_limit = '{max(limits.bytes, _LEAST_MEMORY)}B'")


class _Checked(NamedTuple):
    """What to run for a query, and the objects of its own syntax tree."""

    sql: str
    objects: list[Node]


def _check_is_read(cursor: duckdb.DuckDBPyConnection, sql: str) -> _Checked:
    """Return a statement that reads, its values bounded; raise ``QueryError`` for any other."""
    if "\0" in sql or not _is_unicode(sql):
        raise QueryError("The query is not text: it holds a NUL or half a surrogate pair.", hint="Send UTF-8.")
    check_text(sql)
    statements = cursor.extract_statements(sql)
    if len(statements) != 1:
        raise not_a_read(f"Expected one statement, found {len(statements)}.", sql)
    try:
        kind = statements[0].type
    except ValueError as error:  # one that DuckDB's Python has no name for, UPDATE EXTENSIONS in 2.0
        raise not_a_read("A query may only read.", sql) from error
    if kind == duckdb.StatementType.EXPLAIN:
        head, explained = _split_explain(sql)
        inner = _check_is_read(cursor, explained)
        return _Checked(head + inner.sql, inner.objects)
    if kind != duckdb.StatementType.SELECT:
        raise not_a_read(f"A query may only read, and this is {kind.name}.", sql)
    tree = parse(cursor, sql)
    if tree is None:
        raise not_a_read("A query may only read.", sql)
    found = check_tree(tree, sql)
    return _Checked(bound_values(cursor, tree) or sql, found)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _split_explain(sql: str) -> tuple[str, str]:
    """EXPLAIN, and the statement behind it, which DuckDB would run for ANALYZE whatever it is, even CHECKPOINT."""
    head = _EXPLAIN.match(sql)
    if head is None:
        raise not_a_read("EXPLAIN must come first.", sql)
    rest = sql[head.end() :]
    if _EXPLAIN.match(rest):
        raise not_a_read("EXPLAIN of EXPLAIN explains nothing.", sql)
    return f"{head[0]} ", rest


@contextmanager
def _read_only(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    try:
        yield
    finally:
        cursor.execute("ROLLBACK")


class _Ending:
    """When a query must end: at its time limit, or when nobody waits for it."""

    def __init__(self, seconds: float, stop: threading.Event) -> None:
        self._deadline = time.monotonic() + seconds
        self._stop = stop

    def is_due(self) -> bool:
        return self._stop.is_set() or time.monotonic() > self._deadline


@contextmanager
def _interrupted(cursor: duckdb.DuckDBPyConnection, ending: _Ending) -> Iterator[None]:
    """Interrupt again and again: an interrupt that comes between two phases of a query is forgotten by DuckDB."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_INTERRUPT_EVERY_S):
            if ending.is_due():
                cursor.interrupt()

    watcher = threading.Thread(target=watch, name="query-time-limit", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _collect(cursor: duckdb.DuckDBPyConnection, sql: str, limits: QueryLimits, ending: _Ending) -> pa.Table:
    batches, rows, size = [], 0, 0
    with cursor.sql(sql).to_arrow_reader(_BATCH_ROWS) as reader:  # left open, it would bar the ROLLBACK
        for batch in reader:
            batches.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            _check_limits(rows, size, limits)
            if ending.is_due():
                raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")
        return pa.Table.from_batches(batches, reader.schema)


def _check_limits(rows: int, size: int, limits: QueryLimits) -> None:
    if rows > limits.rows:
        raise QueryError(
            f"The answer has more than {limits.rows:,} rows.",
            code="row_limit",
            hint="Aggregate, or add LIMIT; `lithoscope export` writes everything as Parquet.",
        )
    if size > limits.bytes:
        raise QueryError(
            f"The answer takes more than {limits.bytes:,} bytes.",
            code="memory_limit",
            hint="Select fewer columns or rows; attributes and events take most.",
        )
