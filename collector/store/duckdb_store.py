"""The store in a DuckDB file: one connection that never leaves, one cursor a call, one writer at a time."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from collector.errors import QueryError, StoreError, UnstorableError
from collector.store import hours, migrations, minutes
from collector.store.attribute_map import shape_attributes
from collector.store.clock import storable
from collector.store.cursors import registered, transaction
from collector.store.database import Database, one_line
from collector.store.protocol import (
    Appended,
    Buckets,
    LogPosition,
    QueryLimits,
    RolledMinutes,
    Touched,
    TraceWindow,
    Usage,
)
from collector.store.recent import IDENTITY, WINDOW_S, RecentSpans, Words, repeated, span_hashes
from collector.store.sandbox import HARDENING, run_read
from collector.store.snapshots import DuckDBSnapshot
from collector.store.sql import statement
from collector.store.trace_minutes import TraceMinutes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from collector.batch import Batch

WINDOW = timedelta(seconds=WINDOW_S)
_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_TRACE_LIMITS = QueryLimits(rows=1_000_000)
PASSING = (  # what goes wrong with the disk, the memory or the file; anything else is the fault of the data
    OSError,
    MemoryError,
    duckdb.ConnectionException,
    duckdb.FatalException,
    duckdb.InterruptException,
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,
)
_TIME = {  # how old a row is; OTLP lets logs and metrics come without a time
    "spans": "start_time",
    "logs": 'coalesce("time", observed_time, received::TIMESTAMP_NS)',
    "metrics": 'coalesce("time", received::TIMESTAMP_NS)',
}

_ROW_GROUP = 122_880  # DuckDB's: what deleted rows give back, they give back by these

# The first moments of a query write its temporary views, and DuckDB refuses a checkpoint meanwhile.
_CHECKPOINT_PAUSES_S = (0.01, 0.02, 0.04, 0.08, 0.16)


class DuckDBStore:
    """Implements ``collector.store.protocol.Store`` on a DuckDB file, or in memory for the path ``:memory:``."""

    def __init__(self, path: Path | str, *, read_only: bool = False, memory: str | None = None) -> None:
        self._path = str(path)
        self._read_only = read_only
        self._writing = threading.Lock()
        self._touching = threading.Lock()
        self._trace_minutes = TraceMinutes()
        self._recent = RecentSpans()
        self._last_arrival = datetime.min  # noqa: DTZ901  (DuckDB's times have no zone: UTC throughout)
        self._database = self._open_database(memory)

    def _open_database(self, memory: str | None) -> Database:
        return Database(self._path, self._prepare, read_only=self._read_only, memory=memory)

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        found = migrations.stored_version(connection)
        migrations.check_version(found, self._path)
        migrations.check_ownership(connection, found, self._path)
        if self._read_only and found != migrations.VERSION:
            raise StoreError(
                f"{self._path} is not a Lithoscope database of this version: start it once with "
                f"`lithoscope serve --db {self._path}`, or give another file with --db."
            )
        if not self._read_only:
            migrations.migrate(connection, found)
            self._remember_stored(connection)
        for setting, value in HARDENING.items():
            connection.execute(f"SET {setting} = {value}")

    def _remember_stored(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Fill the filter with the spans of the last minutes: a retry may come after a restart."""
        since = now() - WINDOW
        reader = connection.sql(statement("recent_spans"), params={"since": since}).to_arrow_reader(1 << 20)
        for batch in reader:
            self._recent.add(span_hashes(pa.Table.from_batches([batch])), time.monotonic())
        latest = connection.execute(statement("latest_arrival")).fetchall()[0][0]
        self._last_arrival = max(self._last_arrival, latest or now())

    # -- writing ------------------------------------------------------------------------------------------------------

    def append(self, batch: Batch, through: LogPosition) -> Appended:
        """See ``Store.append``."""
        with self._writer() as cursor:
            try:
                return self._append(cursor, batch, through)
            except Exception as error:
                self._database.doubt(error)
                if isinstance(error, PASSING):
                    raise
                raise UnstorableError(f"{self._path} cannot take a batch: {one_line(error)}") from error

    def _append(self, cursor: duckdb.DuckDBPyConnection, batch: Batch, through: LogPosition) -> Appended:
        hashes = span_hashes(batch.spans)
        with transaction(cursor):
            self._intern(cursor, "resources", batch.resources)
            self._intern(cursor, "scopes", batch.scopes)
            fresh = self._fresh(cursor, batch.spans, hashes)
            spans = batch.spans if fresh.all() else batch.spans.filter(pa.array(fresh))
            received = self._arrival()
            for name, table in (("spans", spans), ("logs", batch.logs), ("metrics", batch.metrics)):
                self._insert(cursor, name, table, received)
            self._record(cursor, batch.requests, through, received)
        self._recent.add(hashes[fresh], time.monotonic())
        duplicates = batch.spans.num_rows - spans.num_rows
        return Appended(batch.rows - duplicates, duplicates)

    def _arrival(self) -> datetime:
        """The time of arrival, later than all before it whatever the clock does: the analysis goes by it."""
        self._last_arrival = max(now(), self._last_arrival + timedelta(microseconds=1))
        return self._last_arrival

    def _intern(self, cursor: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
        """Give each new resource or scope the next id."""
        if table.num_rows:
            with registered(cursor, f"incoming_{name}", table):
                cursor.execute(statement(f"insert_{name}"))

    def _fresh(self, cursor: duckdb.DuckDBPyConnection, spans: pa.Table, hashes: Words) -> Any:
        """A mask of the spans to store: the filter names suspects, and only those are looked up."""
        fresh = ~repeated(spans, hashes)
        suspects = np.flatnonzero(self._recent.contains(hashes) & fresh)
        if len(suspects):
            columns = spans.select(IDENTITY).take(pa.array(suspects))
            with registered(cursor, "suspects", columns.append_column("row", pa.array(suspects))):
                since = now() - 2 * WINDOW
                known = cursor.execute(statement("known_spans"), {"since": since}).fetchall()
            fresh[[row for (row,) in known]] = False
        return fresh

    def _insert(self, cursor: duckdb.DuckDBPyConnection, name: str, table: pa.Table, received: datetime) -> None:
        if not table.num_rows:
            return
        shaped = shape_attributes(table)
        with registered(cursor, f"incoming_{name}", shaped.table):
            sql = statement(f"insert_{name}", attributes=shaped.attributes)
            cursor.execute(sql, {"received": received})

    def _record(
        self, cursor: duckdb.DuckDBPyConnection, requests: tuple[bytes, ...], through: LogPosition, received: datetime
    ) -> None:
        cursor.execute(statement("record_position"), through._asdict())
        if requests:
            cursor.execute(statement("forget_requests"), {"since": received - WINDOW})
            cursor.execute(statement("record_requests"), {"received": received, "digests": list(requests)})

    def touch_minutes(self, horizon: int) -> Touched:
        """See ``Store.touch_minutes``."""
        with self._touching:
            with self._writing:  # what has arrived by now is in the file
                through = self._last_arrival
            with self._cursor() as cursor:  # inserts do not wait for what is read
                fresh = minutes.find_fresh(cursor, self._trace_minutes, through, horizon)
            with self._writer() as cursor, transaction(cursor):
                touched = minutes.touch_minutes(cursor, fresh, horizon)
            if fresh:
                self._trace_minutes.add(fresh.traces)
            return touched

    def finish_minutes(self, numbers: Sequence[int], rollups: Mapping[str, pa.Table]) -> None:
        """See ``Store.finish_minutes``."""
        with self._writer() as cursor, transaction(cursor):
            minutes.finish_minutes(cursor, numbers, rollups)

    def rolled_minutes(self, begin: int, end: int) -> RolledMinutes:
        """See ``Store.rolled_minutes``."""
        with self._cursor() as cursor, transaction(cursor):
            return minutes.rolled_minutes(cursor, begin, end)

    def sum_rollups(self, begin: int, end: int, environment: str) -> Mapping[str, pa.Table]:
        """See ``Store.sum_rollups``."""
        with self._cursor() as cursor, transaction(cursor):
            return minutes.sum_rollups(cursor, begin, end, environment)

    def bucket_rollups(self, names: Sequence[str], buckets: Buckets, environment: str) -> Mapping[str, pa.Table]:
        """See ``Store.bucket_rollups``."""
        with self._cursor() as cursor, transaction(cursor):
            return minutes.bucket_rollups(cursor, names, buckets, environment)

    def pending_hours(self) -> list[int]:
        """See ``Store.pending_hours``."""
        with self._cursor() as cursor:
            return hours.pending_hours(cursor)

    def finish_hour(self, hour: int, judged: Mapping[str, pa.Table] | None) -> None:
        """See ``Store.finish_hour``."""
        with self._writer() as cursor, transaction(cursor):
            hours.finish_hour(cursor, hour, judged)

    def judged_hours(self, begin: int, end: int, environment: str) -> Mapping[str, pa.Table]:
        """See ``Store.judged_hours``."""
        with self._cursor() as cursor, transaction(cursor):
            return hours.judged_hours(cursor, begin, end, environment)

    def delete_before(self, unix_nano: int, *, rows: int) -> int:
        """See ``Store.delete_before``."""
        with self._writer() as cursor, transaction(cursor):
            return self._delete_before(cursor, unix_nano, rows)

    def _delete_before(self, cursor: duckdb.DuckDBPyConnection, unix_nano: int, rows: int) -> int:
        deleted: dict[str, int] = {}
        for table, column in _TIME.items():
            sql = statement("delete_before", table=table, time=column)
            parameters = {"unix_nano": unix_nano, "rows": rows}
            deleted[table] = cursor.execute(sql, parameters).fetchall()[0][0]
        if deleted["spans"] or deleted["metrics"]:  # of logs nothing is kept
            cursor.execute(statement("record_deletion"), {"unix_nano": unix_nano})
        return sum(deleted.values())

    def delete_unused(self) -> None:
        """See ``Store.delete_unused``."""
        with self._writer() as cursor:
            for table in ("resource", "scope"):
                cursor.execute(statement("delete_unused", table=table)).fetchall()

    def compact(self) -> None:
        """See ``Store.compact``."""
        with self._writer() as cursor:
            for pause in _CHECKPOINT_PAUSES_S:
                try:
                    cursor.execute("CHECKPOINT").fetchall()
                    return
                except duckdb.TransactionException:
                    time.sleep(pause)
            cursor.execute("CHECKPOINT").fetchall()

    # -- reading ------------------------------------------------------------------------------------------------------

    def query(self, sql: str, limits: QueryLimits, stop: threading.Event | None = None) -> pa.Table:
        """See ``Store.query``."""
        with self._cursor() as cursor:
            return run_read(cursor, sql, limits, stop)

    def trace(self, trace_id: str) -> pa.Table:
        """See ``Store.trace``."""
        if not _TRACE_ID.fullmatch(trace_id):
            raise QueryError(
                f"{trace_id!r} is not a trace id.", code="bad_sql", hint="A trace id is 32 hexadecimal digits."
            )
        with self._cursor() as cursor:
            return run_read(cursor, statement("trace", trace_id=trace_id.lower()), _TRACE_LIMITS)

    def traces_within(self, window: TraceWindow) -> pa.Table:
        """See ``Store.traces_within``."""
        with self._cursor() as cursor:
            return cursor.sql(minutes.select_traces(), params=minutes.trace_limits(window)).to_arrow_table()

    def count_spans(self, begin: int, end: int) -> int:
        """See ``Store.count_spans``."""
        return int(self._rows(statement("count_spans"), begin=storable(begin), end=storable(end))[0][0])

    def points_within(self, begin: int, end: int, names: Sequence[str]) -> pa.Table:
        """See ``Store.points_within``."""
        window = {"begin": storable(begin), "end": storable(end), "names": list(names)}
        with self._cursor() as cursor:
            return cursor.sql(statement("points_within"), params=window).to_arrow_table()

    def resources(self) -> pa.Table:
        """See ``Store.resources``."""
        with self._cursor() as cursor:
            return cursor.sql("SELECT * FROM main.resources").to_arrow_table()

    def log_position(self) -> LogPosition:
        """See ``Store.log_position``."""
        with self._writer() as cursor:  # which opens a file in doubt anew: only that knows what was committed
            return LogPosition(*cursor.execute('SELECT segment, "offset" FROM store.log_position').fetchall()[0])

    def recent_requests(self) -> list[bytes]:
        """See ``Store.recent_requests``."""
        since = now() - WINDOW
        with self._writer() as cursor:  # as above
            sql = "SELECT digest FROM store.requests WHERE received >= $since"
            return [digest for (digest,) in cursor.execute(sql, {"since": since}).fetchall()]

    def time_at(self, share: float) -> int | None:
        """See ``Store.time_at``."""
        value = self._rows(statement("time_at"), share=share)[0][0]
        return None if value is None else int(value)

    def usage(self) -> Usage:
        """See ``Store.usage``."""
        block, used, free = self._rows("SELECT block_size, used_blocks, free_blocks FROM pragma_database_size()")[0]
        wal = Path(f"{self._path}.wal")
        used_bytes = block * used + (wal.stat().st_size if wal.exists() else 0)
        live, stored = self._rows(statement("stored_rows"))[0]
        marks = block if live < stored else 0  # what says which rows are deleted takes a block of its own
        row_bytes = max(used_bytes - marks, 0) / max(stored, live, 1)
        step_bytes = row_bytes * _ROW_GROUP if stored > _ROW_GROUP else 0
        return Usage(used_bytes, block * free, round(row_bytes * live), round(step_bytes))

    @contextmanager
    def snapshot(self) -> Iterator[DuckDBSnapshot]:
        """See ``Store.snapshot``."""
        with self._cursor() as cursor, transaction(cursor):
            yield DuckDBSnapshot(cursor, migrations.VERSION)

    def _rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            return cursor.execute(sql, parameters).fetchall()

    @contextmanager
    def _writer(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one call that writes, on a file that is known to be sound."""
        with self._writing:
            if self._database.in_doubt:
                self._database.reopen()
            with self._cursor() as cursor:
                yield cursor

    def _cursor(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return self._database.cursor()

    def close(self) -> None:
        """See ``Store.close``."""
        with self._writing:
            self._database.close()


def now() -> datetime:
    """The time as the tables have it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)
