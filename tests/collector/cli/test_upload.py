"""OTLP/HTTP from the command line: patient with a busy collector, plain about a refusal."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from collector.cli.upload import Upload
from collector.errors import InvalidRequestError, LithoscopeError, PayloadTooLargeError
from collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _scripted(*answers: tuple[int, bytes], host: str = "127.0.0.1") -> Iterator[tuple[Upload, list[str]]]:
    """A collector that gives these answers in turn, and the paths it was asked for."""
    waiting = list(answers)
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked.append(f"{self.path} {self.rfile.read(int(self.headers['Content-Length'])).decode()}")
            status, content = waiting.pop(0)
            self.send_response(status)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with Upload(f"{host}:{server.server_port}", "http://127.0.0.1:4319") as upload:
            yield upload, asked
        server.shutdown()


def test_a_busy_collector_is_asked_again() -> None:
    """After the time it names, with the same bytes, until it takes them."""
    with _scripted((503, b""), (429, b""), (200, b"")) as (upload, asked):
        assert upload.post(Signal.LOGS, b"body") == (0, "")
    assert asked == ["/v1/logs body"] * 3


def test_partial_success_is_told() -> None:
    """How many records were refused, and why."""
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = 3
    response.partial_success.error_message = "too old"
    with _scripted((200, response.SerializeToString())) as (upload, _):
        assert upload.post(Signal.LOGS, b"body") == (3, "too old")


@pytest.mark.parametrize(("status", "error"), [(400, InvalidRequestError), (413, PayloadTooLargeError)])
def test_a_refusal_has_the_collectors_words(status: int, error: type[Exception]) -> None:
    """The request is given up and the next one is sent on the same connection."""
    with _scripted((status, Status(message="no").SerializeToString()), (200, b"")) as (upload, _):
        with pytest.raises(error, match=r"^no$"):
            upload.post(Signal.TRACES, b"body")
        assert upload.post(Signal.TRACES, b"body") == (0, "")


def test_an_address_that_means_everywhere_is_the_query_apis_host() -> None:
    """A collector that listens on 0.0.0.0 is reached where its query API was."""
    with _scripted((200, b""), host="0.0.0.0") as (upload, _):
        assert upload.post(Signal.TRACES, b"body") == (0, "")


def test_a_collector_that_is_gone_is_named() -> None:
    """The address that does not answer is in the message."""
    with pytest.raises(LithoscopeError, match=r"does not take OTLP/HTTP at 127\.0\.0\.1:1 "):
        Upload("127.0.0.1:1", "http://127.0.0.1:4319").post(Signal.TRACES, b"")
