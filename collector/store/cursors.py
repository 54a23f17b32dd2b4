"""What every statement that writes needs: a transaction that ends, and tables that a statement can name."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


@contextmanager
def transaction(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what happens in the block, or nothing of it."""
    cursor.execute("BEGIN")
    try:
        yield
    except BaseException:
        # A failed COMMIT has ended the transaction already; then there is nothing to roll back.
        with suppress(duckdb.Error):
            cursor.execute("ROLLBACK")
        raise
    else:
        cursor.execute("COMMIT")


@contextmanager
def registered(cursor: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> Iterator[None]:
    """Let the cursor's statements name an Arrow table."""
    cursor.register(name, table)
    try:
        yield
    finally:
        with suppress(duckdb.Error):  # in a transaction that has failed, where this would hide the reason
            cursor.unregister(name)
