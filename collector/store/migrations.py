"""The schema's versions: named steps in a ledger inside the file, each applied with its record in one transaction."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from collector.errors import SchemaVersionError, StoreError
from collector.store.sql import statement


@dataclass(frozen=True, slots=True)
class Migration:
    """One step; ``sql`` names its file."""

    version: int
    name: str
    sql: str


MIGRATIONS = (
    Migration(1, "spans, logs, metrics and where they come from", "schema_1"),
    Migration(2, "what the analysis keeps of each minute", "schema_2"),
    Migration(3, "services, edges and resources by minute", "schema_3"),
    Migration(4, "the coupling index and what the rules find, by hour", "schema_4"),
    Migration(5, "up to where retention has deleted", "schema_5"),
)
VERSION = MIGRATIONS[-1].version
VIEWS = (
    "view_plain_spans",
    "view_plain_logs",
    "view_plain_metrics",
    "view_all_spans",
    "view_spans",
    "view_plain_otel_traces",
    "view_otel_traces",
    "view_traces",
    "view_logs",
    "view_metrics",
    "view_resources",
    "view_scopes",
    "view_all_latency",
    "view_all_paths",
    "view_all_node_latency",
    "view_all_edge_latency",
    "view_latency_quantiles",
    "view_path_parts",
    "view_saturations",
    "view_endpoints",
    "view_findings",
    "view_coupling_index",
    "view_services",
    "view_edges",
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


def check_ownership(connection: duckdb.DuckDBPyConnection, found: int, path: str) -> None:
    """Raise ``StoreError`` when a file without our schema holds something else: it is not ours to change."""
    strangers = (
        "SELECT table_name FROM duckdb_tables() UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal"
    )
    names = [] if found else connection.execute(f"{strangers} LIMIT 1").fetchall()
    if names:
        raise StoreError(f"{path} is not a Lithoscope database, it holds {names[0][0]!r}: give another file with --db.")


def migrate(connection: duckdb.DuckDBPyConnection, found: int, wanted: int | None = None) -> None:
    """Apply the steps that the file does not have yet, and renew the views; an older version is made without views."""
    for step in MIGRATIONS:
        if step.version > found and (wanted is None or step.version <= wanted):
            _apply(connection, step)
            # DuckDB 1.5 cannot replay an ENUM outside "main" from its write-ahead log: a crash would leave a dead file.
            connection.execute("CHECKPOINT")
    for view in VIEWS if wanted in (None, VERSION) else ():
        connection.execute(statement(view))


def _apply(connection: duckdb.DuckDBPyConnection, step: Migration) -> None:
    connection.execute("BEGIN")
    try:
        connection.execute(statement(step.sql))
        record = "INSERT INTO store.migrations VALUES ($version, $name, $applied_at)"
        applied_at = datetime.now(UTC).replace(tzinfo=None)
        connection.execute(record, {"version": step.version, "name": step.name, "applied_at": applied_at})
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a COMMIT that failed has ended the transaction
            connection.execute("ROLLBACK")
        raise
