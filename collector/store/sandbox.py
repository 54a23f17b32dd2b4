"""One reading statement, bounded in time, rows and bytes, and nothing else.

Four walls stand behind each other: the kind of statement DuckDB's parser finds, the functions its syntax tree names,
a read-only transaction, and settings that shut files, the network and Python's variables out.
"""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from collector.errors import QueryError
from collector.store.lean import use_lean_views
from collector.store.query_errors import query_error

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
    "lock_configuration": "true",
}

# Table functions by name, because a new one must not be allowed by forgetting it: in 1.5 and 2.0, enable_logging()
# writes files, checkpoint() writes the database, arrow_scan() reads any address and ends the process, and query()
# would hide all of them in a string.
TABLE_FUNCTIONS = frozenset(
    {
        "duckdb_columns",
        "duckdb_constraints",
        "duckdb_databases",
        "duckdb_functions",
        "duckdb_indexes",
        "duckdb_keywords",
        "duckdb_memory",
        "duckdb_schemas",
        "duckdb_tables",
        "duckdb_types",
        "duckdb_views",
        "generate_series",
        "histogram",
        "histogram_values",
        "icu_calendar_names",
        "json_each",
        "json_tree",
        "pg_timezone_names",
        "pragma_database_size",
        "pragma_show",
        "pragma_table_info",
        "pragma_version",
        "range",
        "repeat",
        "repeat_row",
        "summary",
        "trace_spans",
        "unnest",
    }
)

# Scalar functions that change something: a sequence, the log, another query's random numbers.
REFUSED_FUNCTIONS = frozenset({"nextval", "setval", "setseed", "write_log"})

_EXPLAIN = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*explain\b(?:\s+analyze\b)?(?:\s*\(\s*(?:analyze|format)\b[^()']*\))?", re.IGNORECASE
)
_SERIALIZE = "SELECT json_serialize_sql($sql::VARCHAR)"
_INTERRUPT_EVERY_S = 0.05
_BATCH_ROWS = 65_536  # rows that may be read past a limit before it is noticed


def run_read(
    cursor: duckdb.DuckDBPyConnection, sql: str, limits: QueryLimits, stop: threading.Event | None = None
) -> pa.Table:
    """Answer one SELECT, EXPLAIN of a SELECT, DESCRIBE, SHOW or SUMMARIZE, in the statement's own order.

    The cursor belongs to this call alone. Afterwards it has no open transaction. Raises ``QueryError``, and
    ``StoreError`` when the database itself fails. Setting ``stop`` ends it as the time limit does. A single call of a
    scalar function (``repeat('x', 1e9)``) cannot be interrupted, so a query may end later than its time limit, but no
    later than its present vector.
    """
    ending = _Ending(limits.seconds, stop or threading.Event())
    try:
        with _interrupted(cursor, ending):
            use_lean_views(cursor, _check_is_read(cursor, sql), sql)
        with _read_only(cursor), _interrupted(cursor, ending):
            return _collect(cursor, sql, limits, ending)
    except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
        raise query_error(cursor, error, limits) from error


def _check_is_read(cursor: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """Return the objects of the syntax tree of a statement that reads; raise ``QueryError`` for any other."""
    if "\0" in sql or not _is_unicode(sql):
        raise QueryError("The query is not text: it holds a NUL or half a surrogate pair.", hint="Send UTF-8.")
    statements = cursor.extract_statements(sql)
    if len(statements) != 1:
        raise _not_a_read(f"Expected one statement, found {len(statements)}.", sql)
    try:
        kind = statements[0].type
    except ValueError as error:  # one that DuckDB's Python has no name for, UPDATE EXTENSIONS in 2.0
        raise _not_a_read("A query may only read.", sql) from error
    if kind == duckdb.StatementType.EXPLAIN:
        return _check_is_read(cursor, _explained(sql))
    if kind != duckdb.StatementType.SELECT:
        raise _not_a_read(f"A query may only read, and this is {kind.name}.", sql)
    tree = _syntax_tree(cursor, sql)
    _check_tree(tree, sql)
    return tree


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _explained(sql: str) -> str:
    """The statement behind EXPLAIN, which DuckDB would run for ANALYZE whatever it is, even CHECKPOINT and COMMIT."""
    head = _EXPLAIN.match(sql)
    if head is None:
        raise _not_a_read("EXPLAIN must come first.", sql)
    rest = sql[head.end() :]
    if _EXPLAIN.match(rest):
        raise _not_a_read("EXPLAIN of EXPLAIN explains nothing.", sql)
    return rest


def _syntax_tree(cursor: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """All objects of DuckDB's syntax tree, flat."""
    row = cursor.execute(_SERIALIZE, {"sql": sql}).fetchone()
    objects: list[dict[str, Any]] = []

    def keep(item: dict[str, Any]) -> dict[str, Any]:
        objects.append(item)
        return item

    try:
        tree = json.loads(row[0] if row else "null", object_hook=keep)
    except RecursionError as error:
        raise QueryError("The query is nested too deeply.", hint="Split it with WITH.") from error
    if not tree or tree["error"]:
        raise _not_a_read("A query may only read.", sql)
    return objects


def _check_tree(objects: list[dict[str, Any]], sql: str) -> None:
    for item in objects:
        kind, name = str(item.get("type")), str(item.get("function_name", "")).lower()
        if kind.endswith("_QUERY_NODE"):  # INSERT, UPDATE, DELETE in WITH, new in DuckDB 2.0, is part of a SELECT
            raise _not_a_read("A query may only read, and this WITH changes data.", sql)
        if name in REFUSED_FUNCTIONS:
            raise _not_a_read(f"The function {name} may not be used in a query.", sql)
        if kind == "TABLE_FUNCTION":
            _check_table_function(str(item["function"]["function_name"]).lower(), sql)


def _check_table_function(name: str, sql: str) -> None:
    if name not in TABLE_FUNCTIONS:
        raise _not_a_read(f"The table function {name} may not be used in a query.", sql)


def _not_a_read(message: str, sql: str) -> QueryError:
    hint = "Send one SELECT, EXPLAIN, DESCRIBE, SHOW or SUMMARIZE of the views."
    if re.search(r"\bpivot\b", sql, re.IGNORECASE):
        hint = "PIVOT needs its values named: PIVOT … ON column IN (…)."
    return QueryError(message, code="not_a_read", hint=hint)


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
