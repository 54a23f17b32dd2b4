"""The trace object gets its times, from the rows that a store answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analytics.service import TraceAnalysis
from collector.decode.decoder import Decoder
from collector.position import LogPosition
from collector.query.trace_json import trace_json
from collector.signals import Signal
from collector.store import open_store

if TYPE_CHECKING:
    from typing import Any

TRACE = "ab" * 16
SECOND = 10**9
NOON = 1_795_435_200 * SECOND


def analysed(*services: tuple[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The analysed trace of spans by host, which is also their service; times in seconds after noon."""
    request = ExportTraceServiceRequest()
    for host, spans in services:
        level = request.resource_spans.add()
        for key in ("service.name", "host.name"):
            level.resource.attributes.add(key=key).value.string_value = host
        for span in spans:
            start, end = (NOON + int(time * SECOND) for time in span.pop("at"))
            parent = span.pop("parent", 0).to_bytes(8) if "parent" in span else b""
            ids = {"trace_id": bytes.fromhex(TRACE), "span_id": span.pop("id").to_bytes(8), "parent_span_id": parent}
            records = level.scope_spans.add().spans
            records.add(**ids, start_time_unix_nano=start, end_time_unix_nano=end, **span)
    store = open_store(":memory:")
    try:
        store.append(Decoder().decode(Signal.TRACES, [request.SerializeToString()]).batch, LogPosition(1, 1))
        return trace_json(TRACE, store.trace(TRACE), TraceAnalysis())
    finally:
        store.close()


def times(trace: dict[str, Any]) -> dict[int, tuple[float, float]]:
    """Self time and critical-path time in seconds by span id."""
    spans = trace["spans"]
    return {int(s["span_id"]): (s["self_time_ns"] / SECOND, s["critical_path_ns"] / SECOND) for s in spans}


def test_each_span_gets_its_times_and_the_sections_add_up() -> None:
    """Of two calls side by side only the later one is waited for; the other has work of its own all the same."""
    calls = [{"id": 2, "parent": 1, "at": (1, 3), "kind": 3}, {"id": 3, "parent": 1, "at": (1, 8), "kind": 3}]
    trace = analysed(("web", [{"id": 1, "at": (0, 10), "kind": 2}, *calls]))
    assert times(trace) == {1: (3, 3), 2: (2, 0), 3: (7, 7)}
    bounds = [
        (s["span_id"][-1], s["start_unix_nano"] - NOON, s["end_unix_nano"] - NOON) for s in trace["critical_path"]
    ]
    expected = [("1", 8, 10), ("3", 1, 8), ("1", 0, 1)]
    assert bounds == [(span, begin * SECOND, end * SECOND) for span, begin, end in expected]
    assert (trace["complete"], trace["skew_adjusted"]) == (True, False)


def test_a_wrong_clock_is_corrected_for_the_analysis_alone() -> None:
    """The callee's clock is five seconds ahead: its span counts, and keeps the time that it came with."""
    web = [{"id": 1, "at": (0, 10), "kind": 2}, {"id": 2, "parent": 1, "at": (1, 9), "kind": 3}]
    trace = analysed(("web", web), ("stock", [{"id": 3, "parent": 2, "at": (7, 13), "kind": 2}]))
    assert times(trace) == {1: (2, 2), 2: (2, 2), 3: (6, 6)}
    assert trace["skew_adjusted"]
    assert trace["spans"][2]["start_unix_nano"] == NOON + 7 * SECOND


def test_without_one_root_there_is_no_critical_path() -> None:
    """Self time needs none."""
    trace = analysed(("web", [{"id": 1, "at": (0, 1)}, {"id": 2, "at": (1, 3)}, {"id": 3, "parent": 9, "at": (1, 2)}]))
    assert times(trace) == {1: (1, 0), 2: (2, 0), 3: (1, 0)}
    assert (trace["critical_path"], trace["complete"]) == ([], False)
