"""Zipkin JSON keeps all that it says of a span, shared ids included."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.trace.v1 import trace_pb2

from collector.importers import building
from tests.collector.importers.files import FIXTURES, read, real_data, spans_of, values

if TYPE_CHECKING:
    from pathlib import Path

Span: Any = trace_pb2.Span  # its stubs do not know that messages may be given as mappings
_TRACE_ID = bytes(8) + bytes.fromhex("a1b2c3d4e5f60718")
_START_NS = 1_700_000_000_000_000_000
_KINDS = {None: 0, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}


def test_everything_a_span_says_is_kept() -> None:
    """Ids, times, kind, tags, endpoints, annotations and flags; a shared id stays one for both sides."""
    requests, problems = read(FIXTURES / "zipkin.json")
    (shop, client), (till, server), (nothing, untimed) = spans_of(requests)
    assert problems == []
    assert (shop, till, nothing) == ({"service.name": "shop", "host.ip": "10.0.0.1"}, {"service.name": "till"}, {})
    assert [(event.name, event.time_unix_nano) for event in client.events] == [("sent", _START_NS + 21_000)]
    assert [values(span.attributes) for span in (client, server, untimed)] == [
        {
            "http.path": "/pay",
            "error": "timeout",
            "network.local.port": 8080,
            "peer.service": "till",
            "network.peer.address": "10.0.0.2",
            "network.peer.port": 9000,
        },
        {"zipkin.debug": True, "zipkin.shared": True},
        {},
    ]
    for span in (client, server):
        del span.attributes[:], span.events[:]
    shared = {"trace_id": _TRACE_ID, "span_id": b"\0" * 7 + b"\xc1"}
    times = {"start_time_unix_nano": _START_NS + 1_000, "end_time_unix_nano": _START_NS + 91_000}
    assert client == Span(**shared, **times, name="get", kind=3, status={"code": 2, "message": "timeout"})
    times = {"start_time_unix_nano": _START_NS + 11_000, "end_time_unix_nano": _START_NS + 11_000}
    assert server == Span(**shared, **times, parent_span_id=b"\0" * 7 + b"\xc0", kind=2)
    trace_id = bytes.fromhex("0123456789abcdef0123456789abcdef")
    assert untimed == Span(trace_id=trace_id, span_id=b"\0" * 7 + b"\xc3", name="untimed", end_time_unix_nano=7_000)


def test_a_list_of_traces_is_read_like_a_list_of_spans(tmp_path: Path) -> None:
    """Zipkin's API answers with either."""
    spans = json.loads((FIXTURES / "zipkin.json").read_text())
    (tmp_path / "x").write_text(json.dumps([spans[:2], spans[2:]]))
    assert read(tmp_path / "x") == read(FIXTURES / "zipkin.json")


def test_a_bad_span_costs_itself_only(tmp_path: Path) -> None:
    """Each is named by its number, the first one too."""
    bad = [{"id": "1"}, 5, {"traceId": "g", "id": "1"}, {"traceId": "1", "id": "1", "timestamp": float("inf")}]
    (tmp_path / "x").write_text(json.dumps([*bad, {"traceId": "1", "id": "2"}]).replace("Infinity", "1e999"))
    requests, problems = read(tmp_path / "x")
    assert [span.span_id[-1] for _, span in spans_of(requests)] == [2]
    assert [problem.partition(":")[0] for problem in problems] == [f"span {number}" for number in range(1, 5)]


@pytest.mark.parametrize(("bound", "most"), [("MOST_RECORDS", 2), ("MOST_BYTES", 60)])
def test_a_large_document_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, most: int) -> None:
    """By records and by bytes; a request ends once it is full, and begins with its resources again."""
    monkeypatch.setattr(building, bound, most)
    spans = [
        {"traceId": "1", "id": str(number), "name": "op", "localEndpoint": {"serviceName": "shop"}}
        for number in range(1, 6)
    ]
    (tmp_path / "x").write_text(json.dumps(spans))
    requests, problems = read(tmp_path / "x")
    found = [[(resource["service.name"], span.span_id[-1]) for resource, span in spans_of([r])] for r in requests]
    assert (found, problems) == ([[("shop", 1), ("shop", 2)], [("shop", 3), ("shop", 4)], [("shop", 5)]], [])


@pytest.mark.parametrize(
    "name",
    [
        "ascend",
        "envoy",
        "messaging",
        "messaging-kafka",
        "messaging2",
        "simple-db-p6",
        "skew",
        "smartthings-mobile-web-install",
        "smartthings-oauth-authorization",
        "yelp",
    ],
)
def test_zipkins_own_files_are_read_whole(name: str) -> None:
    """Ids, parents, kinds and times are those of the file, span by span."""
    path = real_data("zipkin-lens") / f"{name}.json"
    requests, problems = read(path)
    expected = [
        (
            raw["traceId"].zfill(32),
            raw["id"].zfill(16),
            raw.get("parentId", ""),
            _KINDS[raw.get("kind")],
            raw.get("timestamp", 0) * 1000,
            (raw.get("timestamp", 0) + raw.get("duration", 0)) * 1000,
            raw.get("localEndpoint", {}).get("serviceName"),
            raw.get("tags", {}),
        )
        for raw in json.loads(path.read_text())
    ]
    found = [
        (
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.kind,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            resource.get("service.name"),
            {key: value for key, value in values(span.attributes).items() if not key.startswith(_ADDED)},
        )
        for resource, span in spans_of(requests)
    ]
    assert problems == []
    assert sorted(found, key=repr) == sorted(expected, key=repr)


_ADDED = ("zipkin.", "network.", "peer.service")
