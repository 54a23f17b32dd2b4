"""The open DuckDB file: a cursor for each call, and opening it anew when a failure has left it in doubt."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from collector.errors import SchemaVersionError, StoreBusyError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# DuckDB's own words: every message names the path, and "block" is in many of them.
_HELD = re.compile(r"could not set lock|used by another process", re.IGNORECASE)
_OTHER_DUCKDB = re.compile(r"database file with version number", re.IGNORECASE)
_INVALIDATING = (duckdb.FatalException, duckdb.InternalException)  # DuckDB refuses everything after one of these
_DOUBTFUL = (  # after one of these, DuckDB may have rolled back what its file has as committed
    *_INVALIDATING,
    OSError,
    duckdb.ConnectionException,
    duckdb.IOException,
    duckdb.TransactionException,
)
_CLEARED_S = 5.0  # for queries to end before the file is closed; the next try is not far

# Small batches collect in DuckDB's write-ahead log; at its default of 16 MiB, checkpoints, each of which rewrites the
# last row group, take a third of the insert time at 10,000 spans a second.
_CHECKPOINT = "256MB"
# What queries may put aside on disk: DuckDB would take nine tenths of what is free, and the durable log needs some.
_MOST_SPILLED = "4GB"


class Database:
    """One connection that never leaves; ``prepare`` is run on it before anybody else has a cursor.

    ``in_doubt`` says that only the file knows what was committed, or that DuckDB refuses to go on: open it anew.
    ``opening`` makes the connection of something else than a file, ``entering`` is run on each cursor first.
    """

    def __init__(
        self,
        path: str,
        prepare: Callable[[duckdb.DuckDBPyConnection], None],
        *,
        read_only: bool = False,
        memory: str | None = None,
        opening: Callable[[], duckdb.DuckDBPyConnection] | None = None,
        entering: str = "",
    ) -> None:
        self._path = path
        self._opening = opening or (lambda: connect(path, read_only=read_only, memory=memory))
        self._entering = entering
        self._prepare = prepare
        self._changed = threading.Condition()
        self._cursors = 0
        self._is_opening = self._is_useless = False
        self._connection = self._open()
        self.in_doubt = False

    def _open(self) -> duckdb.DuckDBPyConnection:
        connection = self._opening()
        try:
            self._prepare(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, duckdb.Error):
                raise _open_error(self._path, error) from error
            raise
        return connection

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one call; what DuckDB raises meanwhile becomes a ``StoreError``."""
        if self._is_useless:
            self.reopen()
        with self._changed:
            self._changed.wait_for(lambda: not self._is_opening)
            self._cursors += 1
        try:
            with self._connection.cursor() as cursor:
                if self._entering:
                    cursor.execute(self._entering)
                yield cursor
        except duckdb.Error as error:
            self._is_useless |= isinstance(error, _INVALIDATING)
            self.in_doubt |= self._is_useless
            raise StoreError(f"{self._path} could not be read or written: {one_line(error)}") from error
        finally:
            with self._changed:
                self._cursors -= 1
                self._changed.notify_all()

    def doubt(self, error: Exception) -> None:
        """Hear why a writing transaction failed."""
        self._is_useless |= isinstance(error, _INVALIDATING)
        self.in_doubt |= isinstance(error, _DOUBTFUL)

    def reopen(self) -> None:
        """Close the file and open it again; raises ``StoreError`` when it cannot be, and stays in doubt then.

        Calls that have a cursor come to their end before, and new ones wait.
        """
        if self._path == ":memory:":
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._is_opening)
            if not self.in_doubt:
                return  # another thread has done it
            self._is_opening = True
            try:
                if not self._changed.wait_for(lambda: self._cursors == 0, _CLEARED_S):
                    raise StoreError(f"{self._path} must be opened anew, and a query still reads it.")
                self._is_useless = True  # also when it cannot be opened: whoever comes next tries again
                self._connection.close()
                self._connection = self._open()
                self.in_doubt = self._is_useless = False
            finally:
                self._is_opening = False
                self._changed.notify_all()

    def close(self) -> None:
        """Write everything to the file and release it."""
        self._connection.close()


def connect(path: str, *, read_only: bool = False, memory: str | None = None) -> duckdb.DuckDBPyConnection:
    """Open a database file; raises ``StoreError`` when DuckDB cannot."""
    # Insertion order is not kept: it would hold back parallel inserts, and every view sorts where order matters.
    # No vacuum: an insert that is a little more than whole row groups leaves a small one behind, and merging those at
    # checkpoints writes everything twice. Row groups that are deleted as a whole are freed without it.
    config: dict[str, str | bool | int | float | list[str]] = {
        "preserve_insertion_order": "false",
        "checkpoint_threshold": _CHECKPOINT,
        "max_vacuum_tasks": "0",
        "max_temp_directory_size": _MOST_SPILLED,
    }
    if duckdb.__version__.startswith("1."):
        # It pushes filters from a join into PyArrow, which fail there for UUIDs and for integers of 2^63 and more.
        config["disabled_optimizers"] = "join_filter_pushdown"
    if memory:
        config["memory_limit"] = memory
    try:
        return duckdb.connect(path, read_only=read_only, config=config)
    except duckdb.Error as error:
        raise _open_error(path, error) from error


def _open_error(path: str, error: duckdb.Error) -> StoreError:
    text = one_line(error)
    if _HELD.search(text):
        return StoreBusyError(
            f"{path} is held by another process: ask that one with --url, stop it, or give another file with --db."
        )
    if _OTHER_DUCKDB.search(text):
        return SchemaVersionError(
            f"{path} was written by another version of DuckDB ({text}): upgrade Lithoscope, or give another file."
        )
    return StoreError(f"{path} cannot be opened as a DuckDB database ({text}): give another file with --db.")


def one_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return str(error).partition("\n")[0].strip()
