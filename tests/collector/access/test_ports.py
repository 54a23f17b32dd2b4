"""Every port asks who comes: with which key, in which form, for what."""

from __future__ import annotations

import http.client
import json
import logging
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import status_pb2
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from collector.client import connect
from collector.errors import QueryError
from collector.service import Service
from collector.settings import load_settings
from collector.signals import PROTOCOL, Signal
from tests.collector.receiver.running import ANY_PORT, JSON, PROTOBUF, Collector, run_collector, trace_body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.collector.access.conftest import KeyFile

DATA = (
    *("/v1/sql", "/v1/traces", "/v1/traces/" + "1" * 32, "/v1/report", "/v1/diff", "/v1/simulate", "/v1/series"),
    *("/v1/saturation", "/v1/coupling/history", "/v1/status", "/openapi.json", "/metrics"),
)
SENT = [
    (None, 401),
    ("", 401),
    ("lsk_wrong", 401),
    ("query", 403),
    ("ingest", 200),
    ("admin", 200),
]
CODES = {200: "OK", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
FORMS = ("bearer", "header")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, key_file: KeyFile) -> Iterator[Collector]:
    """A collector with keys."""
    with run_collector(tmp_path_factory.mktemp("guarded"), keys=key_file.path) as running:
        yield running


def _headers(form: str, key: str | None, key_file: KeyFile) -> dict[str, str]:
    if key is None:
        return {}
    text = getattr(key_file, key, key)
    return {"authorization": f"Bearer {text}"} if form == "bearer" else {"x-api-key": text}


def _ask(
    address: str, path: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def _call(address: str, headers: dict[str, str]) -> tuple[str, str]:
    with grpc.insecure_channel(address) as channel:
        method = channel.unary_unary(f"/{PROTOCOL[Signal.TRACES].grpc_service}/Export")
        try:
            method(trace_body(b"\1" * 16), timeout=60, metadata=tuple(headers.items()))
        except grpc.RpcError as error:
            return error.code().name, error.details()
        return "OK", ""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("key", "status"), SENT)
def test_grpc_wants_a_key(guarded: Collector, key_file: KeyFile, form: str, key: str | None, status: int) -> None:
    """Without a valid one UNAUTHENTICATED, with one for something else PERMISSION_DENIED; both are permanent."""
    code, details = _call(guarded.grpc, _headers(form, key, key_file))
    assert code == CODES[status]
    assert "lsk_" not in details


@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("key", "status"), SENT)
def test_http_wants_a_key(
    guarded: Collector, key_file: KeyFile, media_type: str, form: str, key: str | None, status: int
) -> None:
    """The refusal is a Status in the form of the request, and says how a key is sent."""
    body = b"{}" if media_type == JSON else trace_body(b"\1" * 16)
    headers = {"content-type": media_type, **_headers(form, key, key_file)}
    answered, said, content = _ask(guarded.http, "/v1/traces", headers, body)
    assert (answered, said["content-type"]) == (status, media_type)
    assert (said["www-authenticate"] == "Bearer") == (status == 401)
    if status != 200:
        error: Any = status_pb2.Status()
        json_format.Parse(content, error) if media_type == JSON else error.ParseFromString(content)
        assert error.code == {401: 16, 403: 7}[status]
        assert "key" in error.message
        assert "lsk_" not in error.message


@pytest.mark.parametrize("path", DATA)
@pytest.mark.parametrize("form", FORMS)
def test_the_query_api_wants_a_key(guarded: Collector, key_file: KeyFile, form: str, path: str) -> None:
    """Metrics too: they name services and keys."""
    body = b"SELECT 1" if path == "/v1/sql" else None
    answered = {key: _ask(guarded.client.url[7:], path, _headers(form, key, key_file), body) for key, _ in SENT}
    missing = 404 if "111" in path else answered["query"][0]
    assert {key: status for key, (status, *_) in answered.items()} == {
        None: 401,
        "": 401,
        "lsk_wrong": 401,
        "ingest": 403,
        "query": missing,
        "admin": missing,
    }
    assert missing not in (401, 403)
    error = json.loads(answered[None][2])["error"]
    assert (error["code"], answered[None][1]["www-authenticate"]) == ("unauthenticated", "Bearer")
    assert json.loads(answered["ingest"][2])["error"]["code"] == "forbidden"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_open(guarded: Collector, path: str) -> None:
    """What probes the collector needs no secret, and health tells none."""
    assert _ask(guarded.client.url[7:], path, {})[0] == 200


def test_a_body_is_not_read_for_strangers(guarded: Collector) -> None:
    """What cannot even be unpacked is refused for the key that is missing."""
    headers = {"content-type": PROTOBUF, "content-encoding": "gzip"}
    assert _ask(guarded.http, "/v1/traces", headers, b"x" * 100)[0] == 401


def test_exporters_of_the_sdk_bring_their_key(guarded: Collector, key_file: KeyFile) -> None:
    """With the headers that their variables name; the spans are stored."""
    exporters = (
        GrpcExporter(endpoint=guarded.grpc, insecure=True, headers={"x-api-key": key_file.ingest}),
        HttpExporter(f"http://{guarded.http}/v1/traces", headers={"Authorization": f"Bearer {key_file.ingest}"}),
    )
    for name, exporter in zip(("over grpc", "over http"), exporters, strict=True):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        provider.get_tracer("test").start_span(name).end()
        provider.shutdown()
    client = connect(guarded.client.url, api_key=key_file.query)
    found = Collector(guarded.grpc, guarded.http, client).rows(
        "SELECT span_name FROM spans WHERE span_name LIKE 'over %' ORDER BY ALL", 2
    )
    assert found == [{"span_name": "over grpc"}, {"span_name": "over http"}]


def test_the_client_takes_its_key_from_the_environment(
    guarded: Collector, key_file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no key stands in a command line; without one, the collector's sentence is the error."""
    monkeypatch.delenv("LITHOSCOPE_API_KEY", raising=False)
    with pytest.raises(QueryError, match="wants an API key"):
        connect(guarded.client.url).status()
    monkeypatch.setenv("LITHOSCOPE_API_KEY", key_file.query)
    assert connect(guarded.client.url).status()["failure"] is None


def test_keys_are_named_in_metrics_and_shown_nowhere(
    tmp_path: Path, key_file: KeyFile, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither in metrics, nor in logs, nor in what the settings print."""
    caplog.set_level(logging.DEBUG)
    settings: dict[str, Any] = {"keys": key_file.path, "debug": True}
    with run_collector(tmp_path, **settings) as running:
        _call(running.grpc, {"x-api-key": key_file.ingest})
        _call(running.grpc, {"x-api-key": key_file.query})
        _call(running.grpc, {"x-api-key": "lsk_stranger"})
        _call(running.grpc, {})
        metrics = connect(running.client.url, api_key=key_file.admin).request("/metrics").decode()
    lines = {line for line in metrics.splitlines() if "admitted_total{" in line}
    assert lines == {
        'lithoscope_admitted_total{key="ingest",scope="ingest"} 1.0',
        'lithoscope_admitted_total{key="admin",scope="query"} 1.0',
        'lithoscope_not_admitted_total{reason="scope"} 1.0',
        'lithoscope_not_admitted_total{reason="unknown"} 1.0',
        'lithoscope_not_admitted_total{reason="missing"} 1.0',
    }
    shown = "".join((metrics, caplog.text, *capfd.readouterr(), repr(load_settings(settings))))
    assert "lsk_" not in shown


def test_without_keys_everything_is_as_it_was(tmp_path: Path) -> None:
    """A collector of one's own asks nobody."""
    with run_collector(tmp_path) as running:
        assert _call(running.grpc, {}) == ("OK", "")
        assert _ask(running.client.url[7:], "/metrics", {})[0] == 200


def test_the_dashboard_has_a_door_of_its_own(tmp_path: Path, key_file: KeyFile) -> None:
    """On the loopback address, with a key that opens nothing else and that another collector does not know."""
    hashed = "scrypt$2$1$1$AA==$AA=="
    ports: dict[str, Any] = {"grpc": ANY_PORT, "http": ANY_PORT, "query": ANY_PORT, "dashboard": ANY_PORT}
    settings = load_settings(
        {"db": tmp_path / "a.duckdb", "keys": key_file.path, "dashboard_password": hashed, **ports}
    )
    with Service(settings) as service:
        door = service.dashboard_door
        assert door.url.startswith("http://127.0.0.1:")
        assert door.url != service.url
        assert connect(door.url, api_key=door.key).status()["failure"] is None
        for url, key in ((door.url, None), (door.url, key_file.admin), (service.url, door.key)):
            with pytest.raises(QueryError, match="API key"):
                connect(url, api_key=key).status()
