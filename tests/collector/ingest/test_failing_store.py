"""A store that fails for a while, and requests that it can never take: nothing is lost and nothing waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from collector.cli.importing import run_import
from collector.errors import UnstorableError
from collector.ingest import inserter
from collector.ingest.applying import ASIDE
from collector.ingest.pipeline import Pipeline
from collector.signals import Signal
from collector.store import open_store
from tests.collector.ingest.pipelines import (
    WAIT_S,
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

    import pytest

    from collector.batch import Batch
    from collector.position import LogPosition
    from collector.store.protocol import Appended, Store


class ChoosyStore:
    """A store that refuses any batch with a request of this number in it; the rest it passes on."""

    def __init__(self, store: Store, number: int) -> None:
        self._store = store
        self._refused = str(number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, batch: Batch, through: LogPosition) -> Appended:
        """Refuse, or append."""
        if self._refused in batch.spans.column("span_name").to_pylist():
            raise UnstorableError("no column for this")
        return self._store.append(batch, through)


def aside(folder: Path) -> dict[str, bytes]:
    """The files that were set aside: their signal and content."""
    return {path.name.split(".")[1]: path.read_bytes() for path in (folder / ASIDE).iterdir()}


def test_a_failing_store_is_tried_again_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile requests are still acknowledged, and ``failure`` says what is wrong."""
    monkeypatch.setattr(inserter, "_RETRY_S", 0.01)
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


def test_a_request_that_the_store_can_never_take_is_set_aside_alone(tmp_path: Path) -> None:
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
    assert aside(tmp_path / "log") == {"traces": body(2)}
    assert (pipeline.failure, pipeline.telemetry.set_aside._value.get()) == (None, 1)
    store.close()


def test_a_start_does_not_stop_at_what_the_store_can_never_take(tmp_path: Path) -> None:
    """The replay sets it aside as the running collector would; the next start has nothing left to do."""
    with abandoned(tmp_path / "log") as pipeline:
        for number in range(4):
            pipeline.submit(Signal.TRACES, body(number)).result(WAIT_S)
    store = open_store(tmp_path / "t.duckdb")
    for replayed in (4, 0):
        pipeline = Pipeline(cast("Store", ChoosyStore(store, 2)), tmp_path / "log")
        pipeline.close()
        assert pipeline.replayed == replayed
        assert stored(store) == dict.fromkeys((0, 1, 3), 3)
        assert aside(tmp_path / "log") == {"traces": body(2)}
    store.close()


def test_what_was_set_aside_can_be_imported(tmp_path: Path) -> None:
    """Once a later version takes it, say."""
    with abandoned(tmp_path / "log") as pipeline:
        pipeline.submit(Signal.TRACES, body(2)).result(WAIT_S)
    store = open_store(":memory:")
    Pipeline(cast("Store", ChoosyStore(store, 2)), tmp_path / "log").close()
    store.close()
    report = run_import(list((tmp_path / "log" / ASIDE).iterdir()), db=tmp_path / "t.duckdb", url=None, to_now=False)
    assert (report.records, report.stored, report.failures) == (3, 3, [])
    with running(tmp_path) as (_, store):
        assert stored(store) == {2: 3}
