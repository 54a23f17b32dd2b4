"""A running collector as its senders see it: OTLP over gRPC and HTTP in, SQL out."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import json_format
from google.rpc import status_pb2

from collector.client import Client, connect
from collector.service import Service
from collector.settings import Address, Settings
from collector.signals import PROTOCOL, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
ANY_PORT = Address("127.0.0.1", 0)
START_NS = 1_795_435_200_000_000_000
PATIENCE_S = 30.0

_pause = threading.Event()  # never set: a wait that a test can bound


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender hears: an HTTP status or a gRPC code's name, headers or trailing metadata, and the body."""

    status: int | str
    headers: dict[str, Any]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type of an HTTP answer."""
        return str(self.headers.get("content-type"))

    def error(self) -> status_pb2.Status:
        """The ``google.rpc.Status`` of a refusal, from protobuf or JSON."""
        if isinstance(self.status, str):
            return status_pb2.Status.FromString(self.headers["grpc-status-details-bin"])
        if self.content_type == PROTOBUF:
            return status_pb2.Status.FromString(self.body)
        return json_format.Parse(self.body, status_pb2.Status())

    def response(self, signal: Signal = Signal.TRACES) -> Any:
        """The Export response, from protobuf or JSON."""
        message = PROTOCOL[signal].response
        return json_format.Parse(self.body, message()) if self.content_type == JSON else message.FromString(self.body)


@dataclass(frozen=True, slots=True)
class Senders:
    """Sends plain bytes to the two receivers."""

    grpc: str
    http: str

    def post(
        self,
        path: str,
        body: bytes,
        content_type: str | None = PROTOBUF,
        encoding: str | None = None,
        method: str = "POST",
    ) -> Answer:
        """One HTTP request on a connection of its own."""
        headers = {"Content-Type": content_type, "Content-Encoding": encoding}
        connection = http.client.HTTPConnection(self.http, timeout=60)
        try:
            connection.request(method, path, body, {name: value for name, value in headers.items() if value})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read())
        finally:
            connection.close()

    def call(self, signal: Signal, body: bytes, compression: Any = None) -> Answer:
        """One gRPC call on a channel of its own."""
        options = [("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(self.grpc, options=options, compression=compression) as channel:
            method = channel.unary_unary(f"/{PROTOCOL[signal].grpc_service}/Export")
            try:
                return Answer("OK", {}, method(body, timeout=60))
            except grpc.RpcError as error:
                metadata = {item.key: item.value for item in error.trailing_metadata()}
                return Answer(error.code().name, metadata, error.details().encode())

    def send(self, transport: str, body: bytes, signal: Signal = Signal.TRACES) -> Answer:
        """Send a protobuf request by ``grpc``, ``http`` or ``json``."""
        if transport == "grpc":
            return self.call(signal, body)
        if transport == "json":
            return self.post(f"/v1/{signal.value}", as_json(PROTOCOL[signal].request.FromString(body)), JSON)
        return self.post(f"/v1/{signal.value}", body)


@dataclass(frozen=True, slots=True)
class Collector(Senders):
    """A running collector and a client of its query API."""

    client: Client

    def rows(self, query: str, count: int = 1) -> list[dict[str, Any]]:
        """The rows of an answer once there are ``count`` of them: rows appear a moment after the acknowledgement."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            rows: list[dict[str, Any]] = self.client.sql(query).to_dicts()
            if len(rows) >= count or time.monotonic() > deadline:
                assert len(rows) == count, f"{len(rows)} rows instead of {count}: {query}"
                return rows
            _pause.wait(0.02)

    def span(self, trace_id: bytes) -> dict[str, Any]:
        """The one span of a trace."""
        return self.rows(f"SELECT * FROM spans WHERE trace_id = '{trace_id.hex()}'")[0]


@contextmanager
def run_collector(folder: Path, **settings: Any) -> Iterator[Collector]:
    """A collector in this process, on free ports."""
    ports = {"grpc": ANY_PORT, "http": ANY_PORT, "query": ANY_PORT}
    with Service(Settings(db=folder / "test.duckdb", **{**ports, **settings})) as service:
        addresses = {name: str(address) for name, address in service.addresses.items()}
        yield Collector(addresses["grpc"], addresses["http"], connect(f"http://{addresses['query']}"))


def trace_request(*trace_ids: bytes, **fields: Any) -> Any:
    """A request with one span for each trace id."""
    request = PROTOCOL[Signal.TRACES].request()
    spans = request.resource_spans.add().scope_spans.add().spans
    for trace_id in trace_ids:
        times = {"start_time_unix_nano": START_NS, "end_time_unix_nano": START_NS + 5}
        spans.add(trace_id=trace_id, **{"span_id": b"\1" * 8, "name": "test", **times, **fields})
    return request


def trace_body(*trace_ids: bytes, **fields: Any) -> bytes:
    """The bytes of a ``trace_request``."""
    return bytes(trace_request(*trace_ids, **fields).SerializeToString())


def as_json(request: Any) -> bytes:
    """A request in OTLP's own JSON: ids in hexadecimal."""
    return json.dumps(_with_hex_ids(json_format.MessageToDict(request))).encode()


def _with_hex_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_hex_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _hex(item) if key in _IDS else _with_hex_ids(item) for key, item in value.items()}


def _hex(text: str) -> str:
    return base64.b64decode(text).hex()


_IDS = ("traceId", "spanId", "parentSpanId")


@contextmanager
def serve(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Collector]]:
    """A collector of its own process, and how to reach it; it is ended with SIGTERM and must end well."""
    command = [sys.executable, "-m", "lithoscope", "serve", "--db", str(folder / "test.duckdb")]
    ports = [part for name in ("grpc", "http", "query") for part in (f"--{name}", "127.0.0.1:0")]
    with subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            addresses = dict(process.stdout.readline().split() for _ in range(3))
            yield process, Collector(addresses["grpc"], addresses["http"], connect(f"http://{addresses['query']}"))
        finally:
            process.terminate()
            assert process.wait(60) == 0
