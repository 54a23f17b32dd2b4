"""The schema's versions: named steps in a ledger inside the file, each applied with its record in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.errors import SchemaVersionError
from collector.store.sql import statement

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Migration:
    """One step; ``sql`` names its file."""

    version: int
    name: str
    sql: str


MIGRATIONS = (Migration(1, "spans, logs, metrics and where they come from", "schema_1"),)
VERSION = MIGRATIONS[-1].version
VIEWS = (
    "view_plain_spans",
    "view_plain_logs",
    "view_plain_metrics",
    "view_all_spans",
    "view_spans",
    "view_traces",
    "view_logs",
    "view_metrics",
    "view_resources",
    "view_scopes",
    "macro_trace_spans",
)


def stored_version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the schema version of an open file, 0 for an empty one."""
    ledger = "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'store' AND table_name = 'migrations'"
    if connection.execute(ledger).fetchall()[0][0] == 0:
        return 0
    version: int = connection.execute("SELECT coalesce(max(version), 0) FROM store.migrations").fetchall()[0][0]
    return version


def check_version(found: int, path: str) -> None:
    """Raise ``SchemaVersionError`` when the file was written by a newer version; called before any change."""
    if found > VERSION:
        raise SchemaVersionError(
            f"{path} has schema version {found}, and this Lithoscope knows versions up to {VERSION}: "
            "upgrade Lithoscope, or give another file with --db."
        )


def migrate(connection: duckdb.DuckDBPyConnection, found: int) -> None:
    """Apply the steps that the file does not have yet, and renew the views."""
    for step in MIGRATIONS:
        if step.version > found:
            _apply(connection, step)
    for view in VIEWS:
        connection.execute(statement(view))


def _apply(connection: duckdb.DuckDBPyConnection, step: Migration) -> None:
    connection.execute("BEGIN")
    try:
        connection.execute(statement(step.sql))
        record = "INSERT INTO store.migrations VALUES ($version, $name, now()::TIMESTAMP)"
        connection.execute(record, {"version": step.version, "name": step.name})
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
