"""The store: sole owner of the DuckDB file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import pyarrow as pa

    from collector.store.protocol import Store
    from collector.store.quack import QuackServer

__all__ = ["fill_store", "open_lake", "open_store", "quack_server"]


def open_store(path: Path | str, *, read_only: bool = False, memory: str | None = None) -> Store:
    """Open a database file, made new if need be; ``memory`` bounds DuckDB's own memory, as in ``4GB``.

    Raises ``StoreBusyError`` when another process holds it and ``SchemaVersionError`` when it is too new.
    """
    from collector.store.duckdb_store import DuckDBStore  # noqa: PLC0415  (loads DuckDB, which a client does not need)

    return DuckDBStore(path, read_only=read_only, memory=memory)


def open_lake(url: str, data: str, collector: str, *, memory: str | None = None) -> Store:
    """Open a DuckLake, made new if need be, for the collector of this name.

    ``data`` is where its Parquet files are, a folder or an ``s3://`` address. Raises ``StoreError`` when its
    extension is not there or its catalog does not answer.
    """
    from collector.store.lake_store import LakeStore  # noqa: PLC0415  (as above)

    return LakeStore(url, data, collector, memory=memory)


def fill_store(path: Path, schema_version: int, tables: Iterable[tuple[str, pa.RecordBatchReader]]) -> dict[str, int]:
    """Make a database file of the tables of a snapshot, up to date and durable; return the rows of each.

    The file must not exist. Raises ``SchemaVersionError`` when the snapshot is of a newer version, and ``StoreError``
    when it cannot be made; what is there of it then is no database.
    """
    from collector.store.filling import fill_file  # noqa: PLC0415  (as above)

    return fill_file(path, schema_version, tables)


def quack_server(
    host: str, port: int, admit: Callable[[str], Callable[[str], pa.Table]], *, memory: str
) -> QuackServer:
    """Return a server of DuckDB's remote protocol, not yet started.

    ``admit`` takes a client's token and returns what answers its statements; both raise ``LithoscopeError`` to refuse.
    ``memory`` is what answers may take until they are read. Raises ``StoreError`` where DuckDB has no such extension.
    """
    from collector.store.quack import QuackServer  # noqa: PLC0415  (as above)

    return QuackServer(host, port, admit, memory=memory)
