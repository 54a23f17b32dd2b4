"""OTLP files keep every good record, whatever is beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from collector.importers import otlp, otlp_file, records
from collector.importers.otlp_file import message_signal, starts_delimited
from collector.signals import Signal
from tests.collector.importers.files import framed, line, logs, metrics, read, real_data, spans_of, traces

if TYPE_CHECKING:
    from pathlib import Path


def _starts(requests: list[Any]) -> list[int]:
    return [span.start_time_unix_nano for _, span in spans_of(requests)]


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_damaged_line_costs_itself_only(tmp_path: Path) -> None:
    """The first and the last too; each is named by its number, blank ones do not count."""
    content = b'{"cut\n' + line(1) + b"\n" + b"{}\n" + line(2) + line(3)[:-20]
    requests, problems = read(_write(tmp_path / "x", content))
    assert _starts(requests) == [1, 2]
    assert [problem.partition(":")[0] for problem in problems] == ["line 1", "line 4", "line 6"]


def test_a_damaged_record_of_a_document_costs_itself_only(tmp_path: Path) -> None:
    """The document is read record by record; its resources stay with them."""
    document = json.loads(line(1))
    document["resourceSpans"][0]["resource"] = {"attributes": [{"key": "k", "value": {"stringValue": "v"}}]}
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans += [{"kind": {}}, spans[0] | {"startTimeUnixNano": 2}]
    requests, problems = read(_write(tmp_path / "x", json.dumps(document, indent=1).encode()))
    assert _starts(requests) == [1, 2]
    assert [resource for resource, _ in spans_of(requests)] == [{"k": "v"}, {"k": "v"}]
    assert [problem.partition(":")[0] for problem in problems] == ["record 2"]


def test_a_document_of_several_signals_gives_all_of_them(tmp_path: Path) -> None:
    """None hides another."""
    document = json.loads(line(1)) | {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityNumber": 9}]}]}]}
    requests, problems = read(_write(tmp_path / "x", json.dumps(document).encode()))
    assert [message.DESCRIPTOR.name for message in requests] == [
        "ExportTraceServiceRequest",
        "ExportLogsServiceRequest",
    ]
    assert problems == []


@pytest.mark.parametrize(
    ("message", "signal"),
    [
        (traces(1), Signal.TRACES),
        (traces(1, trace_id=b"", kind=2), Signal.TRACES),
        (metrics(as_int=5), Signal.METRICS),
        (metrics(as_double=0.5, time_unix_nano=5), Signal.METRICS),
        (logs("hello"), Signal.LOGS),
        (logs("hello", time_unix_nano=5, trace_id=b"\1" * 16), Signal.LOGS),
    ],
)
def test_protobuf_tells_its_signal(message: Any, signal: Signal) -> None:
    """Short ones too, whose bytes could be read as another signal's; alone and in a stream."""
    assert message_signal(message.SerializeToString()) is signal


def test_protobuf_passes_through_untouched(tmp_path: Path) -> None:
    """A field of a later OTLP stays where it is."""
    message = traces(1, 2)
    message.resource_spans[0].scope_spans[0].spans[0].MergeFromString(b"\xfa\x3f\x01x")
    requests, problems = read(_write(tmp_path / "x", message.SerializeToString()))
    assert (requests, problems) == ([message], [])


def test_a_stream_of_messages_keeps_every_signal(tmp_path: Path) -> None:
    """In their order; messages without records are passed over, a damaged one is named by its byte."""
    empty, junk = traces(), b"junk!"
    kept = [traces(1), metrics(as_int=5), logs("hello")]
    content = framed(empty, b"", kept[0], junk, *kept[1:])
    requests, problems = read(_write(tmp_path / "x", content))
    assert requests == kept
    assert problems == [f"byte {len(framed(empty, b'', kept[0]))}: not an OTLP message"]


@pytest.mark.parametrize("tail", [framed(b"junk!") * 3, framed(traces(2))[:-1], b"\xff\xff\xff\xff\x07z", b"\xff" * 9])
def test_a_stream_keeps_what_comes_before_the_damage(tmp_path: Path, tail: bytes) -> None:
    """Lost lengths, a cut, a length of 2 GiB, one that cannot be: reported once the stream ends there, by the byte."""
    requests, problems = read(_write(tmp_path / "x", framed(traces(1)) + tail))
    assert requests == [traces(1)]
    assert problems[-1].startswith(f"byte {len(framed(traces(1)))}" if len(problems) == 1 else "byte")
    assert problems[-1].endswith("what follows is left out")


def test_no_stream_begins_with_a_length_over_protobufs_limit() -> None:
    """The longest message is of 2 GiB less a byte."""
    assert starts_delimited(b"\xff\xff\xff\xff\x07\n", is_whole=False)
    assert not starts_delimited(b"\xff\xff\xff\xff\x08\n", is_whole=False)


def test_a_large_message_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request has more records than importers may put in one; order and content stay."""
    monkeypatch.setattr(otlp_file, "MOST_RECORDS", 2)
    requests, _ = read(_write(tmp_path / "x", traces(*range(1, 6)).SerializeToString()))
    split = [[span for _, span in spans_of([request])] for request in requests]
    assert split == [[span for _, span in spans_of([traces(*part)])] for part in ((1, 2), (3, 4), (5,))]
    assert records.MOST_RECORDS == 5000


def test_no_request_is_too_large_to_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of records bound a request too; one that is over the bound by itself comes alone, and whole."""
    monkeypatch.setattr(otlp_file, "MOST_BYTES", 120)
    message = traces(1, 2, 3, 4)
    message.resource_spans[0].scope_spans[0].spans[2].name = "long" * 50
    requests, _ = read(_write(tmp_path / "x", message.SerializeToString()))
    assert [_starts([request]) for request in requests] == [[1, 2], [3], [4]]


def test_resources_share_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of many small resources does not become as many requests; each record keeps its resource."""
    monkeypatch.setattr(otlp_file, "MOST_RECORDS", 2)
    message = traces()
    del message.resource_spans[:]
    for number in range(1, 6):
        message.MergeFrom(traces(number))
        message.resource_spans[-1].schema_url = f"schema {number}"
    requests, _ = read(_write(tmp_path / "x", message.SerializeToString()))
    assert [_starts([request]) for request in requests] == [[1, 2], [3, 4], [5]]
    assert [group for request in requests for group in request.resource_spans] == list(message.resource_spans)


def test_a_metric_counts_by_its_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data point is a record; a metric stays whole."""
    monkeypatch.setattr(otlp_file, "MOST_RECORDS", 2)
    message = metrics(as_int=1)
    scope = message.resource_metrics[0].scope_metrics[0]
    for name, points in (("n", 1), ("o", 3), ("p", 1)):
        metric = scope.metrics.add(name=name)
        for _ in range(points):
            metric.gauge.data_points.add(as_int=1)
    requests, _ = read(_write(tmp_path / "x", message.SerializeToString()))
    names = [[m.name for m in request.resource_metrics[0].scope_metrics[0].metrics] for request in requests]
    assert names == [["m", "n"], ["o"], ["p"]]


@pytest.mark.parametrize("between", [b",", b",\n"])
def test_a_list_of_documents_is_read_like_its_documents(tmp_path: Path, between: bytes) -> None:
    """On one line or on many, though the last line looks like JSON lines; one that is none is named by its number."""
    content = b"[" + between.join([line(1).strip(), b"{}", b"\n" + line(2)]) + b"]"
    requests, problems = read(_write(tmp_path / "x", content))
    assert _starts(requests) == [1, 2]
    assert [problem.partition(":")[0] for problem in problems] == ["document 2"]


@pytest.mark.parametrize(
    ("name", "message", "count"),
    [
        ("trace", "ExportTraceServiceRequest", 1),
        ("metrics", "ExportMetricsServiceRequest", 4),
        ("logs", "ExportLogsServiceRequest", 1),
        ("events", "ExportLogsServiceRequest", 1),
    ],
)
def test_otlps_own_examples_are_read_whole(name: str, message: str, count: int) -> None:
    """One request each, of the signal that its name says."""
    requests, problems = read(real_data("otlp-proto-examples") / f"{name}.json")
    assert ([request.DESCRIPTOR.name for request in requests], problems) == ([message], [])
    signal = next(signal for signal in Signal if signal.value[:3] in message.lower())
    assert otlp.count(signal, requests[0]) == count


@pytest.mark.parametrize("name", ["otlp2jaeger-in", "otel_traces_01"])
def test_jaegers_otlp_is_read_whole(name: str) -> None:
    """Duplicates too: leaving them out is the store's business."""
    path = real_data("jaeger-backend") / f"{name}.json"
    requests, problems = read(path)
    expected = [
        (raw["traceId"], raw["spanId"], raw.get("parentSpanId", ""), raw["kind"], int(raw["startTimeUnixNano"]))
        for resource in json.loads(path.read_text())["resourceSpans"]
        for scope in resource["scopeSpans"]
        for raw in scope["spans"]
    ]
    found = [
        (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.kind, span.start_time_unix_nano)
        for _, span in spans_of(requests)
    ]
    assert (found, problems) == (expected, [])
