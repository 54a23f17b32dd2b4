"""DuckDB's extensions: loaded where they are installed, and a sentence that says how to get them where they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from collector.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

_HAS_THEM = "1.5.5"  # for DuckDB 2.0 they do not exist yet
_FILES = {"postgres": "postgres_scanner", "sqlite": "sqlite_scanner"}


def load_extensions(connection: duckdb.DuckDBPyConnection, names: Iterable[str], *, wanted_by: str, page: str) -> None:
    """Load extensions, by their names for INSTALL; raises ``StoreError`` for the first that is not there."""
    for name in names:
        try:
            connection.execute(f"LOAD {_FILES.get(name, name)}")
        except duckdb.Error as error:
            raise StoreError(
                f"{wanted_by} needs DuckDB's extension {name}, and DuckDB {duckdb.__version__} does not have it here: "
                f"{_remedy(name)}; see {page}."
            ) from error


def _remedy(name: str) -> str:
    install = f"run `python -c \"import duckdb; duckdb.sql('INSTALL {name}')\"` once while online"
    if duckdb.__version__.startswith("1."):
        return install
    return f"install duckdb=={_HAS_THEM}, which has it, and {install}"
