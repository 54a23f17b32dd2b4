"""The three-process sample: what its recording must show, and that it can be recorded anew."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.importers.reader import Request, read_requests
from collector.signals import Signal
from sample_traces import recording as recorder
from sample_traces.otlp_json import to_json
from sample_traces.trio import record

if TYPE_CHECKING:
    from pathlib import Path

Span = dict[str, Any]

SERVER = 2
ERROR = 2


@pytest.fixture(scope="module")
def recording() -> str:
    """The committed recording, one request a line."""
    requests = (item for item in read_requests(record.RECORDING) if isinstance(item, Request))
    return "\n".join(to_json(request.signal, request.body) for request in requests)


@pytest.fixture(scope="module")
def spans(recording: str) -> list[Span]:
    """All spans, each with its service's name."""
    return [
        {**span, "service": _service(resource)}
        for line in recording.splitlines()
        for resource in json.loads(line).get("resourceSpans", [])
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def _service(resource: dict[str, Any]) -> str:
    attributes = {item["key"]: item["value"] for item in resource["resource"]["attributes"]}
    return str(attributes["service.name"]["stringValue"])


def test_every_trace_is_whole(spans: list[Span]) -> None:
    """A few hundred traces, each with one root at the storefront and no span without its parent."""
    roots = [span for span in spans if "parentSpanId" not in span]
    ids = {span["spanId"] for span in spans}
    assert {span["service"] for span in spans} == {"storefront", "orders", "stock"}
    assert {root["service"] for root in roots} == {"storefront"}
    assert len(roots) == len({span["traceId"] for span in spans}) > 200
    assert [span for span in spans if span.get("parentSpanId", span["spanId"]) not in ids] == []


def test_one_call_a_line_is_there_to_be_found(spans: list[Span]) -> None:
    """Some order page asks stock at least ten times, one call after the other."""
    items = [span for span in spans if span["name"] == "GET /items/<int:sku>" and span["kind"] == SERVER]
    calls = Counter(span["traceId"] for span in items)
    busiest = calls.most_common(1)[0][0]
    chain = sorted((int(s["startTimeUnixNano"]), int(s["endTimeUnixNano"])) for s in items if s["traceId"] == busiest)
    assert len(chain) >= 10
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(chain))


def test_an_error_travels_from_the_database_to_the_page(spans: list[Span]) -> None:
    """What the database refuses fails the checkout, in one trace across all three services."""
    failed = [span for span in spans if span.get("status", {}).get("code") == ERROR]
    by_trace = {
        trace: {s["service"] for s in failed if s["traceId"] == trace} for trace in {s["traceId"] for s in failed}
    }
    assert by_trace
    assert all(services == {"storefront", "orders", "stock"} for services in by_trace.values())


def test_the_recording_names_no_folder_of_the_recording_machine(recording: str) -> None:
    """Stack traces in it show where in the project they are, not where the project was."""
    files = {part.split("\\", 1)[0] for part in recording.split('File \\"')[1:]}
    assert files
    assert [file for file in files if file.startswith("/")] == []


def test_ids_are_written_as_hex() -> None:
    """OTLP's JSON differs from protobuf's own in the ids, also in the links."""
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, kind="SPAN_KIND_SERVER")
    )
    span.links.add(trace_id=b"\3" * 16, span_id=b"\4" * 8)
    expected = {
        "traceId": "01" * 16,
        "spanId": "02" * 8,
        "kind": SERVER,
        "links": [{"traceId": "03" * 16, "spanId": "04" * 8}],
    }
    written = json.loads(to_json(Signal.TRACES, request.SerializeToString()))
    assert written == {"resourceSpans": [{"scopeSpans": [{"spans": [expected]}]}]}


def test_it_can_be_recorded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three processes run, are heard by a collector of their own, and all stop."""
    monkeypatch.setattr(record, "LOAD_S", 1)
    assert record.run_under_load(tmp_path) > 0
    requests = list(recorder.recorded(tmp_path))
    senders = {service for request in requests for service in record.VERSIONS if service.encode() in request.body}
    assert {request.signal for request in requests} == set(Signal)
    assert senders == set(record.VERSIONS)
