"""What is too old or too much goes, the oldest first, and its space is used again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from collector import retention
from collector.decode.decoder import concatenate
from collector.errors import StoreError
from collector.position import LogPosition
from collector.retention import Retention
from collector.store import open_store
from collector.store.protocol import QueryLimits
from tests.collector.store.telemetry import Log, logs, points, spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.batch import Batch
    from collector.store.protocol import Store

DAY_S = 86_400
NS = 10**9
ROWS = 8_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in a file."""
    store = open_store(tmp_path / "t.duckdb")
    yield store
    store.close()


def day(number: int, rows: int = 10) -> Batch:
    """Spans, logs and points of one day, a second apart."""
    times = [(number * DAY_S + second) * NS for second in range(rows)]
    return concatenate(
        [
            spans(*({"trace_id": (time + 1).to_bytes(16), "start_time_unix_nano": time} for time in times)),
            logs(*({"time_unix_nano": time} for time in times)),
            points(*({"time_unix_nano": time} for time in times)),
        ]
    )


def pod(number: int) -> Batch:
    """A span of one day by a process of its own."""
    start = {"trace_id": bytes([number]) * 16, "start_time_unix_nano": number * DAY_S * NS}
    return spans(start, resource={"service.name": f"pod-{number}"})


@cache
def template() -> Batch:
    """As many spans as ``bulk`` has, all alike."""
    return spans(*({"trace_id": (number + 1).to_bytes(16), "attributes": {"a": "x" * 200}} for number in range(ROWS)))


def bulk(number: int) -> Batch:
    """Spans that do not compress, each a second after the one before."""
    rng = random.Random(number)
    ids, texts = rng.randbytes(ROWS * 16), rng.randbytes(ROWS * 60).hex()
    columns = {
        "trace_id": pa.array([ids[place : place + 16] for place in range(0, ROWS * 16, 16)], pa.binary(16)),
        "start_time": pa.array([(number * ROWS + index + 1) * NS for index in range(ROWS)], pa.timestamp("ns")),
        "attribute_values": pa.array([[texts[place : place + 120]] for place in range(0, ROWS * 120, 120)]),
    }
    columns["trace_id"] = pa.ExtensionArray.from_storage(pa.uuid(), columns["trace_id"])
    table = template().spans
    for name, column in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return replace(template(), spans=table)


def days(store: Store, view: str, time: str) -> list[int]:
    """The days of which a view has rows."""
    sql = f"SELECT DISTINCT epoch_ns({time}) // {DAY_S * NS} AS d FROM {view} ORDER BY d"
    return [row["d"] for row in store.query(sql, QueryLimits()).to_pylist()]


def test_what_is_older_than_the_age_goes(store: Store) -> None:
    """Spans, logs and points; nothing goes that is not older."""
    log = Log()
    for number in range(1, 11):
        store.append(day(number), log.next())
    clock = [10.5 * DAY_S]
    keeper = Retention(store, retain_s=3 * DAY_S, max_bytes=None, clock=lambda: clock[0])
    assert keeper.enforce() == 7 * 30
    assert keeper.enforce() == 0
    for view, time in (("spans", "start_time"), ("logs", "time"), ("metrics", "time")):
        assert days(store, view, time) == [8, 9, 10]
    clock[0] += DAY_S
    assert keeper.enforce() == 30
    assert days(store, "spans", "start_time") == [9, 10]


def test_what_nothing_refers_to_any_longer_goes_too(store: Store) -> None:
    """Pods come and go: their resources leave with their last row, and what is left keeps its own."""
    log = Log()
    for number in (1, 2, 3):
        store.append(concatenate([day(number), pod(number)]), log.next())
    Retention(store, retain_s=0, max_bytes=None, clock=lambda: 2.5 * DAY_S).enforce()
    own = "SELECT resource_attributes['service.name'] AS s FROM spans WHERE service_name LIKE 'pod%' ORDER BY 1"
    assert store.query(own, QueryLimits()).to_pylist() == [{"s": "pod-3"}]
    sql = "SELECT service_name AS s FROM resources WHERE service_name LIKE 'pod%'"
    assert store.query(sql, QueryLimits()).to_pylist() == [{"s": "pod-3"}]
    store.append(concatenate([pod(4), pod(1)]), log.next())
    assert store.query(own, QueryLimits()).to_pylist() == [{"s": "pod-1"}, {"s": "pod-3"}, {"s": "pod-4"}]
    assert store.query(f"{sql} ORDER BY 1", QueryLimits()).to_pylist() == [
        {"s": "pod-1"},
        {"s": "pod-3"},
        {"s": "pod-4"},
    ]


def test_no_limits_keep_everything(store: Store) -> None:
    """Neither is the default, and both are."""
    store.append(day(1), Log().next())
    keeper = Retention(store, retain_s=None, max_bytes=None, clock=lambda: 1e9)
    assert keeper.enforce() == 0


def test_a_store_within_its_size_loses_nothing(store: Store) -> None:
    """Nor does one whose write-ahead log alone is over it: folded into the file it is small."""
    store.append(template(), Log().next())
    before = store.usage().used_bytes
    assert Retention(store, retain_s=None, max_bytes=before - 500_000).enforce() == 0
    assert store.usage().used_bytes < before - 500_000


def test_the_oldest_go_until_the_store_is_small_enough(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps, in proportion to what is too much, and not far below the limit."""
    monkeypatch.setattr(retention, "_STEP_ROWS", ROWS)
    log = Log()
    for number in range(40):
        store.append(bulk(number), log.next())
    store.compact()
    limit = store.usage().used_bytes * 6 // 10
    keeper = Retention(store, retain_s=None, max_bytes=limit)
    while keeper.enforce():
        pass
    (left,) = store.query("SELECT count(*) AS n, min(start_unix_nano) AS t FROM spans", QueryLimits()).to_pylist()
    assert store.usage().used_bytes <= limit
    assert left["n"] >= ROWS * 40 // 6  # space comes free by row groups, of which there are but three here
    assert left["t"] == (40 * ROWS - left["n"] + 1) * NS


def test_a_single_row_group_is_not_emptied_for_its_space(store: Store) -> None:
    """It gives nothing back before all of it is deleted: what is too much goes once, and the rest stays."""
    for number in range(5):
        store.append(bulk(number), LogPosition(1, number + 1))
    store.compact()
    keeper = Retention(store, retain_s=None, max_bytes=store.usage().used_bytes * 9 // 10)
    deleted = [keeper.enforce() for _ in range(4)]
    assert deleted[1:] == [0, 0, 0]
    assert 0.1 * 5 * ROWS < deleted[0] < 0.15 * 5 * ROWS


def test_rows_among_others_are_not_deleted_for_nothing(store: Store) -> None:
    """Data that arrived out of order frees its space late; beyond what is too much, one row group goes at most."""
    order = list(range(32))
    random.Random(3).shuffle(order)
    for place, number in enumerate(order):
        store.append(bulk(number), LogPosition(1, place + 1))
    store.compact()
    keeper = Retention(store, retain_s=None, max_bytes=store.usage().used_bytes * 8 // 10)
    deleted = sum(keeper.enforce() for _ in range(12))
    assert keeper.enforce() == 0
    assert 0.2 * 32 * ROWS < deleted < 0.25 * 32 * ROWS + 122_880


def test_a_store_of_logs_alone_is_kept_within_its_size(store: Store) -> None:
    """The oldest records go."""
    rng = random.Random(1)
    rows = [{"time_unix_nano": second * NS, "body": rng.randbytes(200).hex()} for second in range(1, ROWS)]
    store.append(logs(*rows), Log().next())
    store.compact()
    assert 0 < Retention(store, retain_s=None, max_bytes=store.usage().used_bytes * 9 // 10).enforce() < ROWS / 2


def test_freed_space_is_used_again(store: Store, tmp_path: Path) -> None:
    """A file into which twenty times its limit is written stays near the limit."""
    log = Log()
    limit = 12_000_000
    keeper = Retention(store, retain_s=None, max_bytes=limit)
    sizes = []
    for number in range(100):
        store.append(bulk(number), log.next())
        if number % 5 == 4:
            keeper.enforce()
            sizes.append((tmp_path / "t.duckdb").stat().st_size)
    assert max(sizes) < 3 * limit
    assert max(sizes[10:]) <= max(sizes[:10])


def test_a_query_that_runs_meanwhile_sees_what_it_began_with(store: Store) -> None:
    """Deleting and compacting under a reader is no error, for either."""
    log = Log()
    for number in range(1, 4):
        store.append(day(number), log.next())
    seen: list[set[int]] = []
    stopping = threading.Event()

    def read() -> None:
        while not stopping.is_set():
            seen.append(set(days(store, "spans", "start_time")))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    keeper = Retention(store, retain_s=DAY_S, max_bytes=1, clock=lambda: 4.0 * DAY_S)
    try:
        for number in range(4, 24):
            store.append(day(number), log.next())
            keeper.enforce()
    finally:
        stopping.set()
        for reader in readers:
            reader.join()
    assert seen


KILLED = """
import os, signal, sys
from collector.store import duckdb_store, open_store
store, statement = open_store(sys.argv[1]), duckdb_store.statement
def killed(name, **given):
    if given.get("table") == "metrics":
        os.kill(os.getpid(), signal.SIGKILL)
    return statement(name, **given)
duckdb_store.statement = killed
store.delete_before(2**62, rows=100)
"""


def test_a_kill_between_two_statements_deletes_nothing(store: Store, tmp_path: Path) -> None:
    """A step is whole, and what is known of what it deleted with it."""
    store.append(day(1), Log().next())
    store.close()
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "t.duckdb"], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    again = open_store(tmp_path / "t.duckdb")
    assert (days(again, "spans", "start_time"), again.rolled_minutes(0, 1).deleted_before) == ([1], 0)
    assert again.delete_before(2 * DAY_S * NS, rows=100) == 30
    assert again.rolled_minutes(0, 1).deleted_before == 2 * DAY_S * NS
    again.close()


def test_a_step_that_deletes_nothing_is_not_remembered(store: Store) -> None:
    """Nor one that deletes logs alone: of those nothing is kept by minute."""
    store.append(logs({"time_unix_nano": NS}), Log().next())
    assert [store.delete_before(limit, rows=10) for limit in (1, 2 * NS)] == [0, 1]
    assert store.rolled_minutes(0, 1).deleted_before == 0


class BrokenStore:
    """A store that fails once, and counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = threading.Semaphore(0)
        self._failing = True

    def delete_before(self, unix_nano: int, *, rows: int) -> int:
        """Fail, then have nothing to delete."""
        assert unix_nano < rows * DAY_S * NS
        self.calls.release()
        if self._failing:
            self._failing = False
            raise StoreError("no room on the device")
        return 0


def test_the_thread_outlives_a_store_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """And starts at once, and stops when told to."""
    monkeypatch.setattr(retention, "_EVERY_S", 0.01)
    store: Any = BrokenStore()
    keeper = Retention(store, retain_s=1, max_bytes=None, clock=lambda: 2.0)
    keeper.start()
    assert all(store.calls.acquire(timeout=20) for _ in range(3))
    keeper.stop()
