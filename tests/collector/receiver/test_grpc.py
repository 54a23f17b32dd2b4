"""OTLP over gRPC: duties 1 to 7 and 10 of a receiver."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2

from collector.decode.validate import Rejection
from collector.errors import OverloadedError, PayloadTooLargeError
from collector.ingest import inserter
from collector.receiver import grpc_server
from collector.receiver.export import Exporter
from collector.receiver.grpc_server import GrpcServer
from collector.signals import PROTOCOL, Signal
from tests.collector.receiver.running import (
    ANY_PORT,
    PATIENCE_S,
    START_NS,
    Senders,
    run_collector,
    trace_body,
    trace_request,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.collector.receiver.running import Collector

TRANSPORTS = ["grpc", "http", "json"]


class Pipeline:
    """Fails every request in the same way, or never answers."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def submit(self, _signal: Signal, _body: bytes) -> Future[Rejection]:
        """See ``Submit``."""
        answer: Future[Rejection] = Future()
        if self._error is not None:
            answer.set_exception(self._error)
        return answer


@contextmanager
def receiver(pipeline: Pipeline) -> Iterator[Senders]:
    """The gRPC receiver alone, before a pipeline that behaves as told."""
    server = GrpcServer(Exporter(pipeline, 1_000_000), ANY_PORT, workers=2)
    server.start()
    yield Senders(f"127.0.0.1:{server.port}", "")
    server.stop(1)


@pytest.mark.parametrize("compression", list(grpc.Compression))
def test_spans_are_stored(collector: Collector, trace_id: bytes, compression: Any) -> None:
    """With and without compression, success has an empty answer."""
    answer = collector.call(Signal.TRACES, trace_body(trace_id), compression)
    assert (answer.status, answer.body) == ("OK", b"")
    assert collector.span(trace_id)["span_name"] == "test"


def test_metrics_are_stored(collector: Collector, trace_id: bytes) -> None:
    """A data point sent to MetricsService comes back."""
    request = PROTOCOL[Signal.METRICS].request()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=trace_id.hex())
    metric.gauge.data_points.add(as_double=0.5, time_unix_nano=1)
    assert collector.call(Signal.METRICS, request.SerializeToString()).status == "OK"
    rows = collector.rows(f"SELECT type, value FROM metrics WHERE metric_name = '{trace_id.hex()}'")
    assert rows == [{"type": "gauge", "value": 0.5}]


def test_logs_are_stored(collector: Collector, trace_id: bytes) -> None:
    """A log record sent to LogsService comes back."""
    request = PROTOCOL[Signal.LOGS].request()
    record = request.resource_logs.add().scope_logs.add().log_records.add(trace_id=trace_id)
    record.body.string_value = "hello"
    assert collector.call(Signal.LOGS, request.SerializeToString()).status == "OK"
    rows = collector.rows(f"SELECT body FROM logs WHERE trace_id = '{trace_id.hex()}'")
    assert rows == [{"body": "hello"}]


@pytest.mark.parametrize("signal", Signal)
def test_an_empty_request_is_a_success(collector: Collector, signal: Signal) -> None:
    """Nothing to store is no mistake."""
    answer = collector.call(signal, b"")
    assert (answer.status, answer.response(signal)) == ("OK", PROTOCOL[signal].response())


def test_a_bad_span_is_refused_alone(collector: Collector, trace_id: bytes) -> None:
    """The answer counts the bad spans and names the reason; the good one is stored."""
    partial = collector.call(Signal.TRACES, trace_body(trace_id, b"\0" * 16, b"x")).response().partial_success
    assert partial.rejected_spans == 2
    assert "2: trace_id must be 16 bytes and not all zero" in partial.error_message
    assert collector.span(trace_id)["span_id"] == "01" * 8


@pytest.mark.parametrize("signal", Signal)
def test_each_signal_counts_what_it_refuses_in_its_own_field(collector: Collector, signal: Signal) -> None:
    """``rejected_spans``, ``rejected_data_points`` and ``rejected_log_records``."""
    request = PROTOCOL[signal].request()
    late = 2**64 - 1
    if signal is Signal.TRACES:
        request = trace_request(b"\1" * 16, start_time_unix_nano=late)
    elif signal is Signal.METRICS:
        metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="late")
        metric.gauge.data_points.add(as_double=1, time_unix_nano=late)
    else:
        request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=late)
    partial = collector.call(signal, request.SerializeToString()).response(signal).partial_success
    assert getattr(partial, PROTOCOL[signal].rejected_field) == 1
    assert "beyond the year 2262" in partial.error_message


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("body", [b"\xff\xff\xff\xff", trace_body(b"\1" * 16)[:-3]])
def test_what_cannot_be_decoded_is_invalid_argument(collector: Collector, signal: Signal, body: bytes) -> None:
    """The error carries a ``google.rpc.Status`` of the same words, without ``RetryInfo``."""
    answer = collector.call(signal, body)
    assert answer.status == "INVALID_ARGUMENT"
    assert (answer.error().code, list(answer.error().details)) == (code_pb2.INVALID_ARGUMENT, [])
    assert answer.body.decode() == answer.error().message != ""


@pytest.mark.parametrize("error", [OverloadedError("No room."), ValueError("no idea")])
def test_overload_and_failures_are_unavailable_for_a_second(error: Exception) -> None:
    """``RetryInfo`` is where the specification wants it, and where the Python SDK looks for it."""
    with receiver(Pipeline(error)) as senders:
        answer = senders.call(Signal.TRACES, b"")
    assert (answer.status, answer.error().code) == ("UNAVAILABLE", code_pb2.UNAVAILABLE)
    retry = error_details_pb2.RetryInfo()
    assert answer.error().details[0].Unpack(retry)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 0)
    assert error_details_pb2.RetryInfo.FromString(answer.headers["google.rpc.retryinfo-bin"]) == retry


def test_a_pipeline_that_never_answers_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender is not kept waiting for ever."""
    monkeypatch.setattr(grpc_server, "ANSWER_LIMIT_S", 0.05)
    with receiver(Pipeline()) as senders:
        assert senders.call(Signal.TRACES, b"").status == "UNAVAILABLE"


def test_calls_that_wait_too_long_for_a_thread_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are told to retry, until no more wait than can be answered soon; but one of each connection."""
    monkeypatch.setattr(grpc_server, "_MOST_WAITING", 2)
    monkeypatch.setattr(grpc_server, "_TURN_S", 3600.0)
    pipeline = Holding()
    server = GrpcServer(Exporter(pipeline, 1_000_000), ANY_PORT, workers=1)
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        export = channel.unary_unary(f"/{PROTOCOL[Signal.TRACES].grpc_service}/Export")
        calls = [export.future(b"", timeout=PATIENCE_S)]
        assert pipeline.entered.wait(PATIENCE_S)
        calls += [export.future(b"", timeout=PATIENCE_S) for _ in range(7)]
        deadline = time.monotonic() + PATIENCE_S
        while server._threads.waiting < 7:
            assert time.monotonic() < deadline
        pipeline.released.set()
        found = Counter(call.code().name for call in calls)
    server.stop(1)
    assert found == {"OK": 5, "UNAVAILABLE": 3}


class Holding:
    """Takes every request, once it is released."""

    def __init__(self) -> None:
        self.entered, self.released = threading.Event(), threading.Event()

    def submit(self, _signal: Signal, _body: bytes) -> Future[Rejection]:
        """See ``Submit``."""
        self.entered.set()
        assert self.released.wait(PATIENCE_S)
        answer: Future[Rejection] = Future()
        answer.set_result(Rejection())
        return answer


def test_a_long_message_fits_in_the_trailers() -> None:
    """GRPC drops an answer whose trailers are over 8 KiB, message and details together."""
    with receiver(Pipeline(PayloadTooLargeError("é" * 100_000))) as senders:
        answer = senders.call(Signal.TRACES, b"")
    assert answer.status == "RESOURCE_EXHAUSTED"
    assert answer.error().message.startswith("éé")


def test_a_full_queue_refuses_and_takes_the_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one request waits to be stored and fills the queue, the next is refused; later it is stored, once."""
    monkeypatch.setattr(inserter, "_LONGEST_WAIT_S", 1.5)  # time enough for all three to be refused meanwhile
    first, second = (trace_body(bytes([number]) * 16, name="x" * 1000) for number in (1, 2))
    with run_collector(tmp_path, queue_bytes=len(first) + 10) as collector:
        assert collector.send("grpc", first).status == "OK"
        refused = [collector.send(transport, second) for transport in TRANSPORTS]
        assert [answer.status for answer in refused] == ["UNAVAILABLE", 503, 503]
        assert all("raise the setting queue_bytes" in answer.error().message for answer in refused)
        collector.span(b"\1" * 16)
        answer = collector.send("grpc", second)
        while answer.status == "UNAVAILABLE":  # room is given back a moment after the rows can be read
            answer = collector.send("grpc", second)
        assert answer.status == "OK"
        assert collector.span(b"\2" * 16)["start_unix_nano"] == START_NS


@pytest.mark.parametrize(("one", "other"), list(itertools.product(TRANSPORTS, repeat=2)))
def test_a_span_that_comes_again_is_stored_once(collector: Collector, trace_id: bytes, one: str, other: str) -> None:
    """The same request again, by whatever transport, and its spans in another batch are known."""
    marker = bytes([9]) + trace_id[1:]
    for transport in (one, other, one):
        assert collector.send(transport, trace_body(trace_id)).status in (200, "OK")
    assert collector.send(other, trace_body(trace_id, marker)).status in (200, "OK")
    collector.span(marker)
    assert len(collector.rows(f"SELECT * FROM spans WHERE trace_id = '{trace_id.hex()}'")) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_request_that_comes_again_is_stored_once(collector: Collector, trace_id: bytes, transport: str) -> None:
    """Log records have no identity: it is the request that is known."""
    body, marker = log_body(trace_id), log_body(bytes([9]) + trace_id[1:])
    for request in (body, body, marker):
        assert collector.send(transport, request, Signal.LOGS).status in (200, "OK")
    collector.rows(f"SELECT 1 FROM logs WHERE trace_id = '09{trace_id[1:].hex()}'")
    assert len(collector.rows(f"SELECT 1 FROM logs WHERE trace_id = '{trace_id.hex()}'")) == 1


def test_a_request_that_comes_again_after_a_restart_is_stored_once(tmp_path: Path) -> None:
    """The sender may not have heard the answer because the collector was stopped."""
    body = log_body(b"\1" * 16)
    for _ in range(2):
        with run_collector(tmp_path) as collector:
            assert collector.send("http", body, Signal.LOGS).status == 200
            collector.rows("SELECT * FROM logs")
    with run_collector(tmp_path) as collector:
        assert len(collector.rows("SELECT * FROM logs")) == 1


def log_body(trace_id: bytes) -> bytes:
    """A request with one log record."""
    request = PROTOCOL[Signal.LOGS].request()
    request.resource_logs.add().scope_logs.add().log_records.add(trace_id=trace_id)
    return bytes(request.SerializeToString())
