"""The query API: forms, errors, limits, health."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collector.access.gate import Gate
from collector.access.keys import FixedKeys, Key, Scope, digest_of
from collector.errors import QueryError, StoreError
from collector.query.api import create_app
from collector.store.protocol import QueryLimits
from collector.telemetry import Telemetry
from collector.web import WebServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette

    from collector.client import Client

_COUNT = "SELECT service_name, count(*) AS spans FROM spans GROUP BY ALL ORDER BY ALL"
_COUNTED = [{"service_name": "cart", "spans": 2}, {"service_name": "web", "spans": 2}]


@pytest.mark.parametrize(
    ("accept", "media_type", "read"),
    [
        ("*/*", "application/json", json.loads),
        ("application/json", "application/json", json.loads),
        (
            "application/vnd.apache.arrow.stream",
            "application/vnd.apache.arrow.stream",
            lambda content: pa.ipc.open_stream(content).read_all().to_pylist(),
        ),
        (
            "application/vnd.apache.parquet",
            "application/vnd.apache.parquet",
            lambda content: pq.read_table(io.BytesIO(content)).to_pylist(),
        ),
    ],
)
def test_accept_picks_the_form(
    client: Client, accept: str, media_type: str, read: Callable[[bytes], list[dict[str, Any]]]
) -> None:
    """The same rows in each form, under its content type."""
    request = Request(f"{client.url}/v1/sql", _COUNT.encode(), {"Accept": accept})
    with urlopen(request) as answer:
        assert answer.headers["content-type"] == media_type
        assert read(answer.read()) == _COUNTED


def test_csv(client: Client) -> None:
    """CSV for spreadsheets and pipes."""
    assert client.request("/v1/sql", _COUNT.encode(), {"Accept": "text/csv"}) == b"service_name,spans\ncart,2\nweb,2\n"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/sql", b"SELEC 1", 400, "bad_sql"),
        ("/v1/sql", b"", 400, "not_a_read"),
        ("/v1/sql", b"\xff", 400, "bad_sql"),
        ("/v1/sql", b"DROP TABLE store.spans", 400, "not_a_read"),
        ("/v1/sql", b"SELECT * FROM range(1001)", 413, "row_limit"),
        ("/v1/sql", b"SELECT '" + b"x" * 1024**2 + b"'", 413, "too_large"),
        ("/v1/sql", None, 405, "not_found"),
        ("/v1/traces/zz", None, 400, "bad_sql"),
        ("/v1/traces/" + "f" * 32, None, 404, "not_found"),
        ("/v1/nothing", None, 404, "not_found"),
    ],
)
def test_an_error_is_json_with_its_status(
    client: Client, path: str, body: bytes | None, status: int, code: str
) -> None:
    """Every refusal says what, and its code is stable."""
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(client.url + path, body))
    with caught.value as answer:
        error = json.loads(answer.read())
    assert (answer.code, list(error), list(error["error"])) == (status, ["error"], ["code", "message", "hint"])
    assert error["error"]["code"] == code
    assert error["error"]["message"]


def test_an_unknown_form_is_refused(client: Client) -> None:
    """Whoever asks for a form that is not offered learns which are."""
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(f"{client.url}/v1/sql", b"SELECT 1", {"Accept": "text/html"}))
    with caught.value as answer:
        error = json.loads(answer.read())["error"]
    assert (answer.code, error["code"]) == (406, "not_acceptable")
    assert "text/csv" in error["hint"]


def test_a_trace_is_json(client: Client) -> None:
    """Spans by start, with the contract's keys; what only the analysis knows is null."""
    trace = json.loads(client.request("/v1/traces/" + "01" * 16))
    spans = trace.pop("spans")
    assert trace == {"trace_id": "01" * 16, "complete": True, "skew_adjusted": False, "critical_path": []}
    assert [(span["span_id"], span["parent_span_id"], span["service"], span["status"]) for span in spans] == [
        ("0000000000000001", None, "web", "unset"),
        ("0000000000000002", "0000000000000001", "cart", "unset"),
        ("0000000000000003", "0000000000000002", "cart", "error"),
    ]
    assert spans[2] == {
        "span_id": "0000000000000003",
        "parent_span_id": "0000000000000002",
        "service": "cart",
        "name": "op 3",
        "kind": "unspecified",
        "status": "error",
        "start_unix_nano": 1_795_435_200_003_000_000,
        "duration_ns": 27_000_000,
        "status_message": None,
        "http_status_code": None,
        "event_count": 1,
        "exceptions": [{"type": None, "message": None}],
        "self_time_ns": None,
        "critical_path_ns": None,
    }


def test_health_status_and_metrics(client: Client) -> None:
    """Alive, ready, where the receivers are, and the collector's own metrics."""
    assert client.request("/healthz") == b"ok\n"
    assert client.request("/readyz") == b"ready\n"
    assert client.status() == {"addresses": {"http": "127.0.0.1:4318"}, "failure": None}
    assert b"lithoscope_records_stored_total 4.0" in client.request("/metrics")


# -- without a socket: what a store does is scripted ---------------------------------------------------------------


def test_a_client_that_goes_away_ends_its_query() -> None:
    """Its turn is free for others again."""
    ended = threading.Event()

    def query(_sql: str, _limits: object, stop: threading.Event) -> pa.Table:
        assert stop.wait(20)
        ended.set()
        raise QueryError("Nobody waits.", code="time_limit")

    server = WebServer(_app(query), "127.0.0.1", 0, option="--query")
    server.start()
    try:
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(b"POST /v1/sql HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nSELECT 1")
        connection.close()
        assert ended.wait(20)
    finally:
        server.stop()


def _app(
    query: Callable[..., pa.Table], *, failure: str | None = None, is_refusing: bool = False, **options: Any
) -> Starlette:
    ingest: Any = SimpleNamespace(telemetry=Telemetry(), failure=failure, is_refusing=is_refusing)
    store: Any = SimpleNamespace(query=query)
    return create_app(store, ingest, **options)


async def _call(
    app: Starlette, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Answer one request, as a server would ask for it."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": "GET" if body is None else "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body or b""}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def _raise(error: Exception) -> Callable[..., pa.Table]:
    def query(*_: object) -> pa.Table:
        raise error

    return query


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (QueryError("slow", code="time_limit"), 408, "time_limit"),
        (QueryError("large", code="memory_limit"), 413, "memory_limit"),
        (StoreError("broken"), 503, "store"),
    ],
)
def test_what_the_store_raises_has_its_status(error: Exception, status: int, code: str) -> None:
    """One table turns error codes into HTTP statuses."""
    found, content = asyncio.run(_call(_app(_raise(error)), "/v1/sql", b"SELECT 1"))
    assert (found, json.loads(content)) == (status, {"error": {"code": code, "message": str(error), "hint": ""}})


@pytest.mark.parametrize(
    ("is_refusing", "answer"), [(False, (200, b"degraded: disk full\n")), (True, (503, b"refusing: disk full\n"))]
)
def test_ready_is_who_takes_telemetry(answer: tuple[int, bytes], *, is_refusing: bool) -> None:
    """A failing store is no reason to send it elsewhere while the log takes it; and a restart never helps a disk."""
    app = _app(_raise(StoreError("x")), failure="disk full", is_refusing=is_refusing)
    assert asyncio.run(_call(app, "/readyz")) == answer
    assert asyncio.run(_call(app, "/healthz")) == (200, b"ok\n")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic one"}, 401),
        ({"Authorization": "Bearer one"}, 200),
        ({"Authorization": "bearer two"}, 200),
        ({"X-Api-Key": "two"}, 200),
        ({"X-Api-Key": ""}, 401),
    ],
)
def test_keys_open_the_data(headers: dict[str, str], status: int) -> None:
    """Two keys are valid at once, so that they can be changed; health needs none."""
    keys = [Key(name, frozenset({Scope.QUERY}), digest_of(name)) for name in ("one", "two")]
    app = _app(lambda *_: pa.table({"a": [1]}), gate=Gate(FixedKeys(*keys)))
    assert asyncio.run(_call(app, "/v1/sql", b"SELECT 1", headers))[0] == status
    assert asyncio.run(_call(app, "/v1/status", None, headers))[0] == status
    assert asyncio.run(_call(app, "/healthz"))[0] == 200


def test_a_key_queries_within_its_own_limits() -> None:
    """What its table says, and for the rest what all keys have."""
    asked: list[QueryLimits] = []

    def query(_: str, limits: QueryLimits, *__: object) -> pa.Table:
        asked.append(limits)
        return pa.table({"a": [1]})

    keys = [Key("plain", frozenset({Scope.QUERY}), digest_of("plain"))]
    keys.append(Key("own", frozenset({Scope.QUERY}), digest_of("own"), {"query_rows": 5, "query_seconds": 2.0}))
    app = _app(query, gate=Gate(FixedKeys(*keys)))
    for name in ("plain", "own"):
        asyncio.run(_call(app, "/v1/sql", b"SELECT 1", {"X-Api-Key": name}))
    assert asked == [QueryLimits(), QueryLimits(seconds=2.0, rows=5)]


def test_queries_wait_in_a_bounded_queue() -> None:
    """Four run, 32 wait, and one more is told to come back; all that waited are answered."""
    release = threading.Event()

    def query(*_: object) -> pa.Table:
        assert release.wait(20)
        return pa.table({"a": [1]})

    async def ask() -> list[int]:
        app = _app(query)
        tasks = [asyncio.create_task(_call(app, "/v1/sql", b"SELECT 1")) for _ in range(37)]
        first, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        refused = [task.result()[0] for task in first]
        release.set()
        return refused + sorted([(await task)[0] for task in tasks if task not in first])

    assert asyncio.run(ask()) == [429, *[200] * 36]
