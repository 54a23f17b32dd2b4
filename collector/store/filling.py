"""A new database file made of the tables of a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from collector.errors import StoreError
from collector.store import migrations
from collector.store.cursors import registered, transaction
from collector.store.database import connect
from collector.store.snapshots import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa


_MEMORY = "1GB"  # as a collector has by default


def fill_file(path: Path, schema_version: int, tables: Iterable[tuple[str, pa.RecordBatchReader]]) -> dict[str, int]:
    """See ``collector.store.fill_store``."""
    migrations.check_version(schema_version, "The backup")
    connection = connect(str(path), memory=_MEMORY)
    try:
        rows = _fill(connection, schema_version, tables)
        connection.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise StoreError(f"{path} could not be filled: {str(error).partition(chr(10))[0]}") from error
    finally:
        connection.close()
    return rows


def _fill(
    connection: duckdb.DuckDBPyConnection, schema_version: int, tables: Iterable[tuple[str, pa.RecordBatchReader]]
) -> dict[str, int]:
    """Make the tables as they were in that version, fill them, and migrate what is in them."""
    migrations.migrate(connection, 0, schema_version)
    known = {name for (name,) in connection.execute(TABLES).fetchall()}
    rows = {}
    for name, reader in tables:
        if name not in known:
            raise StoreError(f"There is no table {name} in version {schema_version} of the schema.")
        rows[name] = _replace(connection, name, reader)
    migrations.migrate(connection, schema_version)
    return rows


def _replace(connection: duckdb.DuckDBPyConnection, name: str, reader: pa.RecordBatchReader) -> int:
    """Some tables were made with a row in them, which the snapshot has too."""
    with registered(connection, "incoming", reader), transaction(connection):
        connection.execute(f"DELETE FROM store.{name}")
        return int(connection.execute(f"INSERT INTO store.{name} BY NAME FROM incoming").fetchall()[0][0])
