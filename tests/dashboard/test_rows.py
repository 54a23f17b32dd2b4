"""However much is stored, no page sends a browser more rows than it can bear."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.service import offline_pipeline
from collector.signals import Signal
from dashboard.theme import MOST_ROWS
from tests.dashboard.conftest import served
from tests.dashboard.test_pages import NAMES, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamlit.testing.v1 import AppTest

START_NS = 1_795_435_200_000_000_000  # 2026-11-23T12:00:00Z
MINUTE_NS = 60 * 10**9
LONG = "ff" * 16
SPANS, TRACES = 10_000, 6_500
SHOWN = [
    *((name, {}) for name in NAMES),
    ("traces", {"trace": LONG}),
    ("sql", {"query": "SELECT * FROM range(20000)"}),
    ("sql", {"query": "SELECT start_time, duration_ns FROM spans"}),
]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The query API of a collector with a trace of 10,000 spans and 6,500 others, a minute apart."""
    folder = tmp_path_factory.mktemp("crowded")
    with offline_pipeline(folder / "test.duckdb") as pipeline:
        for request in (one_trace(), many_traces()):
            pipeline.submit(Signal.TRACES, request.SerializeToString()).result()
    with served(folder) as addresses:
        yield f"http://{addresses['query']}"


def one_trace() -> ExportTraceServiceRequest:
    """All spans below one root, each with an event."""
    request, spans = empty_request("crowd")
    for number in range(1, SPANS + 1):
        begin = START_NS + TRACES * MINUTE_NS + number * 1_000
        span = spans.add(trace_id=bytes.fromhex(LONG), span_id=number.to_bytes(8), name=f"op {number}", kind=2)
        span.parent_span_id = b"" if number == 1 else (1).to_bytes(8)
        span.start_time_unix_nano, span.end_time_unix_nano = begin, begin + (20_000_000 if number == 1 else 900)
        span.events.add(name="seen", time_unix_nano=begin)
    return request


def many_traces() -> ExportTraceServiceRequest:
    """One span each, of many endpoints."""
    request, spans = empty_request("crowd")
    for number in range(1, TRACES + 1):
        begin = START_NS + number * MINUTE_NS
        span = spans.add(trace_id=number.to_bytes(16), span_id=number.to_bytes(8), name=f"GET /{number}", kind=2)
        span.start_time_unix_nano, span.end_time_unix_nano = begin, begin + number * 1_000
    return request


def empty_request(service: str) -> tuple[ExportTraceServiceRequest, Any]:
    """A request of one service, and its spans."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    return request, resource.scope_spans.add().spans


def longest(test: AppTest) -> int:
    """The most rows of any table, chart or list that goes to the browser."""
    return max((rows for node in nodes(test._tree) for rows in rows_of(getattr(node, "proto", None))), default=0)


def nodes(node: Any) -> Iterator[Any]:
    """Everything on a page."""
    yield node
    for child in getattr(node, "children", {}).values():
        yield from nodes(child)


def rows_of(message: Any) -> Iterator[int]:
    """The lengths of all Arrow tables and JSON lists anywhere in a message."""
    for field, value in message.ListFields() if hasattr(message, "ListFields") else ():
        several = value if field.is_repeated else [value]
        for one in several.values() if hasattr(several, "values") else several:
            if isinstance(one, bytes):
                yield table_rows(one)
            elif isinstance(one, str):
                yield from list_lengths(one)
            else:
                yield from rows_of(one)


def table_rows(content: bytes) -> int:
    """The rows of an Arrow stream, 0 for other bytes."""
    try:
        return int(pa.ipc.open_stream(content).read_all().num_rows)
    except pa.ArrowInvalid:
        return 0


def list_lengths(text: str) -> Iterator[int]:
    """The lengths of the lists in a JSON text."""
    try:
        waiting = [json.loads(text)] if text[:1] in ("{", "[") else []
    except ValueError:
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            yield len(value)
        waiting.extend(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())


@pytest.mark.parametrize(("name", "parameters"), SHOWN, ids=lambda value: str(value)[:40])
def test_no_page_sends_too_many_rows(
    name: str, parameters: dict[str, str], crowded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In tables, charts and components; and it opens."""
    test = opened(name, crowded, monkeypatch, **parameters)
    assert not test.exception
    assert not test.error, [one.value for one in test.error]
    assert longest(test) <= MOST_ROWS


def test_the_measure_sees_rows(crowded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are."""
    assert longest(opened("sql", crowded, monkeypatch, query="SELECT * FROM range(4321)")) == 4321
