"""Rollups of real collectors: neither ``kill -9`` in the middle of them nor late spans leave a trace in them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analytics.pipeline import MinutePipeline
from analytics.schema import ROLLUPS
from collector.client import connect
from collector.decode.decoder import concatenate
from collector.store import open_store
from collector.store.minutes import HOURLY
from collector.store.protocol import HORIZON_NS
from tests.analytics.test_report import request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.batch import Batch

MINUTES = 15
EACH = 4
WAITING = "SELECT count(*) AS n FROM store.pending_minutes"
DONE = "SELECT coalesce(sum(traces), 0) AS n FROM endpoints"


def of_every_second_minute(*places: int) -> list[Batch]:
    """A request for each of these seconds of each minute but every second one, so that each minute is a step."""
    return [
        request(minute * 120 + second, service_ms=10 + second, database_ms=5 + minute % 7)
        for minute in range(MINUTES)
        for second in places
    ]


def store_spans(db: Path, batches: list[Batch]) -> None:
    """Put spans into a file as a collector does that is killed before it looks at them again."""
    store = open_store(db)
    store.append(concatenate(batches), store.log_position())
    store.touch_minutes(HORIZON_NS)
    store.close()


@contextmanager
def collector(db: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A collector of its own process, and its query address; it is killed at the end if it still runs."""
    command = [sys.executable, "-m", "lithoscope", "serve", "--db", str(db)]
    ports = [part for name in ("grpc", "http", "query") for part in (f"--{name}", "127.0.0.1:0")]
    with subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            addresses = dict(process.stdout.readline().split() for _ in range(3))
            yield process, f"http://{addresses['query']}"
        finally:
            process.kill()


def wait_until(url: str, query: str, least: int, most: int) -> int:
    """Ask until the answer lies in these bounds, and return it."""
    deadline = time.monotonic() + 60
    client = connect(url)
    while True:
        count = int(client.sql(query)["n"].item())
        if least <= count <= most:
            return count
        assert time.monotonic() < deadline, f"{query} answers {count}"
        threading.Event().wait(0.02)  # questions without a pause would slow what they wait for


def analyse_all(db: Path) -> None:
    """Run a collector until it has analysed all that waits."""
    with collector(db) as (process, url):
        wait_until(url, WAITING, 0, 0)
        process.terminate()
        process.wait(timeout=30)


def rollups(db: Path) -> dict[str, pl.DataFrame]:
    """What a file keeps."""
    with duckdb.connect(str(db), read_only=True) as connection:
        return {
            name: pl.DataFrame(pl.from_arrow(connection.sql(f"SELECT * FROM store.{name}").to_arrow_table()))
            for name in (*ROLLUPS, *HOURLY.values())
        }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """The rollups of all spans, which one process got in time and analysed at leisure."""
    db = tmp_path_factory.mktemp("undisturbed") / "t.duckdb"
    store_spans(db, of_every_second_minute(*range(EACH)))
    store = open_store(db)
    assert MinutePipeline(store).step() == MINUTES
    store.close()
    return rollups(db)


def assert_same(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    """But for the order of rows, and of additions."""
    assert found.keys() == expected.keys()
    for name, frame in expected.items():
        assert_frame_equal(found[name], frame, check_row_order=False, rel_tol=1e-9)


def test_a_kill_in_the_middle_of_the_rollups_changes_nothing(
    tmp_path: Path, undisturbed: dict[str, pl.DataFrame]
) -> None:
    """What was done is there, what was not is done after the restart, and nothing counts twice."""
    db = tmp_path / "t.duckdb"
    store_spans(db, of_every_second_minute(*range(EACH)))
    with collector(db) as (process, url):
        done = wait_until(url, DONE, 1, MINUTES * EACH - 1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 0 < done < MINUTES * EACH
    left = rollups(db)["rollup_windows"].height
    assert 0 < left < MINUTES, "the kill came too late"
    analyse_all(db)
    assert_same(rollups(db), undisturbed)


def test_late_spans_count_as_if_they_had_been_in_time(tmp_path: Path, undisturbed: dict[str, pl.DataFrame]) -> None:
    """Their minutes are analysed again, hours included."""
    db = tmp_path / "t.duckdb"
    store_spans(db, of_every_second_minute(*range(EACH - 1)))
    analyse_all(db)
    store_spans(db, of_every_second_minute(EACH - 1))
    analyse_all(db)
    assert_same(rollups(db), undisturbed)
