"""What the importers' tests share: telemetry as plain values, files, and the real data when it is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from collector.importers import otlp
from collector.importers.reader import Problem, Request, read_requests
from collector.signals import PROTOCOL, Signal

FIXTURES = Path(__file__).parent / "fixtures"
TRACE_ID, SPAN_ID = "5b" * 16, "ee" * 8


def real_data(folder: str) -> Path:
    """Return a folder of real files; skips the test where there is none."""
    shared = os.environ.get("LITHOSCOPE_SHARED_DATA") or Path(__file__).parents[3].parent / "shared" / "data"
    path = Path(shared) / folder
    if not path.is_dir():
        pytest.skip(f"the folder {path} with real files is missing; LITHOSCOPE_SHARED_DATA names another place")
    return path


def read(path: Path, **options: Any) -> tuple[list[Any], list[str]]:
    """Return the parsed requests of a file, each checked for its count, and its problems without the path."""
    requests, problems = [], []
    for item in read_requests(path, **options):
        if isinstance(item, Problem):
            problems.append(f"{item.position}: {item.message}".removeprefix(str(path)).lstrip(":, "))
        else:
            requests.append(parsed(item))
    return requests, problems


def parsed(request: Request) -> Any:
    """Return a request's message; its count is right."""
    message = PROTOCOL[request.signal].request.FromString(request.body)
    assert otlp.count(request.signal, message) == request.records
    return message


def spans_of(requests: list[Any]) -> list[tuple[dict[str, Any], Any]]:
    """Return every span beside its resource attributes."""
    return [
        (values(group.resource.attributes), span)
        for request in requests
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def values(attributes: Any) -> dict[str, Any]:
    """Return attributes as a plain mapping."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


def traces(*numbers: int, **fields: Any) -> Any:
    """Return an OTLP request of one good span for each number, which is its start and its span id."""
    request = PROTOCOL[Signal.TRACES].request()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number in numbers:
        usual = {
            "trace_id": b"\1" * 16,
            "span_id": number.to_bytes(8),
            "name": f"op {number}",
            "start_time_unix_nano": number,
            "end_time_unix_nano": number + 1,
        }
        spans.add(**(usual | fields))
    return request


def metrics(**point: Any) -> Any:
    """Return an OTLP request of one gauge with one data point."""
    request = PROTOCOL[Signal.METRICS].request()
    request.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add(**point)
    return request


def logs(body: str, **fields: Any) -> Any:
    """Return an OTLP request of one log record."""
    request = PROTOCOL[Signal.LOGS].request()
    request.resource_logs.add().scope_logs.add().log_records.add(**fields).body.string_value = body
    return request


def framed(*messages: Any) -> bytes:
    """Return messages, or bytes in their place, each behind its length."""
    bodies = [m if isinstance(m, bytes) else m.SerializeToString() for m in messages]
    return b"".join(_varint(len(body)) + body for body in bodies)


def _varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80]) + _varint(number >> 7) if number > 0x7F else bytes([number])


def line(number: int) -> bytes:
    """Return one span as a line of OTLP/JSON."""
    span = f'{{"traceId":"{"01" * 16}","spanId":"{number:016x}","name":"op {number}",'
    times = f'"startTimeUnixNano":"{number}","endTimeUnixNano":{number + 1}}}'
    return f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}{times}]}}]}}]}}\n'.encode()
