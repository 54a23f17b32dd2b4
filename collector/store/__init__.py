"""The store: sole owner of the DuckDB file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from collector.store.protocol import Store

__all__ = ["open_store"]


def open_store(path: Path | str, *, read_only: bool = False, memory: str | None = None) -> Store:
    """Open a database file, made new if need be; ``memory`` bounds DuckDB's own memory, as in ``4GB``.

    Raises ``StoreBusyError`` when another process holds it and ``SchemaVersionError`` when it is too new.
    """
    from collector.store.duckdb_store import DuckDBStore  # noqa: PLC0415  (loads DuckDB, which a client does not need)

    return DuckDBStore(path, read_only=read_only, memory=memory)
