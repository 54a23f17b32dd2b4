"""From submit to stored: acknowledged means durable, durable means stored once, and no failure loses or doubles."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import generate_latest

from collector import log
from collector.errors import InvalidRequestError, OverloadedError
from collector.log import Damage, DurableLog, read_records, segment_numbers
from collector.position import LogPosition
from collector.signals import Signal
from collector.telemetry import Telemetry
from tests.collector.ingest.pipelines import WAIT_S, abandoned, body, log_body, running, stored, stored_logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def held_sync(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldSync]:
    """The log's syncs wait until they are released."""
    held = HeldSync(log._sync)
    monkeypatch.setattr(log, "_sync", held)
    yield held
    held.release()


class HeldSync:
    """Stands in for fdatasync."""

    def __init__(self, sync: Any) -> None:
        self._sync = sync
        self._released = threading.Event()
        self.entered = threading.Event()

    def __call__(self, descriptor: int) -> None:
        """Say that a sync is wanted, and wait."""
        self.entered.set()
        assert self._released.wait(WAIT_S)
        self._sync(descriptor)

    def release(self) -> None:
        """Let all syncs through from now on."""
        self._released.set()


def test_a_request_is_acknowledged_only_when_the_log_has_it(tmp_path: Path, held_sync: HeldSync) -> None:
    """Not before the sync has returned; then the log gives it back."""
    with running(tmp_path, keep_log=True) as (pipeline, store):
        answer = pipeline.submit(Signal.TRACES, body(1))
        assert held_sync.entered.wait(WAIT_S)
        assert not answer.done()
        held_sync.release()
        assert answer.result(WAIT_S).count == 0
        assert [record.body for record in read_records(tmp_path / "t.duckdb.log")] == [body(1)]
        assert pipeline.flush()
        assert stored(store) == {1: 3}


def test_refused_spans_are_answered_and_the_rest_is_stored(tmp_path: Path) -> None:
    """The answer counts them and says why."""
    request = ExportTraceServiceRequest.FromString(body(1))
    request.resource_spans[0].scope_spans[0].spans.add(name="1")
    with running(tmp_path) as (pipeline, store):
        rejection = pipeline.submit(Signal.TRACES, request.SerializeToString()).result(WAIT_S)
        assert pipeline.flush()
        assert (rejection.count, stored(store)) == (1, {1: 3})
    assert "trace_id must be 16 bytes" in rejection.message


def test_a_retry_is_told_again_what_was_refused(tmp_path: Path) -> None:
    """Partial success stays partial."""
    request = ExportTraceServiceRequest.FromString(body(1))
    request.resource_spans[0].scope_spans[0].spans[0].trace_id = b""
    with running(tmp_path) as (pipeline, store):
        for _ in range(2):
            answer = pipeline.submit(Signal.TRACES, request.SerializeToString()).result(WAIT_S)
            assert (answer.count, "trace_id" in answer.message) == (1, True)
        assert pipeline.flush()
        assert stored(store) == {1: 2}


def test_a_retried_request_is_stored_once(tmp_path: Path) -> None:
    """Of every signal, whether it comes again at once, later, or after a restart."""
    bodies = {Signal.TRACES: body(1), Signal.LOGS: log_body("x")}
    for round_ in range(3):
        with running(tmp_path) as (pipeline, store):
            for _ in range(2):
                answers = [pipeline.submit(signal, content) for signal, content in bodies.items() for _ in range(3)]
                assert [answer.result(WAIT_S).count for answer in answers] == [0] * 6
                assert pipeline.flush()
            assert (stored(store), stored_logs(store)) == ({1: 3}, ["x"])
            assert pipeline.telemetry.retried._value.get() == (10 if round_ == 0 else 12)


def test_a_retry_of_what_a_crash_left_in_the_log_is_stored_once(tmp_path: Path) -> None:
    """The sender may not have seen the answer, and the log is replayed before the retry comes."""
    with abandoned(tmp_path / "t.duckdb.log") as pipeline:
        pipeline.submit(Signal.LOGS, log_body("x")).result(WAIT_S)
    with running(tmp_path) as (pipeline, store):
        assert pipeline.replayed == 1
        pipeline.submit(Signal.LOGS, log_body("x")).result(WAIT_S)
        assert pipeline.flush()
        assert stored_logs(store) == ["x"]


def test_a_request_that_is_in_the_log_twice_is_replayed_once(tmp_path: Path) -> None:
    """Its first append may have failed after it was written, and the file could not be cut."""
    durable_log = DurableLog(tmp_path / "t.duckdb.log")
    for _ in range(2):
        durable_log.append([(Signal.LOGS, log_body("x")), (Signal.LOGS, log_body("y"))])
    durable_log.close()
    with running(tmp_path) as (_, store):
        assert stored_logs(store) == ["x", "y"]


def test_a_malformed_request_is_refused_alone(tmp_path: Path) -> None:
    """Those that were decoded together with it are stored."""
    with running(tmp_path) as (pipeline, store):
        answers = [pipeline.submit(Signal.TRACES, body(number)) for number in range(20)]
        malformed = pipeline.submit(Signal.TRACES, body(99)[:-1])
        answers += [pipeline.submit(Signal.TRACES, body(number)) for number in range(20, 40)]
        assert isinstance(malformed.exception(WAIT_S), InvalidRequestError)
        assert all(answer.result(WAIT_S).count == 0 for answer in answers)
        assert pipeline.flush()
        assert stored(store) == dict.fromkeys(range(40), 3)
        assert pipeline._budget.used == 0


def test_a_request_that_trips_the_decoder_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even an error nobody thought of hits its sender only, and decoding goes on."""
    with running(tmp_path) as (pipeline, store):
        decoder = pipeline._intake._decoder
        decode = decoder.decode

        def trip(signal: Signal, bodies: list[bytes]) -> Any:
            if body(7) in bodies:
                raise ZeroDivisionError
            return decode(signal, bodies)

        monkeypatch.setattr(decoder, "decode", trip)
        answers = {number: pipeline.submit(Signal.TRACES, body(number)) for number in range(20)}
        assert isinstance(answers.pop(7).exception(WAIT_S), OverloadedError)
        assert all(answer.result(WAIT_S).count == 0 for answer in answers.values())
        assert pipeline.flush()
        assert stored(store) == dict.fromkeys(answers, 3)


def test_a_full_queue_refuses_and_recovers(tmp_path: Path, held_sync: HeldSync) -> None:
    """What was taken is stored; what was refused may be sent again."""
    with running(tmp_path, queue_bytes=len(body(1)) * 2 + 1) as (pipeline, store):
        answers = [pipeline.submit(Signal.TRACES, body(number)) for number in (1, 2)]
        with pytest.raises(OverloadedError, match="queue_bytes"):
            pipeline.submit(Signal.TRACES, body(3))
        held_sync.release()
        assert [answer.result(WAIT_S).count for answer in answers] == [0, 0]
        assert pipeline.flush()
        assert pipeline._budget.used == 0
        pipeline.submit(Signal.TRACES, body(3)).result(WAIT_S)
        assert pipeline.flush()
        assert stored(store) == dict.fromkeys((1, 2, 3), 3)


def test_a_request_larger_than_the_queue_is_taken_when_nothing_waits(tmp_path: Path) -> None:
    """Else it could never be sent."""
    with running(tmp_path, queue_bytes=1) as (pipeline, store):
        pipeline.submit(Signal.TRACES, body(1)).result(WAIT_S)
        assert pipeline.flush()
        assert stored(store) == {1: 3}


def test_a_full_disk_refuses_with_a_retry_and_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same request is taken when there is room again, and stored once."""
    with running(tmp_path) as (pipeline, store):
        with monkeypatch.context() as patch:
            patch.setattr(log, "_sync", _no_space)
            refused = pipeline.submit(Signal.TRACES, body(1)).exception(WAIT_S)
            assert isinstance(refused, OverloadedError)
            assert "No space left" in str(refused)
            assert pipeline._budget.used == 0
        pipeline.submit(Signal.TRACES, body(1)).result(WAIT_S)
        assert pipeline.flush()
        assert stored(store) == {1: 3}


def _no_space(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, f"No space left on device {descriptor}")


def test_a_retry_meets_the_fate_of_the_request_it_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when that one is still under way, and fails."""
    entered, failing = threading.Event(), threading.Event()

    def fail_later(descriptor: int) -> None:
        entered.set()
        assert failing.wait(WAIT_S)
        _no_space(descriptor)

    with running(tmp_path) as (pipeline, store):
        with monkeypatch.context() as patch:
            patch.setattr(log, "_sync", fail_later)
            first = pipeline.submit(Signal.TRACES, body(1))
            assert entered.wait(WAIT_S)
            second = pipeline.submit(Signal.TRACES, body(1))
            assert not second.done()
            failing.set()
            assert [type(answer.exception(WAIT_S)) for answer in (first, second)] == [OverloadedError] * 2
        assert pipeline.submit(Signal.TRACES, body(1)).result(WAIT_S).count == 0
        assert pipeline.flush()
        assert stored(store) == {1: 3}
        assert pipeline._budget.used == 0


def test_close_stores_what_was_submitted(tmp_path: Path) -> None:
    """Without a flush, and answers every request."""
    with running(tmp_path) as (pipeline, _):
        answers = [pipeline.submit(Signal.TRACES, body(number)) for number in range(200)]
    assert all(answer.done() and answer.result().count == 0 for answer in answers)
    with running(tmp_path) as (pipeline, store):
        assert pipeline.replayed == 0
        assert stored(store) == dict.fromkeys(range(200), 3)


def test_a_request_that_comes_after_close_is_refused(tmp_path: Path) -> None:
    """Not left without an answer."""
    with running(tmp_path) as (pipeline, _):
        pass
    with pytest.raises(OverloadedError, match="stopping"):
        pipeline.submit(Signal.TRACES, body(1))


def test_a_sender_that_goes_away_changes_nothing(tmp_path: Path, held_sync: HeldSync) -> None:
    """Its request is under way and cannot be cancelled; those beside it are answered."""
    with running(tmp_path) as (pipeline, store):
        answers = [pipeline.submit(Signal.TRACES, body(number)) for number in range(3)]
        assert not answers[0].cancel()
        held_sync.release()
        assert [answer.result(WAIT_S).count for answer in answers] == [0, 0, 0]
        assert pipeline.flush()
        assert stored(store) == dict.fromkeys(range(3), 3)


def test_flush_has_nothing_to_wait_for_after_a_torn_tail(tmp_path: Path) -> None:
    """A segment that holds but half a record is no reason to wait."""
    with running(tmp_path) as (pipeline, _):
        pipeline.submit(Signal.TRACES, body(1)).result(WAIT_S)
    (tmp_path / "t.duckdb.log" / "0000000009.segment").write_bytes(b"torn")
    with running(tmp_path) as (pipeline, store):
        assert pipeline.flush(0)
        assert stored(store) == {1: 3}


def test_damage_of_the_log_is_counted(tmp_path: Path) -> None:
    """What was acknowledged and cannot be read back any longer shows in ``/metrics``, and so does a torn end."""
    folder = tmp_path / "t.duckdb.log"
    with abandoned(folder) as pipeline:
        for number in range(1, 4):
            pipeline.submit(Signal.TRACES, body(number)).result(WAIT_S)
    (file,) = folder.glob("*.segment")
    first, second, _ = (record.end for record in read_records(folder))
    content = bytearray(file.read_bytes())
    content[(first.offset + second.offset) // 2] ^= 0xFF
    file.write_bytes(content)
    (folder / "0000000009.segment").write_bytes(b"torn")
    with running(tmp_path) as (pipeline, store):
        assert stored(store) == {1: 3, 3: 3}
        shown = generate_latest(pipeline.telemetry.registry).decode()
    for kind in ("damaged", "torn"):
        assert f'lithoscope_log_damage_total{{kind="{kind}"}} 1.0' in shown


def test_damage_that_is_met_twice_counts_once() -> None:
    """The log is read again when the store refuses a batch."""
    telemetry = Telemetry()
    for offset in (5, 5, 6):
        telemetry.count_damage(Damage(LogPosition(1, offset), torn=False))
    found = {kind: telemetry.log_damage.labels(kind)._value.get() for kind in ("damaged", "torn")}
    assert found == {"damaged": 2, "torn": 0}


def test_segments_are_deleted_once_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a segment that cannot be deleted stops nothing."""
    monkeypatch.setitem(cast("Any", DurableLog.__init__).__kwdefaults__, "segment_bytes", 1)
    with running(tmp_path) as (pipeline, store):
        delete, outcomes = DurableLog.delete_before, [OSError(errno.EIO, "Input/output error")]

        def delete_badly(durable_log: DurableLog, position: LogPosition) -> None:
            if outcomes:
                raise outcomes.pop()
            delete(durable_log, position)

        monkeypatch.setattr(DurableLog, "delete_before", delete_badly)
        for number in range(3):
            pipeline.submit(Signal.TRACES, body(number)).result(WAIT_S)
            assert pipeline.flush()
        last = store.log_position().segment
        assert stored(store) == dict.fromkeys(range(3), 3)
    assert segment_numbers(tmp_path / "t.duckdb.log") == [last]


def test_a_request_that_makes_the_decoder_panic_is_refused_alone(tmp_path: Path) -> None:
    """The thread that decodes lives on: what is sent afterwards is acknowledged."""
    overflowing = b"\x0a" + b"\xff" * 9 + b"\x01"
    with running(tmp_path) as (pipeline, _):
        with pytest.raises(InvalidRequestError):
            pipeline.submit(Signal.TRACES, overflowing).result(WAIT_S)
        assert pipeline.submit(Signal.TRACES, b"").result(WAIT_S).count == 0
