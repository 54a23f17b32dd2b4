"""A disk that refuses writes, for real: the system's own limit on the size of files makes them fail."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from collector.errors import StoreError, UnstorableError
from collector.position import LogPosition
from collector.store import open_store
from collector.store.protocol import QueryLimits
from tests.collector.store.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.batch import Batch
    from collector.store.protocol import Store

COUNT = "SELECT count(*) AS n, count(DISTINCT body) AS distinct_n FROM logs"
ROWS = 20_000


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writes beyond this size fail in this process (Python ignores the signal that comes with it)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def many(first: int) -> Batch:
    """Records enough to go to the file at once, and not to the write-ahead log."""
    return logs(*({"time_unix_nano": 1, "body": f"{number:032x}"} for number in range(first, first + ROWS)))


def takes(store: Store, number: int) -> bool:
    """Whether a store takes a batch; that it does not is never the fault of the data."""
    try:
        store.append(many(number * ROWS), LogPosition(1, 1 + number))
    except UnstorableError:
        pytest.fail("the data are not at fault")
    except StoreError:
        return False
    return True


def counts(store: Store) -> list[int]:
    """All records, and how many differ."""
    return list(store.query(COUNT, QueryLimits()).to_pylist()[0].values())


@pytest.mark.parametrize("size", [4096, 300_000])
def test_a_store_works_again_once_the_disk_does(tmp_path: Path, size: int) -> None:
    """Nothing of a failed batch is stored, and its position is not taken; no restart is needed."""
    store = open_store(tmp_path / "t.duckdb")
    store.append(many(0), LogPosition(1, 1))
    store.compact()
    with largest_file(size):
        for number in range(1, 20):
            if not takes(store, number):
                break
        else:
            pytest.fail("no write failed")
    assert store.log_position() == LogPosition(1, number)
    store.append(many(number * ROWS), LogPosition(1, 1 + number))
    assert store.log_position() == LogPosition(1, 1 + number)
    assert counts(store) == [ROWS * (number + 1)] * 2
    store.close()
    store = open_store(tmp_path / "t.duckdb")
    assert counts(store) == [ROWS * (number + 1)] * 2
    store.close()


def test_a_database_that_gave_up_is_opened_anew(tmp_path: Path) -> None:
    """DuckDB refuses everything after a checkpoint has failed: what was appended before is still there."""
    store = open_store(tmp_path / "t.duckdb")
    store.append(logs({"time_unix_nano": 1, "body": "before"}), LogPosition(1, 1))
    with largest_file(4096):
        for ask in (store.compact, lambda: counts(store), lambda: store.append(many(0), LogPosition(1, 2))):
            with pytest.raises(StoreError):
                ask()
    store.append(logs({"time_unix_nano": 1, "body": "after"}), LogPosition(1, 2))
    assert counts(store) == [2, 2]
    with store._database.cursor() as cursor:  # type: ignore[attr-defined]
        assert cursor.execute("SELECT current_setting('lock_configuration')").fetchall() == [(True,)]
    store.close()


def test_a_query_that_runs_holds_the_opening_up_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is not taken from under it; the append fails meanwhile, to be tried again."""
    monkeypatch.setattr("collector.store.database._CLEARED_S", 0.01)
    store = open_store(tmp_path / "t.duckdb")
    database = store._database  # type: ignore[attr-defined]
    database.in_doubt = True
    with database.cursor() as reading:
        with pytest.raises(StoreError, match="a query still reads it"):
            store.append(many(0), LogPosition(1, 1))
        assert reading.execute("SELECT 1").fetchall() == [(1,)]
    store.append(many(0), LogPosition(1, 1))
    assert (counts(store), database.in_doubt) == ([ROWS, ROWS], False)
    store.close()


def test_a_file_that_could_not_be_opened_anew_is_tried_again(tmp_path: Path) -> None:
    """By whoever comes next, and be it to read: nobody may have anything to write."""
    store = open_store(tmp_path / "t.duckdb")
    store.append(logs({"time_unix_nano": 1, "body": "before"}), LogPosition(1, 1))
    with largest_file(4096):
        for ask in (store.compact, store.log_position, store.log_position, lambda: counts(store)):
            with pytest.raises(StoreError):
                ask()
    assert counts(store) == [1, 1]
    assert store.log_position() == LogPosition(1, 1)
    store.close()


def test_a_position_is_never_told_of_a_file_in_doubt(tmp_path: Path) -> None:
    """What DuckDB rolled back may stand in its file as committed."""
    store = open_store(tmp_path / "t.duckdb")
    database = store._database  # type: ignore[attr-defined]
    for ask in (store.log_position, store.recent_requests):
        database.in_doubt, before = True, database._connection
        ask()
        assert (database.in_doubt, database._connection is before) == (False, False)
    store.close()
