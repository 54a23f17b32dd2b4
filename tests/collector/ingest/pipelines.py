"""Pipelines for tests, the requests they are given and what the store has of them."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.errors import StoreError, UnstorableError
from collector.ingest.pipeline import Pipeline
from collector.store import open_store
from collector.store.protocol import QueryLimits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.batch import Batch
    from collector.position import LogPosition
    from collector.store.protocol import Appended, Store

WAIT_S = 20


def body(number: int, spans: int = 3) -> bytes:
    """A request whose spans are named for its number."""
    request = ExportTraceServiceRequest()
    records = request.resource_spans.add().scope_spans.add().spans
    for index in range(spans):
        records.add(trace_id=(number + 1).to_bytes(16), span_id=(index + 1).to_bytes(8), name=str(number))
    return bytes(request.SerializeToString())


def log_body(text: str) -> bytes:
    """A request of one log record."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1)
    record.body.string_value = text
    return bytes(request.SerializeToString())


def stored(store: Store) -> Counter[int]:
    """How many spans of each request the store has."""
    rows = store.query("SELECT span_name::INT AS n, count(*) AS c FROM spans GROUP BY 1", QueryLimits()).to_pylist()
    return Counter({row["n"]: row["c"] for row in rows})


def stored_logs(store: Store) -> list[str]:
    """The bodies of all log records."""
    return [row["body"] for row in store.query("SELECT body FROM logs ORDER BY body", QueryLimits()).to_pylist()]


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[tuple[Pipeline, Store]]:
    """A pipeline over a database file and its log, closed in the end."""
    store = open_store(folder / "t.duckdb")
    try:
        pipeline = Pipeline(store, folder / "t.duckdb.log", **options)
        try:
            yield pipeline, store
        finally:
            pipeline.close()
    finally:
        store.close()


@contextmanager
def abandoned(folder: Path) -> Iterator[Pipeline]:
    """A pipeline whose store never takes anything, as if the process ended before it could."""
    store = open_store(":memory:")
    pipeline = Pipeline(FailingStore(store, failures=10**9), folder)
    yield pipeline
    pipeline.close()
    store.close()


class CountingStore:
    """A store that knows how often it was asked to append; everything else it passes on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counted = threading.Condition()
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def count(self) -> None:
        """Count an append."""
        with self._counted:
            self.calls += 1
            self._counted.notify_all()

    def wait_for_calls(self, calls: int) -> None:
        """Wait until there were so many."""
        with self._counted:
            assert self._counted.wait_for(lambda: self.calls >= calls, WAIT_S)


class ChoosyStore(CountingStore):
    """A store that refuses any batch with a request of this number in it; the rest it passes on."""

    def __init__(self, store: Store, number: int) -> None:
        super().__init__(store)
        self.refused = str(number)
        self.refuses_all = False

    def append(self, batch: Batch, through: LogPosition) -> Appended:
        """Refuse, or append."""
        self.count()
        if self.refuses_all or self.refused in batch.spans.column("span_name").to_pylist():
            raise UnstorableError("no column for this")
        return self._store.append(batch, through)


class FailingStore(CountingStore):
    """A store whose first appends fail; the rest it passes on."""

    def __init__(self, store: Store, failures: int) -> None:
        super().__init__(store)
        self._failures = failures
        self.failed = threading.Event()

    def heal(self) -> None:
        """Let all appends through from now on."""
        self._failures = 0

    def append(self, batch: Batch, through: LogPosition) -> Appended:
        """Fail, or append."""
        self.count()
        if self.calls <= self._failures:
            if self.calls == self._failures:
                self.failed.set()
            raise StoreError("no room on the device")
        return self._store.append(batch, through)
