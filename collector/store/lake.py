"""A DuckLake as DuckDB attaches it: its extension, its tables, its views."""

from __future__ import annotations

import hashlib
import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import duckdb

from collector.errors import StoreError
from collector.store import migrations
from collector.store.cursors import transaction
from collector.store.database import connect, one_line
from collector.store.extensions import load_extensions
from collector.store.sandbox import HARDENING
from collector.store.sql import statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

ENTER = "USE lake"
PREFIX = "ducklake:"
_INLINED_ROWS = (
    100  # smaller inserts are rows of the catalog: 0.03 s instead of a file, which upkeep would have to merge
)
_KEPT_SNAPSHOTS = "INTERVAL 1 HOUR"  # longer than any query or backup may read one
_TRIES = 40
_LONGEST_PAUSE_S = 0.4  # a commit takes 0.02 to 0.2 s
_CONFLICT = re.compile(r"conflict|could not serialize|already exists|transaction is aborted", re.IGNORECASE)
_CATALOG = re.compile(r"ducklake|postgres|libpq|server closed|connection|TransactionContext", re.IGNORECASE)
_NOT_IN_A_LAKE = (  # a lake has neither keys nor enumerations
    (re.compile(r"^CREATE TYPE .*?;$", re.MULTILINE), ""),
    (re.compile(r"\bstore\.(span_kind|status_code)\b"), "VARCHAR"),
    (re.compile(r" PRIMARY KEY"), ""),
)
FLUSH = "ducklake_flush_inlined_data('lake', schema_name => 'store', table_name => '{table}')"
_UPKEEP_OF_TABLE = (
    FLUSH,
    "ducklake_merge_adjacent_files('lake', '{table}', schema => 'store')",
    "ducklake_rewrite_data_files('lake', '{table}', schema => 'store')",
)
_UPKEEP = (
    f"ducklake_expire_snapshots('lake', older_than => now() - {_KEPT_SNAPSHOTS})",
    f"ducklake_cleanup_old_files('lake', older_than => now() - {_KEPT_SNAPSHOTS})",
)
_CATALOGS = ("postgres", "sqlite")  # what an extension is for


def attach(url: str, data: str, memory: str | None) -> duckdb.DuckDBPyConnection:
    """Open a lake; raises ``StoreError`` when an extension or the catalog is not there."""
    if "://" not in data:
        # DuckDB makes one folder at a time once it may touch no others.
        Path(data, "store").mkdir(parents=True, exist_ok=True)
        data = f"{Path(data).resolve()}/"
    connection = connect(":memory:", memory=memory)
    try:
        load_extensions(connection, _extensions(url, data), wanted_by="A lake", page="docs/lake.md")
        place = _quoted(data if data.endswith("/") else f"{data}/")
        options = f"DATA_PATH {place}, DATA_INLINING_ROW_LIMIT {_INLINED_ROWS}"
        retrying(lambda: connection.execute(f"ATTACH {_quoted(url)} AS lake ({options})"))
        connection.execute(ENTER)
        connection.execute(f"SET allowed_directories = [{place}]")
    except duckdb.Error as error:
        connection.close()
        raise StoreError(f"The lake cannot be opened ({_without_password(one_line(error))}): check --store.") from error
    return connection


def _extensions(url: str, data: str) -> list[str]:
    catalog = url.removeprefix(PREFIX).partition(":")[0]
    return [
        "ducklake",
        *([catalog] if catalog in _CATALOGS else []),
        *(["httpfs"] if "://" in data else []),
    ]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _without_password(text: str) -> str:
    return re.sub(r"password\s*=\s*('[^']*'|\S+)", "password=…", text)


def retrying(work: Callable[[], T]) -> T:
    """Do something again as long as another collector's commit came before its own."""
    for left in range(_TRIES, 0, -1):
        try:
            return work()
        except (duckdb.Error, StoreError) as error:
            if left == 1 or not _CONFLICT.search(f"{error} {error.__cause__}"):
                raise
            time.sleep(random.uniform(0.01, _LONGEST_PAUSE_S))  # noqa: S311  (collectors that met once shall not again)
    raise AssertionError


def is_passing(error: Exception) -> bool:
    """Whether an error is the catalog's or a conflict, and no fault of the data."""
    return bool(_CATALOG.search(str(error)))


def upkeep_steps(tables: Iterable[str]) -> Iterator[str]:
    """Return what keeps these tables small and fast, and then what deletes the files that they no longer need."""
    for table in tables:
        for step in _UPKEEP_OF_TABLE:
            yield step.format(table=table)
    yield from _UPKEEP


def prepare(connection: duckdb.DuckDBPyConnection, collector: str, name: str) -> None:
    """Make the tables and views that are missing, those of this collector too, and shut the connection in."""
    found = migrations.stored_version(connection)
    migrations.check_version(found, name)
    migrations.check_ownership(connection, found, name)
    retrying(lambda: _migrate(connection))
    retrying(lambda: _renew_views(connection))
    retrying(lambda: _in_transaction(connection, statement("lake_collector", collector=collector)))
    for setting, value in HARDENING.items():
        connection.execute(f"SET {setting} = {value}")


def _in_transaction(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with transaction(connection):
        connection.execute(sql)


def _migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """All in one transaction: of collectors that start together, one makes them."""
    found = migrations.stored_version(connection)
    if found == migrations.VERSION:
        return
    with transaction(connection):
        for step in migrations.MIGRATIONS:
            if step.version > found:
                connection.execute(for_lake(statement(step.sql)))
                record = "INSERT INTO store.migrations VALUES ($version, $name, now()::TIMESTAMP)"
                connection.execute(record, {"version": step.version, "name": step.name})
        if found == 0:
            connection.execute(statement("lake_schema"))


def for_lake(sql: str) -> str:
    """Return a statement that makes tables without what a lake does not have."""
    for pattern, instead in _NOT_IN_A_LAKE:
        sql = pattern.sub(instead, sql)
    return sql


def _renew_views(connection: duckdb.DuckDBPyConnection) -> None:
    texts = [statement(view) for view in migrations.VIEWS]
    digest = hashlib.sha256("".join(texts).encode()).hexdigest()
    if connection.execute("SELECT digest FROM store.views").fetchall() == [(digest,)]:
        return
    with transaction(connection):
        for text in texts:
            connection.execute(text)
        connection.execute("UPDATE store.views SET digest = $digest", {"digest": digest})
