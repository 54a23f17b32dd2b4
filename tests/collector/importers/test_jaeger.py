"""Jaeger JSON keeps all that it says of a span, and guesses nothing."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.trace.v1 import trace_pb2

from tests.collector.importers.files import FIXTURES, read, real_data, spans_of, values

if TYPE_CHECKING:
    from pathlib import Path

Span: Any = trace_pb2.Span  # its stubs do not know that messages may be given as mappings
_TRACE_ID = bytes(8) + bytes.fromhex("a1b2c3d4e5f60718")
_START_NS = 1_700_000_000_000_000_000


def _span(path: Path, *spans: Any, **trace: Any) -> tuple[list[Any], list[str]]:
    """Write these spans, each with what every span needs, as one trace and read them back."""
    needed = {"traceID": "1", "spanID": "2", "operationName": "op", "startTime": 1, "duration": 1}
    full = [needed | span if isinstance(span, dict) else span for span in spans]
    path.write_text(json.dumps({"data": [{"spans": full} | trace]}).replace("Infinity", "1e999"))
    requests, problems = read(path)
    return spans_of(requests), problems


def test_everything_a_span_says_is_kept() -> None:
    """Ids padded, times in ns, typed tags, logs, process, warnings, kind and status; nested copies ignored."""
    requests, problems = read(FIXTURES / "jaeger.json")
    (shop, server), (till, client) = spans_of(requests)
    assert problems == []
    assert (shop, till) == ({"service.name": "shop", "hostname": "h1"}, {"service.name": "till"})
    assert values(server.attributes) == {
        "ok": True,
        "http.status_code": 500,
        "ratio": 0.5,
        "blob": b"\0\1\2",
        "error": True,
        "jaeger.warnings": "clock skew; late",
    }
    assert [(event.name, event.time_unix_nano, values(event.attributes)) for event in server.events] == [
        ("retry", _START_NS + 101_000, {"attempt": 2})
    ]
    assert values(client.attributes) == {}
    for cleared in (server, client):
        del cleared.attributes[:], cleared.events[:]
    assert server == Span(
        trace_id=_TRACE_ID,
        span_id=b"\0" * 7 + b"\xb1",
        name="checkout_server",
        kind=Span.SPAN_KIND_SERVER,
        flags=1,
        start_time_unix_nano=_START_NS + 1_000,
        end_time_unix_nano=_START_NS + 251_000,
        status={"code": 2},
    )
    assert client == Span(
        trace_id=_TRACE_ID,
        span_id=b"\0" * 7 + b"\xb2",
        parent_span_id=b"\0" * 7 + b"\xb1",
        name="pay_client",
        start_time_unix_nano=_START_NS + 11_000,
        end_time_unix_nano=_START_NS + 11_000,
        links=[{"trace_id": b"\0" * 15 + b"\xee", "span_id": b"\0" * 7 + b"\xed"}],
        status={"code": 1},
    )


def test_what_is_not_understood_stays_an_attribute(tmp_path: Path) -> None:
    """A kind or a status that OpenTelemetry does not have is data all the same; so is a value without a type."""
    tags = [
        {"key": "span.kind", "value": "proxy"},
        {"key": "otel.status_code", "value": "ODD"},
        {"key": "n", "value": 5},
    ]
    [(_, span)], problems = _span(tmp_path / "x", {"tags": tags})
    assert values(span.attributes) == {"span.kind": "proxy", "otel.status_code": "ODD", "n": 5}
    assert (span.kind, span.status.code, problems) == (0, 0, [])


def test_only_a_child_of_its_own_trace_has_a_parent(tmp_path: Path) -> None:
    """What follows from a span, or is a child of one in another trace, links to it."""
    follows = {"refType": "FOLLOWS_FROM", "traceID": "1", "spanID": "a"}
    elsewhere = {"refType": "CHILD_OF", "traceID": "9", "spanID": "b"}
    [(_, span)], problems = _span(tmp_path / "x", {"references": [follows, elsewhere]})
    assert [(link.trace_id[-1], link.span_id[-1]) for link in span.links] == [(1, 0xA), (9, 0xB)]
    assert (span.parent_span_id, problems) == (b"", [])


def test_a_bad_span_costs_itself_only(tmp_path: Path) -> None:
    """Each is named by its number: no object, no start, an endless start, a damaged process, an id too long."""
    bad = [5, {"startTime": None}, {"startTime": float("inf")}, {"processID": "p"}, {"spanID": "1" * 17}]
    spans, problems = _span(tmp_path / "x", {}, *bad, {"spanID": "3"}, processes={"p": 5})
    assert [span.span_id[-1] for _, span in spans] == [2, 3]
    assert [problem.partition(":")[0] for problem in problems] == [f"span {number}" for number in range(2, 7)]


def test_a_trace_that_is_none_costs_itself_only(tmp_path: Path) -> None:
    """The traces beside it are kept."""
    good = {"traceID": "1", "spanID": "2", "operationName": "op", "startTime": 1, "duration": 1}
    (tmp_path / "x").write_text(json.dumps({"data": [7, {"spans": 7}, {"spans": [good]}]}))
    requests, problems = read(tmp_path / "x")
    assert len(spans_of(requests)) == 1
    assert [problem.partition(":")[0] for problem in problems] == ["span 1", "span 2"]


def test_deathstarbench_is_read_whole() -> None:
    """20 traces of 33 spans; parents, services, names and times are those of the file."""
    path = real_data("deathstarbench") / "traces-1695947455229.json.gz"
    requests, problems = read(path)
    assert problems == []
    expected = {}
    for trace in json.loads(gzip.decompress(path.read_bytes()))["data"]:
        for raw in trace["spans"]:
            parents = [reference["spanID"] for reference in raw["references"]]
            service = trace["processes"][raw["processID"]]["serviceName"]
            times = raw["startTime"] * 1000, (raw["startTime"] + raw["duration"]) * 1000
            tags = {tag["key"]: tag["value"] for tag in raw["tags"]}
            fields = "".join(parents), service, raw["operationName"], *times, 0, tags
            expected[raw["traceID"], raw["spanID"]] = fields
    spans = spans_of(requests)
    assert len(spans) == len(expected) == 660
    assert {
        (span.trace_id.hex()[16:], span.span_id.hex()): (
            span.parent_span_id.hex(),
            resource["service.name"],
            span.name,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.kind,
            values(span.attributes),
        )
        for resource, span in spans
    } == expected
