"""Whatever a query tries, the collector stays up, within its memory, and goes on receiving."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

import pytest

from collector.errors import QueryError
from tests.collector.receiver.running import Collector, serve, trace_body
from tests.collector.store.hostile import BOUNDED, REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 0.5
ENDS_WITHIN_S = SECONDS + 6.0  # a test machine may be busy; alone it is 2 s
STORE_MEMORY = 512 * 1024**2
MORE_MEMORY = 512 * 1024**2  # what one query may take beside the database's own
BODY = trace_body(*(place.to_bytes(16, "big") for place in range(1, 101)))

REFUSALS = {"not_a_read", "bad_sql"}
BOUNDS = {*REFUSALS, "memory_limit", "row_limit", "time_limit"}


class Sender(threading.Thread):
    """Sends spans all the time, and notes how long each acknowledgement took and what was no success."""

    def __init__(self, collector: Collector) -> None:
        super().__init__(daemon=True)
        self._collector = collector
        self._done = threading.Event()
        self.seconds: list[float] = []
        self.failed: list[object] = []

    def run(self) -> None:
        """Send until stopped."""
        while not self._done.wait(0.02):
            began = time.monotonic()
            answer = self._collector.post("/v1/traces", BODY)
            self.seconds.append(time.monotonic() - began)
            if answer.status != 200:
                self.failed.append(answer)

    def stop(self) -> None:
        """Stop sending."""
        self._done.set()
        self.join()


def _peak_bytes(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Collector]]:
    """The process and the doors of a collector with narrow limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITHOSCOPE_QUERY_SECONDS", str(SECONDS))
        patch.setenv("LITHOSCOPE_STORE_MEMORY", "512MiB")
        patch.setenv("LITHOSCOPE_DASHBOARD", "off")
        with serve(tmp_path_factory.mktemp("hostile")) as (process, collector):
            yield process.pid, collector


def _code(collector: Collector, sql: str) -> str:
    try:
        collector.client.request("/v1/sql", sql.encode("utf-8", "surrogatepass"))
    except QueryError as error:
        return error.code
    return "answered"


def test_nothing_but_reads_is_answered(running: tuple[int, Collector]) -> None:
    """Through the query API, as every stranger with a key could try; afterwards it answers as ever."""
    _, collector = running
    codes = {sql: _code(collector, sql) for sql in REFUSED}
    assert {sql: code for sql, code in codes.items() if code not in REFUSALS} == {}
    assert collector.client.sql("SELECT 1 AS a").to_dicts() == [{"a": 1}]


@pytest.mark.slow
def test_nothing_takes_memory_or_time_without_end(running: tuple[int, Collector]) -> None:
    """Each ends soon after its time limit, within its memory, and spans are acknowledged meanwhile."""
    process, collector = running
    _code(collector, "SELECT count(*) FROM range(1000000)")
    before = _peak_bytes(process)
    sender = Sender(collector)
    sender.start()
    codes, seconds = {}, {}
    for sql in BOUNDED:
        began = time.monotonic()
        codes[sql] = _code(collector, sql)
        seconds[sql] = time.monotonic() - began
    sender.stop()
    assert {sql: code for sql, code in codes.items() if code not in {*BOUNDS, "answered"}} == {}
    assert {sql: took for sql, took in seconds.items() if took > ENDS_WITHIN_S} == {}
    assert _peak_bytes(process) - before < STORE_MEMORY + MORE_MEMORY
    assert sender.failed == []
    assert quantiles(sender.seconds, n=2)[0] < 0.25


def test_there_are_many_attempts() -> None:
    """Each of its own."""
    assert len({*REFUSED, *BOUNDED}) == len(REFUSED) + len(BOUNDED) >= 250
