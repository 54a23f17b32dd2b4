"""The store in a DuckLake: several collectors write, one of them at a time analyses and tidies up."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from collector.errors import StoreError, UnstorableError
from collector.store import hours, lake, migrations, minutes
from collector.store.cursors import registered, transaction
from collector.store.database import Database, one_line
from collector.store.duckdb_store import PASSING, WINDOW, DuckDBStore, now
from collector.store.protocol import Appended, LogPosition, Touched, TraceWindow, Usage
from collector.store.recent import span_hashes
from collector.store.sql import statement
from collector.store.trace_minutes import TraceMinutes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from collector.batch import Batch
    from collector.store.protocol import Snapshot
    from collector.store.recent import Words

T = TypeVar("T")

_LEASE = timedelta(seconds=30)  # for how long nobody analyses when the one that does was killed
_FAR_NS = 2**63 - 2 * 86_400 * 10**9  # DuckLake asks for the day of a limit, and fails where that is not whole
_LONG_AGO = datetime(1970, 1, 1)  # noqa: DTZ001  (DuckDB's times have no zone: UTC throughout)
_BATCH_ROWS = 122_880
_POSITIONS = (
    "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'store' AND starts_with(table_name, 'position_')"
)
_TABLES = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'store' ORDER BY table_name"
_OWN_TABLES = ("analysed", "id_guard", "lease", "views")


class LakeStore(DuckDBStore):
    """Implements ``collector.store.protocol.Store`` on a DuckLake, for one of several collectors.

    ``collector`` names this one's durable log, in letters and digits: what is applied of that log is committed with the
    rows themselves. Only the collector that holds the lease finds minutes and hours to analyse, deletes and compacts;
    for the others there is nothing to do.
    """

    def __init__(self, url: str, data: str, collector: str, *, memory: str | None = None) -> None:
        self._url, self._data, self._collector = url, data, collector
        self._known: dict[str, set[int]] = {"resources": set(), "scopes": set()}
        self._seen: dict[str, datetime] = {}
        self._position = LogPosition(0, 0)
        self._leads = False
        self._closing = threading.Lock()
        super().__init__("The lake", memory=memory)
        self._trace_minutes = TraceMinutes(statement("lake_traces_of_minutes"))
        self.log_position()

    def _open_database(self, memory: str | None) -> Database:
        def opening() -> duckdb.DuckDBPyConnection:
            return lake.attach(self._url, self._data, memory)

        return Database(self._path, self._prepare, opening=opening, entering=lake.ENTER)

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        lake.prepare(connection, self._collector, self._path)
        self._seen = dict(self._positions(connection))  # before: what comes between the two is then looked at twice
        self._remember_stored(connection)

    def _positions(self, cursor: duckdb.DuckDBPyConnection) -> list[tuple[str, datetime]]:
        """Each collector, and when its last append was received."""
        names = [name.removeprefix("position_") for (name,) in cursor.execute(_POSITIONS).fetchall()]
        parts = [f"SELECT '{name}', max(received) FROM store.position_{name}" for name in names]
        return cursor.execute(" UNION ALL ".join(parts)).fetchall()

    # -- writing ------------------------------------------------------------------------------------------------------

    def append(self, batch: Batch, through: LogPosition) -> Appended:
        """See ``Store.append``."""
        with self._writer() as cursor:
            try:
                return lake.retrying(lambda: self._append(cursor, batch, through))
            except Exception as error:
                self._known = {name: set() for name in self._known}  # what was given an id may have been rolled back
                if isinstance(error, (*PASSING, StoreError)) or lake.is_passing(error):
                    raise
                raise UnstorableError(f"{self._path} cannot take a batch: {one_line(error)}") from error

    def _append(self, cursor: duckdb.DuckDBPyConnection, batch: Batch, through: LogPosition) -> Appended:
        appended = super()._append(cursor, batch, through)
        self._position = through
        for name in self._known:
            self._known[name].update(_digests(getattr(batch, name)))
        return appended

    def _intern(self, cursor: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
        """Give new ones the next ids; of two collectors that do so at once, one has to try again."""
        if _digests(table) <= self._known[name]:
            return
        with registered(cursor, f"incoming_{name}", table):
            if cursor.execute(statement(f"insert_{name}")).fetchall()[0][0]:
                cursor.execute("UPDATE store.id_guard SET changes = changes + 1")

    def _fresh(self, cursor: duckdb.DuckDBPyConnection, spans: pa.Table, hashes: Words) -> Any:
        """A span that was sent again may have gone to another collector before."""
        self._hear_of_others(cursor)
        return super()._fresh(cursor, spans, hashes)

    def _hear_of_others(self, cursor: duckdb.DuckDBPyConnection) -> None:
        latest = dict(self._positions(cursor))
        others = {name: at for name, at in latest.items() if name != self._collector}
        since = now() - WINDOW
        if all(at <= max(self._seen.get(name, since), since) for name, at in others.items()):
            return
        seen = pa.table({"collector": pa.array(list(self._seen), pa.string()), "received": _times(self._seen.values())})
        news = [
            max(self._seen.get(name, since), since) for name, at in others.items() if at > self._seen.get(name, since)
        ]
        with registered(cursor, "seen", seen):
            given = {"collector": self._collector, "since": min(news)}
            reader = cursor.sql(statement("lake_others_spans"), params=given).to_arrow_reader(1 << 20)
            for batch in reader:
                self._recent.add(span_hashes(pa.Table.from_batches([batch])), time.monotonic())
        self._seen = others

    def _insert(self, cursor: duckdb.DuckDBPyConnection, name: str, table: pa.Table, received: datetime) -> None:
        mine = pa.DictionaryArray.from_arrays(pa.array([0] * table.num_rows, pa.int8()), pa.array([self._collector]))
        super()._insert(cursor, name, table.append_column("collector", mine), received)

    def _record(
        self, cursor: duckdb.DuckDBPyConnection, requests: tuple[bytes, ...], through: LogPosition, received: datetime
    ) -> None:
        """A commit whose answer was lost may have taken place: then the log must be read from there, not from here."""
        if self._read_position(cursor) != self._position:
            raise StoreError(
                f"{self._path} has more of the log of collector {self._collector} than this process knows of: it will "
                "be read again. If this does not end, two collectors have one log: give each its own --db."
            )
        sql = statement("lake_record_position", collector=self._collector)
        cursor.execute(sql, {**through._asdict(), "received": received})
        if requests:
            table = f"store.requests_{self._collector}"
            cursor.execute(f"DELETE FROM {table} WHERE received < $since", {"since": received - WINDOW})
            sql = f"INSERT INTO {table} SELECT $received, unnest($digests)"
            cursor.execute(sql, {"received": received, "digests": list(requests)})

    def _read_position(self, cursor: duckdb.DuckDBPyConnection) -> LogPosition:
        sql = f'SELECT segment, "offset" FROM store.position_{self._collector}'
        return LogPosition(*cursor.execute(sql).fetchall()[0])

    def log_position(self) -> LogPosition:
        """See ``Store.log_position``."""
        with self._writer() as cursor:
            self._position = self._read_position(cursor)
            return self._position

    def recent_requests(self) -> list[bytes]:
        """See ``Store.recent_requests``: those that came to this collector."""
        with self._writer() as cursor:
            sql = f"SELECT digest FROM store.requests_{self._collector} WHERE received >= $since"
            return [digest for (digest,) in cursor.execute(sql, {"since": now() - WINDOW}).fetchall()]

    # -- what one collector does for all ------------------------------------------------------------------------------

    def _as_leader(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T | None:
        """Do something in a transaction that takes place only while nobody else leads; None when another one does.

        It changes the lease, so that it cannot commit beside another that does, whatever the clocks say.
        """

        def attempt() -> T | None:
            with self._cursor() as cursor, transaction(cursor):
                if not self._take_lease(cursor):
                    return None
                return work(cursor)

        return lake.retrying(attempt)

    def _is_leader(self) -> bool:
        """Whether this one leads for long enough to begin something; takes over when nobody does."""
        holder, until = self._rows("SELECT holder, until FROM store.lease")[0]
        if holder == self._collector and self._leads and until > now() + _LEASE / 2:
            return True
        return self._as_leader(lambda _: True) is not None

    def _take_lease(self, cursor: duckdb.DuckDBPyConnection) -> bool:
        holder, until = cursor.execute("SELECT holder, until FROM store.lease").fetchall()[0]
        if holder != self._collector and until > now():
            if self._leads:  # what others have analysed meanwhile is not in memory
                self._leads, self._trace_minutes = False, TraceMinutes(statement("lake_traces_of_minutes"))
            return False
        if holder != self._collector:
            self._trace_minutes = TraceMinutes(statement("lake_traces_of_minutes"))
        given = {"holder": self._collector, "until": now() + _LEASE}
        cursor.execute("UPDATE store.lease SET holder = $holder, until = $until", given)
        self._leads = True
        return True

    def touch_minutes(self, horizon: int) -> Touched:
        """See ``Store.touch_minutes``."""
        with self._touching:
            if not self._is_leader():
                return Touched({}, frozenset())
            with self._cursor() as cursor, transaction(cursor):
                arrivals = self._arrivals(cursor)
                fresh = self._find_fresh(cursor, arrivals, horizon)
            touched = self._as_leader(lambda cursor: _touch(cursor, fresh, arrivals, horizon))
            if touched and fresh:
                self._trace_minutes.add(fresh.traces)
            return touched or Touched({}, frozenset())

    def _arrivals(self, cursor: duckdb.DuckDBPyConnection) -> pa.Table:
        """Of each collector, up to where it was analysed and up to where it could be."""
        analysed = dict(cursor.execute("SELECT collector, received FROM store.analysed").fetchall())
        through = dict(self._positions(cursor))
        since = [analysed.get(name, _LONG_AGO) for name in through]
        names = pa.array(list(through), pa.string())
        return pa.table({"collector": names, "since": _times(since), "through": _times(through.values())})

    def _find_fresh(
        self, cursor: duckdb.DuckDBPyConnection, arrivals: pa.Table, horizon_ns: int
    ) -> minutes.Fresh | None:
        new = arrivals.filter(pc.greater(arrivals["through"], arrivals["since"]))
        if not new.num_rows:
            return None
        with registered(cursor, "arrivals", arrivals):
            since = {"since": pc.min(new["since"]).as_py()}
            traces = cursor.execute(statement("lake_fresh_traces"), since).fetchnumpy()
            seen = pc.max(arrivals["since"]).as_py()
            late = Counter(self._trace_minutes.find(cursor, seen, traces, horizon_ns))
            late.update(dict(cursor.execute(statement("lake_fresh_points"), since).fetchall()))
        return minutes.Fresh(pc.max(arrivals["through"]).as_py(), traces, late)

    def finish_minutes(self, numbers: Sequence[int], rollups: Mapping[str, pa.Table]) -> None:
        """See ``Store.finish_minutes``."""
        self._as_leader(lambda cursor: minutes.finish_minutes(cursor, numbers, rollups))

    def pending_hours(self) -> list[int]:
        """See ``Store.pending_hours``."""
        return super().pending_hours() if self._is_leader() else []

    def finish_hour(self, hour: int, judged: Mapping[str, pa.Table] | None) -> None:
        """See ``Store.finish_hour``."""
        self._as_leader(lambda cursor: hours.finish_hour(cursor, hour, judged))

    def delete_before(self, unix_nano: int, *, rows: int) -> int:
        """See ``Store.delete_before``."""
        return self._as_leader(lambda cursor: self._delete_before(cursor, unix_nano, rows)) or 0

    def delete_unused(self) -> None:
        """Keep them: another collector may be about to store a row that refers to one, and nothing would conflict."""

    def compact(self) -> None:
        """See ``Store.compact``; what goes is what no snapshot of the last hour needs.

        Tables are taken one by one, so that a busy one keeps no other from it. Each collector does its own.
        """
        with self._writer() as cursor:
            for name in (f"position_{self._collector}", f"requests_{self._collector}"):
                cursor.execute(statement("lake_upkeep", step=lake.FLUSH.format(table=name)))
        if not self._is_leader():
            return
        failed = None
        for step in lake.upkeep_steps(name for name in self._table_names() if not _is_of_one_collector(name)):
            try:
                lake.retrying(partial(self._rows, statement("lake_upkeep", step=step)))
            except StoreError as error:
                failed = error
        if failed:
            raise failed

    def _table_names(self) -> list[str]:
        return [name for (name,) in self._rows(_TABLES)]

    # -- reading ------------------------------------------------------------------------------------------------------

    def traces_within(self, window: TraceWindow) -> pa.Table:
        """See ``Store.traces_within``; the first and the last two days that 64 bits hold cannot be read."""
        limits = {name: max(-_FAR_NS, min(value, _FAR_NS)) for name, value in minutes.trace_limits(window).items()}
        with self._cursor() as cursor:
            return cursor.sql(minutes.select_traces(), params=limits).to_arrow_table()

    def usage(self) -> Usage:
        """See ``Store.usage``: the files that the last snapshot needs, wherever they are."""
        used = self._rows(statement("lake_usage"))[0][0]
        return Usage(used, 0, used, 0)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:  # type: ignore[override]  # a kind of its own
        """See ``Store.snapshot``."""
        with self._cursor() as cursor, transaction(cursor):
            yield LakeSnapshot(cursor, migrations.VERSION)

    def close(self) -> None:
        """See ``Store.close``; another collector may lead at once."""
        with self._closing:
            if self._leads:
                self._leads = False
                with suppress(StoreError, duckdb.Error):  # then it may once the lease is over
                    self._as_leader(_give_up)
        super().close()


@dataclass(frozen=True, slots=True)
class LakeSnapshot:
    """Implements ``collector.store.protocol.Snapshot``: what a file would have."""

    cursor: duckdb.DuckDBPyConnection
    schema_version: int

    def tables(self) -> Iterator[tuple[str, pa.RecordBatchReader]]:
        """See ``Snapshot``."""
        for (name,) in self.cursor.execute(_TABLES).fetchall():
            if name in _OWN_TABLES or _is_of_one_collector(name):
                continue
            columns = "* EXCLUDE (collector)" if name in ("spans", "logs", "metrics") else "*"
            with self.cursor.sql(f"SELECT {columns} FROM store.{name}").to_arrow_reader(_BATCH_ROWS) as reader:
                yield name, reader


def _touch(
    cursor: duckdb.DuckDBPyConnection, fresh: minutes.Fresh | None, arrivals: pa.Table, horizon_ns: int
) -> Touched:
    touched = minutes.touch_minutes(cursor, fresh, horizon_ns)
    if fresh:
        cursor.execute("DELETE FROM store.analysed")
        with registered(cursor, "arrivals", arrivals):
            cursor.execute("INSERT INTO store.analysed SELECT collector, through FROM arrivals")
    return touched


def _give_up(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute("UPDATE store.lease SET until = $now", {"now": _LONG_AGO})


def _is_of_one_collector(table: str) -> bool:
    return table.startswith(("position_", "requests_"))


def _digests(table: pa.Table) -> set[int]:
    return set(table.column("digest").to_pylist()) if table.num_rows else set()


def _times(values: Any) -> pa.Array:
    return pa.array(list(values), pa.timestamp("us"))
