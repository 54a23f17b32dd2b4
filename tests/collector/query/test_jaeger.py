"""Jaeger's query API answers what its UI and Grafana ask, and loses nothing that Jaeger's JSON can say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from collector.ingest.pipeline import Pipeline
from collector.query.api import create_app
from collector.signals import Signal
from collector.store import open_store
from collector.web import WebServer
from tests.collector.importers.files import FIXTURES, read, spans_of
from tests.conftest import DAY_NS, START_NS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.client import Client

START_US, DAY_US = START_NS // 1000, DAY_NS // 1000
FIRST, SECOND = "01" * 16, "02" * 16


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[str]:
    """The address of a query API over a file of Jaeger's that has all that its JSON can say."""
    store = open_store(":memory:")
    pipeline = Pipeline(store, tmp_path / "log")
    for request in read(FIXTURES / "jaeger.json")[0]:
        pipeline.submit(Signal.TRACES, request.SerializeToString()).result()
    pipeline.flush()
    server = WebServer(create_app(store, pipeline), "127.0.0.1", 0, option="--query")
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()
    pipeline.close()
    store.close()


def ask(url: str, path: str, *options: tuple[str, str | int]) -> Any:
    """What is in ``data``; of a refusal its status, code and message."""
    try:
        with urlopen(f"{url}/api/{path}?{urlencode(options)}") as answer:
            return json.load(answer)["data"]
    except HTTPError as error:
        with error:
            (told,) = json.load(error)["errors"]
            return error.code, told["code"], told["msg"]


def found(url: str, *options: tuple[str, str | int]) -> list[str]:
    """The first bytes of the ids that a search finds."""
    return [trace["traceID"][:2] for trace in ask(url, "traces", *options)]


def test_what_jaeger_wrote_comes_back_as_it_was(imported: str, tmp_path: Path) -> None:
    """Ids, references, tags with their types, logs, processes, kind and status: read again they are the same spans."""
    again = tmp_path / "again.json"
    traces = [trace for service in ("shop", "till") for trace in ask(imported, "traces", ("service", service))]
    again.write_text(json.dumps({"data": [traces[0]]}))
    before, after = (spans_of(read(path)[0]) for path in (FIXTURES / "jaeger.json", again))
    for _, span in after:  # said of every span that has no scope's version
        kept = [attribute for attribute in span.attributes if not attribute.key.startswith("otel.scope")]
        del span.attributes[:]
        span.attributes.extend(kept)
    assert sorted(map(_said, after)) == sorted(map(_said, before))


def test_a_parent_comes_first_and_links_follow(imported: str) -> None:
    """As the references that Jaeger has for both."""
    traces = [trace for service in ("shop", "till") for trace in ask(imported, "traces", ("service", service))]
    references = [span["references"] for span in traces[0]["spans"] if span["references"]]
    assert [[one["refType"] for one in each] for each in references] == [["CHILD_OF", "FOLLOWS_FROM"]]


def _said(item: tuple[dict[str, Any], Any]) -> str:
    resource, span = item
    attributes = sorted((entry.key, str(entry.value)) for entry in span.attributes)
    rest = type(span)()
    rest.CopyFrom(span)
    del rest.attributes[:]
    return f"{sorted(resource.items())} {attributes} {rest}"


def test_services_and_their_operations(client: Client) -> None:
    """As the search form of the UI asks for them, under both paths."""
    assert ask(client.url, "services") == ["cart", "web"]
    assert ask(client.url, "services/cart/operations") == ["op 2", "op 3"]
    assert ask(client.url, "operations", ("service", "web")) == [
        {"name": "next day", "spanKind": ""},
        {"name": "op 1", "spanKind": ""},
    ]
    assert ask(client.url, "operations", ("service", "web"), ("spanKind", "server")) == []


def test_a_trace_with_its_error(client: Client) -> None:
    """By its id, with or without leading zeros."""
    (trace,) = ask(client.url, f"traces/{FIRST[1:]}")
    assert trace["traceID"] == FIRST
    assert [trace["processes"][span["processID"]]["serviceName"] for span in trace["spans"]] == ["web", "cart", "cart"]
    _, _, failed = trace["spans"]
    assert (failed["startTime"], failed["duration"]) == (START_US + 3_000, 27_000)
    assert failed["references"] == [{"refType": "CHILD_OF", "traceID": FIRST, "spanID": "00" * 7 + "02"}]
    assert {"key": "error", "type": "bool", "value": True} in failed["tags"]
    assert failed["logs"] == [
        {"timestamp": START_US, "fields": [{"key": "event", "type": "string", "value": "exception"}]}
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([("service", "web")], ["02", "01"]),
        ([("service", "web"), ("limit", 1)], ["02"]),
        ([("service", "cart")], ["01"]),
        ([("service", "web"), ("operation", "next day")], ["02"]),
        ([("service", "web"), ("start", START_US + DAY_US)], ["02"]),
        ([("service", "web"), ("end", START_US + DAY_US)], ["01"]),
        ([("service", "web"), ("minDuration", "1ms")], ["01"]),
        ([("service", "web"), ("maxDuration", "1ms")], ["02"]),
        ([("service", "cart"), ("tags", '{"error":"true"}')], ["01"]),
        ([("service", "web"), ("tag", "error:true")], []),
        ([("service", "web"), ("tags", '{"service.name":"web"}')], ["02", "01"]),
        ([("service", "web"), ("tag", "service.name:cart")], []),
        ([("traceID", FIRST), ("traceID", SECOND)], ["02", "01"]),
        ([("service", "it's none; DROP TABLE store.spans")], []),
    ],
)
def test_a_search(client: Client, options: list[tuple[str, str | int]], expected: list[str]) -> None:
    """All conditions are those of one span; the trace with the latest find comes first, and comes whole."""
    assert found(client.url, *options) == expected
    assert all(
        len(trace["spans"]) == (3 if trace["traceID"] == FIRST else 1) for trace in ask(client.url, "traces", *options)
    )


@pytest.mark.parametrize(
    ("path", "options", "status", "part"),
    [
        ("traces", [], 400, "service: name one"),
        ("operations", [], 400, "service: name one"),
        ("traces", [("service", "web"), ("tags", "[1]")], 400, "no JSON object"),
        ("traces", [("service", "web"), ("tag", "error")], 400, "key:value"),
        ("traces", [("service", "web"), ("start", "now")], 400, "whole number"),
        ("traces", [("service", "web"), ("minDuration", "long")], 400, "a duration"),
        ("traces/xyz", [], 400, "hex digits"),
        ("traces/" + "f" * 32, [], 404, "trace not found"),
        ("metrics/calls", [], 404, "not a part"),
    ],
)
def test_a_refusal_is_jaegers(
    client: Client, path: str, options: list[tuple[str, str]], status: int, part: str
) -> None:
    """With one sentence in the place where the UI looks for it."""
    *codes, message = ask(client.url, path, *options)
    assert (codes, part in message) == ([status, status], True), message


def test_dependencies_are_of_settled_minutes(client: Client) -> None:
    """None before any is settled."""
    assert ask(client.url, "dependencies", ("endTs", START_US // 1000), ("lookback", 86_400_000)) == []
