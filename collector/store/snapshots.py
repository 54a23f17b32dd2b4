"""All tables of a database file as of one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb
    import pyarrow as pa

_BATCH_ROWS = 122_880  # a row group, which a reader has in memory anyway
TABLES = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'store' ORDER BY table_name"


@dataclass(frozen=True, slots=True)
class DuckDBSnapshot:
    """Implements ``collector.store.protocol.Snapshot`` by a transaction that reads: writers do not wait for it."""

    cursor: duckdb.DuckDBPyConnection
    schema_version: int

    def tables(self) -> Iterator[tuple[str, pa.RecordBatchReader]]:
        """See ``Snapshot``."""
        for (name,) in self.cursor.execute(TABLES).fetchall():
            with self.cursor.sql(f"FROM store.{name}").to_arrow_reader(_BATCH_ROWS) as reader:
                yield name, reader
