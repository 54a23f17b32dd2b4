"""Span requests come out of decoding as the protobuf classes read them, and bad spans are refused one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.decoder import Decoder, concatenate
from collector.decode.validate import Rejection
from collector.errors import InvalidRequestError
from collector.signals import Signal
from tests.collector.decode import oracle
from tests.collector.decode.messages import trace_requests

if TYPE_CHECKING:
    from collections.abc import Sequence

REASONS = [
    "trace_id must be 16 bytes and not all zero",
    "span_id must be 8 bytes and not all zero",
    "parent_span_id must be 8 bytes or empty",
    "start_time_unix_nano lies beyond the year 2262",
    "end_time_unix_nano lies beyond the year 2262",
]


def expected(requests: Sequence[ExportTraceServiceRequest]) -> tuple[list[oracle.Row], list[Rejection]]:
    """The rows and rejections that requests must yield."""
    rows = []
    rejections = []
    for request in requests:
        problems = []
        for level in request.resource_spans:
            for scope_level in level.scope_spans:
                for span in scope_level.spans:
                    if problem := oracle.problem_of(span, ids_needed=True):
                        problems.append(problem)
                    else:
                        origin = {"resource": oracle.resource_of(level), "scope": oracle.scope_of(scope_level)}
                        rows.append(_row(span) | origin)
        rejections.append(oracle.rejection_of(problems, REASONS))
    return rows, rejections


def _row(span: Any) -> oracle.Row:
    return {
        "trace_id": span.trace_id,
        "span_id": int.from_bytes(span.span_id),
        "parent_span_id": oracle.optional_id(span.parent_span_id),
        "trace_state": span.trace_state or None,
        "flags": span.flags,
        "span_name": span.name,
        "kind": oracle.name_of(span.kind, oracle.KINDS),
        "start_time": span.start_time_unix_nano,
        "duration_ns": span.end_time_unix_nano - span.start_time_unix_nano,
        "status_code": oracle.name_of(span.status.code, oracle.STATUS_CODES),
        "status_message": span.status.message or None,
        "events": [_event(event) for event in span.events],
        "dropped_events_count": span.dropped_events_count,
        "links": [_link(link) for link in span.links],
        "dropped_links_count": span.dropped_links_count,
        "attributes": oracle.attributes_of(span.attributes),
        "dropped_attributes_count": span.dropped_attributes_count,
    }


def _event(event: Any) -> oracle.Row:
    return {
        "time": oracle.nanoseconds(event.time_unix_nano),
        "name": event.name,
        "attributes": oracle.attributes_of(event.attributes),
        "dropped_attributes_count": event.dropped_attributes_count,
    }


def _link(link: Any) -> oracle.Row:
    return {
        "trace_id": link.trace_id.hex(),
        "span_id": link.span_id.hex(),
        "attributes": oracle.attributes_of(link.attributes),
        "trace_state": link.trace_state or None,
        "flags": link.flags,
        "dropped_attributes_count": link.dropped_attributes_count,
    }


@settings(deadline=None, max_examples=150)
@given(st.lists(trace_requests(), max_size=3))
def test_every_field_comes_back(requests: list[ExportTraceServiceRequest]) -> None:
    """Whole rows equal the oracle's, for several requests decoded together."""
    rows, rejections = oracle.decoded_rows(Signal.TRACES, [request.SerializeToString() for request in requests])
    assert (rows, rejections) == expected(requests)


@settings(deadline=None, max_examples=150)
@given(st.lists(trace_requests(refusable=True), max_size=3))
def test_bad_spans_are_refused_alone_and_counted(requests: list[ExportTraceServiceRequest]) -> None:
    """Of each request, the rest is kept, and the answer counts the reasons."""
    rows, rejections = oracle.decoded_rows(Signal.TRACES, [request.SerializeToString() for request in requests])
    assert (rows, rejections) == expected(requests)


@settings(deadline=None, max_examples=50)
@given(st.lists(trace_requests(), max_size=4))
def test_decoding_apart_and_joining_is_decoding_together(requests: list[ExportTraceServiceRequest]) -> None:
    """A group of requests yields the rows that its requests yield one by one."""
    bodies = [request.SerializeToString() for request in requests]
    together = Decoder().decode(Signal.TRACES, bodies).batch
    decoder = Decoder()
    apart = concatenate([decoder.decode(Signal.TRACES, [body]).batch for body in bodies])
    assert oracle.plain_rows(apart.spans) == oracle.plain_rows(together.spans)


def _request(**fields: Any) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    good: dict[str, Any] = {"trace_id": b"\1" * 16, "span_id": b"\2" * 8, "start_time_unix_nano": 1}
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(**good, name="before")
    spans.add(**(good | {"span_id": b"\3" * 8} | fields), name="this")
    spans.add(**(good | {"span_id": b"\4" * 8}), name="after")
    return request


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace_id": b""}, REASONS[0]),
        ({"trace_id": b"\0" * 16}, REASONS[0]),
        ({"trace_id": b"\1" * 15}, REASONS[0]),
        ({"trace_id": b"\1" * 17}, REASONS[0]),
        ({"span_id": b""}, REASONS[1]),
        ({"span_id": b"\0" * 8}, REASONS[1]),
        ({"span_id": b"\1" * 16}, REASONS[1]),
        ({"parent_span_id": b"\1" * 7}, REASONS[2]),
        ({"parent_span_id": b"\1" * 16}, REASONS[2]),
        ({"start_time_unix_nano": 2**63 - 1}, REASONS[3]),
        ({"start_time_unix_nano": 2**64 - 1}, REASONS[3]),
        ({"end_time_unix_nano": 2**63}, REASONS[4]),
        ({"trace_id": b"", "span_id": b"", "end_time_unix_nano": 2**63}, REASONS[0]),
    ],
)
def test_a_span_is_refused_with_its_first_reason(fields: dict[str, Any], reason: str) -> None:
    """The spans around it are kept."""
    rows, rejections = oracle.decoded_rows(Signal.TRACES, [_request(**fields).SerializeToString()])
    assert [row["span_name"] for row in rows] == ["before", "after"]
    assert rejections == [Rejection(1, f"Refused 1 and kept the rest (1: {reason}).")]


@pytest.mark.parametrize(
    ("fields", "column", "value"),
    [
        ({"start_time_unix_nano": 2**63 - 2}, "start_time", 2**63 - 2),
        ({"start_time_unix_nano": 9, "end_time_unix_nano": 2}, "duration_ns", -7),
        ({"parent_span_id": b"\0" * 8}, "parent_span_id", None),
        ({"kind": 77}, "kind", "unspecified"),
    ],
)
def test_odd_spans_are_kept(fields: dict[str, Any], column: str, value: object) -> None:
    """What can be stored is stored, as it was sent."""
    rows, rejections = oracle.decoded_rows(Signal.TRACES, [_request(**fields).SerializeToString()])
    assert [row[column] for row in rows if row["span_name"] == "this"] == [value]
    assert rejections == [Rejection()]


def test_no_requests_yield_no_rows() -> None:
    """Neither do requests without spans, and their tables have the columns all the same."""
    decoder = Decoder()
    nothing = decoder.decode(Signal.TRACES, [b""]).batch
    assert (nothing.rows, nothing.spans.schema) == (0, decoder.decode(Signal.LOGS, [b""]).batch.spans.schema)


def test_thousands_of_attributes_and_a_huge_string_come_back() -> None:
    """Ten thousand attributes on one span, and a value of a mebibyte."""
    request = _request()
    span = request.resource_spans[0].scope_spans[0].spans[1]
    for number in range(10_000):
        span.attributes.add(key=f"key {number}").value.int_value = number
    span.attributes.add(key="huge").value.string_value = "é" * 2**19
    rows, _ = oracle.decoded_rows(Signal.TRACES, [request.SerializeToString()])
    assert rows == expected([request])[0]


def test_an_attribute_nested_too_deeply_is_refused_not_a_crash() -> None:
    """Protobuf's own limit is a hundred levels."""
    request = _request()
    value = request.resource_spans[0].scope_spans[0].spans[1].attributes.add(key="deep").value
    for _ in range(40):
        value = value.array_value.values.add()
    body = request.SerializeToString()
    assert Decoder().decode(Signal.TRACES, [body]).batch.spans.num_rows == 3
    for _ in range(400):
        value = value.array_value.values.add()
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        Decoder().decode(Signal.TRACES, [request.SerializeToString()])


def test_rows_that_differ_in_order_type_or_number_of_keys_only() -> None:
    """Keys are written once for each list of them, so lists must not be mistaken for each other."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    shapes = [
        (("a", 1), ("b", "x")),
        (("b", "x"), ("a", 1)),
        (("a", "1"), ("b", 2)),
        (("a", 1),),
        (("a", 1), ("a", 2)),
        (),
    ]
    for number, shape in enumerate(shapes * 3):
        attributes = spans.add(trace_id=b"\1" * 16, span_id=(number + 1).to_bytes(8)).attributes
        for key, value in shape:
            setattr(attributes.add(key=key).value, "int_value" if isinstance(value, int) else "string_value", value)
    rows, _ = oracle.decoded_rows(Signal.TRACES, [request.SerializeToString()])
    assert rows == expected([request])[0]
    assert [list(row["attributes"]) for row in rows[:3]] == [["a", "b"], ["b", "a"], ["a", "b"]]


def test_an_event_whose_time_cannot_be_held_keeps_its_place_without_it() -> None:
    """The span and the event's other fields are good."""
    request = _request()
    for time in (0, 2**63 - 2, 2**63 - 1, 2**64 - 1):
        request.resource_spans[0].scope_spans[0].spans[1].events.add(time_unix_nano=time, name="e")
    rows, _ = oracle.decoded_rows(Signal.TRACES, [request.SerializeToString()])
    assert [event["time"] for event in rows[1]["events"]] == [0, 2**63 - 2, None, None]
