"""A store that fails for a while, and requests that it can never take: nothing is lost and nothing waits for them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, cast

import pytest

from collector.cli.importing import run_import
from collector.errors import OverloadedError, StoreError
from collector.ingest import inserter, quarantine
from collector.ingest import pipeline as pipeline_module
from collector.ingest.pipeline import Pipeline
from collector.pauses import growing_pauses
from collector.signals import Signal
from collector.store import open_store
from tests.collector.ingest.pipelines import (
    WAIT_S,
    ChoosyStore,
    CountingStore,
    FailingStore,
    abandoned,
    body,
    log_body,
    running,
    stored,
    stored_logs,
)

if TYPE_CHECKING:
    from pathlib import Path

    from collector.batch import Batch
    from collector.position import LogPosition
    from collector.store.protocol import Appended, Store


class LyingStore(CountingStore):
    """A store whose first append takes place and fails nevertheless, as a commit does whose last sync fails."""

    lies = 0

    def append(self, batch: Batch, through: LogPosition) -> Appended:
        """Append, and say once that it failed."""
        appended = self._store.append(batch, through)
        if not self.lies:
            self.lies = 1
            raise StoreError("could not sync")
        return appended


class SmallStore(CountingStore):
    """A store that takes no more than so many rows at once."""

    def __init__(self, store: Store, most: int) -> None:
        super().__init__(store)
        self._most = most

    def append(self, batch: Batch, through: LogPosition) -> Appended:
        """Refuse, or append."""
        if batch.rows > self._most:
            raise StoreError("out of memory")
        return self._store.append(batch, through)


def quarantined(log_folder: Path) -> dict[str, tuple[bytes, str]]:
    """The requests in quarantine: their signal, content and reason."""
    found = quarantine.entries(log_folder.with_suffix(".quarantine"))
    return {entry.path.name.split(".")[1]: (entry.path.read_bytes(), entry.reason) for entry in found}


def test_a_failing_store_is_tried_again_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile requests are still acknowledged, and ``failure`` says what is wrong."""
    monkeypatch.setattr(inserter, "_FIRST_PAUSE_S", 0.01)
    store = open_store(tmp_path / "t.duckdb")
    failing = FailingStore(store, failures=2)
    pipeline = Pipeline(cast("Store", failing), tmp_path / "log")
    pipeline.submit(Signal.TRACES, body(1)).result(WAIT_S)
    assert failing.failed.wait(WAIT_S)
    pipeline.submit(Signal.TRACES, body(2)).result(WAIT_S)
    assert pipeline.flush()
    assert pipeline.failure is None
    assert stored(store) == {1: 3, 2: 3}
    assert pipeline.telemetry.insert_failures._value.get() == 2
    pipeline.close()
    store.close()


def test_failure_names_the_error_while_the_store_fails(tmp_path: Path) -> None:
    """And closing does not wait for it: the log has everything, for the next start."""
    with abandoned(tmp_path / "t.duckdb.log") as pipeline:
        pipeline.submit(Signal.TRACES, body(1)).result(WAIT_S)
        assert not pipeline.flush(0.7)
        assert pipeline.failure == "no room on the device"
    with running(tmp_path) as (pipeline, store):
        assert (pipeline.failure, stored(store)) == (None, {1: 3})


def test_a_request_that_the_store_can_never_take_goes_to_quarantine_alone(tmp_path: Path) -> None:
    """Those beside it are stored, those after it too, and its bytes are kept for an import."""
    store = open_store(tmp_path / "t.duckdb")
    pipeline = Pipeline(cast("Store", ChoosyStore(store, 2)), tmp_path / "log")
    answers = [pipeline.submit(Signal.TRACES, body(number)) for number in range(5)]
    answers.append(pipeline.submit(Signal.LOGS, log_body("beside")))
    assert [answer.result(WAIT_S).count for answer in answers] == [0] * 6
    assert pipeline.flush()
    pipeline.submit(Signal.TRACES, body(7)).result(WAIT_S)
    pipeline.close()
    assert stored(store) == dict.fromkeys((0, 1, 3, 4, 7), 3)
    assert stored_logs(store) == ["beside"]
    assert quarantined(tmp_path / "log") == {"traces": (body(2), "no column for this")}
    assert (pipeline.failure, pipeline.telemetry.quarantined._value.get()) == (None, 1)
    store.close()


def test_a_start_does_not_stop_at_what_the_store_can_never_take(tmp_path: Path) -> None:
    """The replay does with it what the running collector would; the next start has nothing left to do."""
    with abandoned(tmp_path / "log") as pipeline:
        for number in range(4):
            pipeline.submit(Signal.TRACES, body(number)).result(WAIT_S)
    store = open_store(tmp_path / "t.duckdb")
    for replayed in (4, 0):
        pipeline = Pipeline(cast("Store", ChoosyStore(store, 2)), tmp_path / "log")
        pipeline.close()
        assert pipeline.replayed == replayed
        assert stored(store) == dict.fromkeys((0, 1, 3), 3)
        assert quarantined(tmp_path / "log") == {"traces": (body(2), "no column for this")}
    store.close()


def test_the_search_for_what_is_at_fault_halves(tmp_path: Path) -> None:
    """One of 256 requests costs some sixteen transactions, not 256."""
    with abandoned(tmp_path / "log") as pipeline:
        for answer in [pipeline.submit(Signal.TRACES, body(number)) for number in range(256)]:
            answer.result(WAIT_S)
    store = open_store(tmp_path / "t.duckdb")
    choosy = ChoosyStore(store, 200)
    Pipeline(cast("Store", choosy), tmp_path / "log").close()
    assert stored(store) == dict.fromkeys((number for number in range(256) if number != 200), 3)
    assert choosy.calls <= 2 * 8 + 4
    store.close()


def test_a_request_from_quarantine_is_new(tmp_path: Path) -> None:
    """The very same bytes may come again at once: nobody would know whether they were stored."""
    store = open_store(tmp_path / "t.duckdb")
    choosy = ChoosyStore(store, 2)
    pipeline = Pipeline(cast("Store", choosy), tmp_path / "log")
    pipeline.submit(Signal.TRACES, body(2)).result(WAIT_S)
    assert pipeline.flush()
    choosy.refused = "nothing"
    pipeline.submit(Signal.TRACES, body(2)).result(WAIT_S)
    pipeline.close()
    assert stored(store) == {2: 3}
    store.close()


def test_a_store_that_refuses_even_nothing_quarantines_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the requests are not at fault: they wait in the log until the store is well."""
    monkeypatch.setattr(inserter, "_FIRST_PAUSE_S", 0.01)
    store = open_store(tmp_path / "t.duckdb")
    choosy = ChoosyStore(store, 2)
    choosy.refuses_all = True
    pipeline = Pipeline(cast("Store", choosy), tmp_path / "log")
    for number in range(4):
        pipeline.submit(Signal.TRACES, body(number)).result(WAIT_S)
    choosy.wait_for_calls(12)
    assert pipeline.failure == "no column for this"
    choosy.refuses_all = False
    assert pipeline.flush()
    pipeline.close()
    assert (stored(store), len(quarantined(tmp_path / "log"))) == (dict.fromkeys((0, 1, 3), 3), 1)
    store.close()


def test_what_is_in_quarantine_can_be_imported(tmp_path: Path) -> None:
    """Once a later version takes it, say."""
    with abandoned(tmp_path / "log") as pipeline:
        pipeline.submit(Signal.TRACES, body(2)).result(WAIT_S)
    store = open_store(":memory:")
    Pipeline(cast("Store", ChoosyStore(store, 2)), tmp_path / "log").close()
    store.close()
    files = [entry.path for entry in quarantine.entries(tmp_path / "log.quarantine")]
    report = run_import(files, db=tmp_path / "t.duckdb", url=None, to_now=False)
    assert (report.records, report.stored, report.failures) == (3, 3, [])
    with running(tmp_path) as (_, store):
        assert stored(store) == {2: 3}


def test_while_the_store_fails_memory_is_free_and_the_log_takes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to its limit; then senders are told to retry, and once the store works, all is as before."""
    monkeypatch.setattr(inserter, "_FIRST_PAUSE_S", 0.01)
    size = len(body(100))
    store = open_store(tmp_path / "t.duckdb")
    failing = FailingStore(store, failures=10**9)
    pipeline = Pipeline(cast("Store", failing), tmp_path / "log", queue_bytes=3 * size, log_bytes=10 * size)
    pipeline.submit(Signal.TRACES, body(100)).result(WAIT_S)
    failing.wait_for_calls(2)
    for number in range(101, 110):  # three times the queue
        pipeline.submit(Signal.TRACES, body(number)).result(WAIT_S)
    assert (pipeline._budget.used, pipeline._budget.parked, pipeline.is_refusing) == (0, 10 * size, True)
    with pytest.raises(OverloadedError, match="the setting log_bytes allows"):
        pipeline.submit(Signal.TRACES, body(110))
    failing.heal()
    assert pipeline.flush()
    assert (pipeline.failure, pipeline.is_refusing, pipeline._budget.parked) == (None, False, 0)
    pipeline.submit(Signal.TRACES, body(110)).result(WAIT_S)
    pipeline.close()
    assert stored(store) == dict.fromkeys(range(100, 111), 3)
    store.close()


def test_what_a_failed_commit_had_stored_after_all_is_not_stored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the position in the store says what took place; the spans are too old for the filter of retries."""
    monkeypatch.setattr(inserter, "_FIRST_PAUSE_S", 0.01)
    store = open_store(tmp_path / "t.duckdb")
    lying = LyingStore(store)
    pipeline = Pipeline(cast("Store", lying), tmp_path / "log")
    pipeline.submit(Signal.LOGS, log_body("x")).result(WAIT_S)
    assert pipeline.flush()
    assert (lying.lies, stored_logs(store)) == (1, ["x"])
    pipeline.close()
    store.close()


def test_a_transaction_that_fails_is_tried_with_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not fit the memory, say."""
    monkeypatch.setattr(inserter, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(inserter, "GROUP_BYTES", 8 * 8 * len(body(0)))
    with abandoned(tmp_path / "log") as pipeline:
        for number in range(64):
            pipeline.submit(Signal.TRACES, body(number)).result(WAIT_S)
    store = open_store(tmp_path / "t.duckdb")
    small = SmallStore(store, most=3 * 8)
    monkeypatch.setattr(pipeline_module, "replay", lambda *_, **__: ())  # as if all of it had come just now
    pipeline = Pipeline(cast("Store", small), tmp_path / "log")
    for answer in [pipeline.submit(Signal.TRACES, body(number, spans=9)) for number in (100, 101, 102)]:
        answer.result(WAIT_S)
    assert pipeline.flush()
    pipeline.close()
    assert stored(store) == dict.fromkeys(range(64), 3) | dict.fromkeys((100, 101, 102), 9)
    store.close()


def test_pauses_grow_up_to_the_longest() -> None:
    """And stay there."""
    assert list(islice(growing_pauses(1, 30), 7)) == [1, 2, 4, 8, 16, 30, 30]


def test_closing_in_time_leaves_the_rest_to_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start stores it."""
    monkeypatch.setattr(inserter, "_LONGEST_WAIT_S", 60.0)  # nothing is inserted before
    store = open_store(tmp_path / "t.duckdb")
    pipeline = Pipeline(store, tmp_path / "t.duckdb.log")
    for number in range(3):
        pipeline.submit(Signal.TRACES, body(number)).result(WAIT_S)
    pipeline.close(timeout_s=0)
    store.close()
    with running(tmp_path) as (pipeline, store):
        assert (pipeline.replayed, stored(store)) == (3, dict.fromkeys(range(3), 3))
