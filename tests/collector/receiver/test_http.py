"""OTLP over HTTP: duties 1 to 7 and 9 of a receiver."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time
import zlib
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from google.rpc import code_pb2, error_details_pb2

from collector.decode.validate import Rejection
from collector.errors import OverloadedError, RequestError, UnauthenticatedError
from collector.receiver import http_server
from collector.receiver.export import Exporter
from collector.receiver.http_server import create_app
from collector.receiver.status import status_of
from collector.signals import PROTOCOL, Signal
from collector.web import WebServer
from tests.collector.receiver.running import JSON, PATIENCE_S, PROTOBUF, Senders, as_json, trace_body, trace_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.collector.receiver.running import Answer, Collector

TYPES = [PROTOBUF, JSON]


class Pipeline:
    """Answers every request alike: with a rejection, an error, or never."""

    def __init__(self, outcome: Rejection | Exception | None = None, *, at_once: bool = False) -> None:
        self._outcome = outcome
        self._at_once = at_once
        self.answers: list[Future[Rejection]] = []
        self.submitted = threading.Event()

    def submit(self, _signal: Signal, _body: bytes) -> Future[Rejection]:
        """See ``Submit``."""
        if self._at_once and isinstance(self._outcome, Exception):
            raise self._outcome
        answer: Future[Rejection] = Future()
        self.answers.append(answer)
        self.submitted.set()
        if isinstance(self._outcome, Exception):
            answer.set_exception(self._outcome)
        elif self._outcome:
            answer.set_result(self._outcome)
        return answer


@contextmanager
def receiver(pipeline: Pipeline, grace_s: int = 5, receiving_bytes: int = 1 << 30) -> Iterator[Senders]:
    """The HTTP receiver alone, before a pipeline that behaves as told."""
    exporter = Exporter(pipeline, 1_000_000, receiving_bytes=receiving_bytes)
    server = WebServer(create_app(exporter), "127.0.0.1", 0, option="--http", grace_s=grace_s)
    server.start()
    yield Senders("", f"127.0.0.1:{server.port}")
    server.stop()


def body_of(request: Any, media_type: str) -> bytes:
    """A request in the form of a content type."""
    return as_json(request) if media_type == JSON else bytes(request.SerializeToString())


def zstd_stream(body: bytes) -> bytes:
    """Zstandard without the size in its header, as encoders of streams write it."""
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(body) + compressor.flush()


def raw_deflate(body: bytes) -> bytes:
    """Deflate without zlib's header, as some senders write it."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


@pytest.mark.parametrize(
    "content_type",
    [PROTOBUF, "application/x-protobuf; charset=utf-8", JSON, "application/json;charset=UTF-8", "Application/JSON"],
)
def test_spans_are_stored_whatever_way_the_content_type_is_written(
    collector: Collector, trace_id: bytes, content_type: str
) -> None:
    """Protobuf and JSON by Content-Type, whose parameters do not matter; success has an empty answer of that type."""
    media_type = content_type.partition(";")[0].lower()
    answer = collector.post("/v1/traces", body_of(trace_request(trace_id), media_type), content_type)
    assert (answer.status, answer.content_type) == (200, media_type)
    assert answer.body == (b"{}" if media_type == JSON else b"")
    assert collector.span(trace_id)["span_name"] == "test"


@pytest.mark.parametrize("media_type", TYPES)
def test_metrics_are_stored(collector: Collector, trace_id: bytes, media_type: str) -> None:
    """A data point sent to /v1/metrics comes back."""
    request = PROTOCOL[Signal.METRICS].request()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=trace_id.hex())
    metric.gauge.data_points.add(as_int=-(2**63), time_unix_nano=1)
    answer = collector.post("/v1/metrics", body_of(request, media_type), media_type)
    assert (answer.status, answer.response(Signal.METRICS)) == (200, PROTOCOL[Signal.METRICS].response())
    rows = collector.rows(f"SELECT type, value_int FROM metrics WHERE metric_name = '{trace_id.hex()}'")
    assert rows == [{"type": "gauge", "value_int": -(2**63)}]


@pytest.mark.parametrize("media_type", TYPES)
def test_logs_are_stored(collector: Collector, trace_id: bytes, media_type: str) -> None:
    """A log record sent to /v1/logs comes back, with its trace id."""
    request = PROTOCOL[Signal.LOGS].request()
    record = request.resource_logs.add().scope_logs.add().log_records.add(trace_id=trace_id, severity_number=9)
    record.body.string_value = "hello"
    answer = collector.post("/v1/logs", body_of(request, media_type), media_type)
    assert (answer.status, answer.response(Signal.LOGS)) == (200, PROTOCOL[Signal.LOGS].response())
    rows = collector.rows(f"SELECT body, severity_number FROM logs WHERE trace_id = '{trace_id.hex()}'")
    assert rows == [{"body": "hello", "severity_number": 9}]


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:7]) + gzip.compress(b"") + gzip.compress(body[7:])),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("zstd", zstandard.compress),
        ("zstd", zstd_stream),
        ("zstd", lambda body: zstandard.compress(body[:7]) + zstandard.compress(body[7:])),
    ],
)
@pytest.mark.parametrize("media_type", TYPES)
def test_compressed_requests_are_stored(
    collector: Collector, trace_id: bytes, media_type: str, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    """Every content encoding that OTLP exporters use, in the variants that their libraries write."""
    body = compress(body_of(trace_request(trace_id), media_type))
    assert collector.post("/v1/traces", body, media_type, encoding).status == 200
    assert collector.span(trace_id)["duration_ns"] == 5


def test_ids_in_json_are_hexadecimal_in_either_case(collector: Collector) -> None:
    """``traceId`` in upper case is the same id; unknown fields and numbers in strings do no harm."""
    body = (
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "ABCDEF0123456789ABCDEF0123456789", '
        '"spanId": "ABCDEF0123456789", "parentSpanId": "", "name": "json", "kind": 2, "soon": {"x": [1]}, '
        '"startTimeUnixNano": "1795435200000000000", "endTimeUnixNano": 1795435200000000007, '
        '"links": [{"traceId": "ABCDEF0123456789ABCDEF0123456788", "spanId": "ABCDEF0123456788"}]}]}]}]}'
    )
    assert collector.post("/v1/traces", body.encode(), JSON).status == 200
    row = collector.span(bytes.fromhex("abcdef0123456789abcdef0123456789"))
    assert (row["span_id"], row["parent_span_id"], row["kind"]) == ("abcdef0123456789", None, "server")
    assert row["duration_ns"] == 7
    assert row["links"][0]["trace_id"] == "abcdef0123456789abcdef0123456788"
    assert row["links"][0]["span_id"] == "abcdef0123456788"


@pytest.mark.parametrize(("media_type", "body"), [(PROTOBUF, b""), (JSON, b"{}")])
@pytest.mark.parametrize("signal", Signal)
def test_an_empty_request_is_a_success(collector: Collector, signal: Signal, media_type: str, body: bytes) -> None:
    """Nothing to store is no mistake."""
    answer = collector.post(f"/v1/{signal.value}", body, media_type)
    assert (answer.status, answer.response(signal)) == (200, PROTOCOL[signal].response())


@pytest.mark.parametrize("media_type", TYPES)
def test_a_bad_span_is_refused_alone(collector: Collector, trace_id: bytes, media_type: str) -> None:
    """The answer counts the bad spans and names the reasons; the good one is stored."""
    request = trace_request(trace_id, b"\0" * 16, b"short")
    request.resource_spans[0].scope_spans[0].spans.add(trace_id=trace_id, span_id=b"\0" * 8)
    answer = collector.post("/v1/traces", body_of(request, media_type), media_type)
    partial = answer.response().partial_success
    assert (answer.status, partial.rejected_spans) == (200, 3)
    assert "2: trace_id must be 16 bytes and not all zero" in partial.error_message
    assert "1: span_id must be 8 bytes and not all zero" in partial.error_message
    assert collector.span(trace_id)["span_id"] == "01" * 8


@pytest.mark.parametrize("media_type", TYPES)
def test_the_answer_stays_small_whatever_is_refused(collector: Collector, media_type: str) -> None:
    """Thousands of refused spans are told in one line."""
    request = trace_request(*[b"\0" * 16] * 5000, name=media_type)
    answer = collector.post("/v1/traces", body_of(request, media_type), media_type)
    assert answer.response().partial_success.rejected_spans == 5000
    assert len(answer.body) < 500


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (PROTOBUF, b"\xff\xff\xff\xff"),
        (PROTOBUF, trace_body(b"\1" * 16)[:-3]),
        (JSON, b'{"resourceSpans": ['),
        (JSON, b"\xff"),
    ],
)
@pytest.mark.parametrize("signal", Signal)
def test_what_cannot_be_decoded_is_400(collector: Collector, signal: Signal, media_type: str, body: bytes) -> None:
    """The error is a ``google.rpc.Status`` in the request's own content type, and is not to be retried."""
    answer = collector.post(f"/v1/{signal.value}", body, media_type)
    assert (answer.status, answer.content_type) == (400, media_type)
    assert answer.error().code == code_pb2.INVALID_ARGUMENT
    assert answer.error().message
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate), ("zstd", zstd_stream)],
)
@pytest.mark.parametrize("damage", ["cut", "head only", "other"])
def test_damaged_compression_is_400(
    collector: Collector, encoding: str, compress: Callable[[bytes], bytes], damage: str
) -> None:
    """A body that was cut off is refused, even where what is left would decode, and so is one of other data."""
    whole = compress(trace_body(*(number.to_bytes(16, "big") for number in range(1000, 1100))))
    body = {"cut": whole[:-1], "head only": whole[:9], "other": b"plain" * 100}[damage]
    answer = collector.post("/v1/traces", body, PROTOBUF, encoding)
    assert (answer.status, answer.error().code) == (400, code_pb2.INVALID_ARGUMENT)
    assert encoding in answer.error().message


@pytest.mark.parametrize("media_type", TYPES)
def test_an_unknown_content_encoding_is_415(collector: Collector, media_type: str) -> None:
    """The answer names what is taken."""
    answer = collector.post("/v1/traces", b"x", media_type, "br")
    assert (answer.status, answer.content_type) == (415, media_type)
    assert answer.error().message == (
        "Content-Encoding 'br' is not supported: send gzip, zstd, deflate or no encoding."
    )


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/grpc", "x"])
def test_an_unknown_content_type_is_415(collector: Collector, content_type: str | None) -> None:
    """The answer is in JSON, and names what is taken."""
    answer = collector.post("/v1/traces", b"{}", content_type)
    assert (answer.status, answer.content_type) == (415, JSON)
    assert "send application/x-protobuf or application/json" in answer.error().message


@pytest.mark.parametrize("media_type", TYPES)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_wrong_method_is_405(collector: Collector, media_type: str, method: str) -> None:
    """The answer says which method is right, in the header and in words."""
    answer = collector.post("/v1/traces", b"", media_type, method=method)
    assert (answer.status, answer.content_type, answer.headers["allow"]) == (405, media_type, "POST")
    assert answer.error().code == code_pb2.UNIMPLEMENTED
    assert "POST to /v1/traces" in answer.error().message


@pytest.mark.parametrize("content_type", [*TYPES, None])
@pytest.mark.parametrize("path", ["/", "/v1/spans", "//v1/traces", f"/{'x' * 3000}"])
def test_a_wrong_path_is_404_and_names_the_right_one(collector: Collector, content_type: str | None, path: str) -> None:
    """Most often the endpoint was configured without its path."""
    answer = collector.post(path, b"", content_type)
    assert (answer.status, answer.content_type) == (404, content_type or JSON)
    assert answer.error().code == code_pb2.NOT_FOUND
    assert "POST to /v1/traces, /v1/metrics or /v1/logs" in answer.error().message


@pytest.mark.parametrize("media_type", TYPES)
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("error", "message"),
    [(OverloadedError("No room."), "No room."), (ValueError("no idea"), "its log says why"), (KeyError(), "log says")],
)
def test_overload_and_failures_are_503(media_type: str, error: Exception, message: str, *, at_once: bool) -> None:
    """The sender is told to try again in a second: by header, and by the ``RetryInfo`` in the body."""
    with receiver(Pipeline(error, at_once=at_once)) as senders:
        answer = senders.post("/v1/traces", b"{}" if media_type == JSON else b"", media_type)
    assert (answer.status, answer.content_type, answer.headers["retry-after"]) == (503, media_type, "1")
    status = answer.error()
    assert (status.code, len(status.details)) == (code_pb2.UNAVAILABLE, 1)
    assert message in status.message
    retry = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(retry)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 0)


def test_a_pipeline_that_never_answers_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender is not kept waiting for ever, and a request that is still under way is not cancelled."""
    monkeypatch.setattr(http_server, "ANSWER_LIMIT_S", 0.05)
    pipeline = Pipeline()
    with receiver(pipeline) as senders:
        assert senders.post("/v1/traces", b"").status == 503
    assert not pipeline.answers[0].cancelled()


def test_stopping_cancels_no_request_in_the_pipeline() -> None:
    """When the grace is over, the connection ends; the request's answer can still be given without an error."""
    pipeline = Pipeline()
    with receiver(pipeline, grace_s=1) as senders:
        connection = socket.create_connection(senders.http.split(":"))  # type: ignore[arg-type]
        connection.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
        )
        assert pipeline.submitted.wait(PATIENCE_S)
    connection.close()
    pipeline.answers[0].set_result(Rejection())


def test_a_client_that_leaves_harms_nobody(
    collector: Collector, trace_id: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """A connection that breaks within a body is no error of the collector's, and the next request is stored."""
    host, _, port = collector.http.partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 9\r\n\r\nx"
        )
    assert collector.post("/v1/traces", trace_body(trace_id)).status == 200
    assert collector.span(trace_id)["span_name"] == "test"
    assert capfd.readouterr() == ("", "")


HALF = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 60\r\n\r\n"


def test_what_is_still_coming_in_is_bounded_too(trace_id: bytes) -> None:
    """A sender that finds no room is told to retry; a sender that leaves gives its room back."""
    body = trace_body(trace_id)
    pipeline = Pipeline(Rejection(1, "x"))
    with receiver(pipeline, receiving_bytes=len(body) + 10) as senders:
        host, _, port = senders.http.partition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(HALF + b"x" * 40)
            refused = wait_for(lambda: senders.post("/v1/traces", body), lambda answer: answer.status == 503)
            assert "bytes wait to be stored" in refused.error().message
        wait_for(lambda: senders.post("/v1/traces", body), lambda answer: answer.status == 200)


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sender is told to send it again."""
    monkeypatch.setattr(http_server, "ANSWER_LIMIT_S", 0.05)
    with receiver(Pipeline()) as senders:
        host, _, port = senders.http.partition(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
            connection.sendall(HALF + b"x")
            assert connection.recv(100).startswith(b"HTTP/1.1 503 ")


def wait_for(ask: Callable[[], Answer], is_right: Callable[[Answer], bool]) -> Answer:
    """Ask until the answer is right: another connection may be a moment behind."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_right(answer := ask()):
        assert time.monotonic() < deadline, answer
    return answer


def test_a_long_message_is_shortened() -> None:
    """A parser may quote the request: the answer does not carry it back."""
    error = UnauthenticatedError("a" * 1_000_000 + "z")
    with receiver(Pipeline(error)) as senders:
        answer = senders.post("/v1/traces", b"")
    assert (answer.status, answer.error().message[-1]) == (401, "z")
    assert len(answer.body) < 2000


def test_a_connection_is_kept_beyond_the_pause_of_the_sdks(collector: Collector) -> None:
    """Requests share a connection, and it is not closed at the 5 s after which SDKs send their next batch."""
    connection = http.client.HTTPConnection(collector.http)
    for _ in range(3):
        connection.request("POST", "/v1/traces", b"", {"Content-Type": PROTOBUF})
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.will_close) == (200, False)
    connection.close()
    app = create_app(Exporter(Pipeline(), 1))
    server = WebServer(app, "127.0.0.1", 0, option="--http")
    assert server._server.config.timeout_keep_alive > 60
    server.stop()


def test_every_refusal_has_a_status() -> None:
    """The table knows each error a request can end with."""
    leaves = [error for error in RequestError.__subclasses__() if not error.__subclasses__()]
    with_status = [status_of(error("x")).http for error in leaves]
    assert sorted(with_status) == [400, 401, 403, 413, 415, 503]
