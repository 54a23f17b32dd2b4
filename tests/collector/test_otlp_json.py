"""OTLP/JSON becomes the same protobuf that an exporter would have sent, or one sentence that says why not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.errors import InvalidRequestError
from collector.otlp_json import to_protobuf
from collector.signals import PROTOCOL, Signal

_TRACE_ID, _SPAN_ID = "5B8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def _convert(span: dict[str, Any]) -> Any:
    """Return the span that a request with this one gives."""
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    request = ExportTraceServiceRequest.FromString(to_protobuf(Signal.TRACES, json.dumps(document).encode()))
    return request.resource_spans[0].scope_spans[0].spans[0]


def test_ids_are_hex_in_either_case_wherever_they_stand() -> None:
    """Spans, parents, links, log records and exemplars; only ids are, and other bytes stay base64."""
    span = _convert(
        {
            "traceId": _TRACE_ID,
            "spanId": _SPAN_ID.upper(),
            "parentSpanId": _SPAN_ID,
            "links": [{"traceId": _TRACE_ID.upper(), "spanId": _SPAN_ID}],
            "attributes": [{"key": "b", "value": {"bytesValue": "AAEC"}}],
        }
    )
    trace_id, span_id = bytes.fromhex(_TRACE_ID), bytes.fromhex(_SPAN_ID)
    assert (span.trace_id, span.span_id, span.parent_span_id) == (trace_id, span_id, span_id)
    assert (span.links[0].trace_id, span.links[0].span_id) == (trace_id, span_id)
    assert span.attributes[0].value.bytes_value == b"\0\1\2"
    ids = {"traceId": _TRACE_ID, "spanId": _SPAN_ID}
    log = {"resourceLogs": [{"scopeLogs": [{"logRecords": [ids]}]}]}
    record = PROTOCOL[Signal.LOGS].request.FromString(to_protobuf(Signal.LOGS, json.dumps(log).encode()))
    assert record.resource_logs[0].scope_logs[0].log_records[0].span_id == span_id
    gauge = {"name": "m", "gauge": {"dataPoints": [{"asInt": "1", "exemplars": [ids]}]}}
    metric = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [gauge]}]}]}
    message = PROTOCOL[Signal.METRICS].request.FromString(to_protobuf(Signal.METRICS, json.dumps(metric).encode()))
    point = message.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0]
    assert (point.exemplars[0].trace_id, point.exemplars[0].span_id) == (trace_id, span_id)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("5b8e", b"\x5b\x8e"),
        ("", b""),
        ("xyz", b"\0"),
        ("5b8", b"\0"),
        ("5b8efff7 98038103d269b633813fc60c", b"\0"),
        (5, b"\0"),
        ([], b"\0"),
        (None, b""),
    ],
)
def test_a_wrong_id_stays_wrong_in_its_own_record(given: object, kept: bytes) -> None:
    """No request fails for it; none of these has a length that a receiver takes for an id."""
    assert _convert({"traceId": given, "name": "op"}) == _convert({"name": "op"}).__class__(trace_id=kept, name="op")


def test_numbers_come_as_text_or_as_numbers() -> None:
    """64-bit integers in both; enums as numbers."""
    span = _convert({"startTimeUnixNano": str(2**64 - 1), "endTimeUnixNano": 5, "kind": 3, "status": {"code": 2}})
    assert (span.start_time_unix_nano, span.end_time_unix_nano, span.kind, span.status.code) == (2**64 - 1, 5, 3, 2)


def test_null_is_absent() -> None:
    """For every kind of field; an id of null is none."""
    names = ("traceId", "name", "kind", "startTimeUnixNano", "status", "attributes", "links")
    assert _convert(dict.fromkeys(names) | {"flags": 1}) == _convert({"flags": 1})
    value = {"stringValue": None, "intValue": "5"}
    assert _convert({"attributes": [{"key": "n", "value": value}]}).attributes[0].value.int_value == 5


def test_an_attribute_may_have_the_name_of_an_id() -> None:
    """Only fields are ids: an attribute's value stays what it is, in a map of values too."""
    inner = {"key": "span_id", "value": {"stringValue": "xyz"}}
    outer = {"key": "traceId", "value": {"kvlistValue": {"values": [inner]}}}
    [attribute] = _convert({"attributes": [outer]}).attributes
    [pair] = attribute.value.kvlist_value.values
    assert (attribute.key, pair.key, pair.value.string_value) == ("traceId", "span_id", "xyz")


def test_only_the_names_of_otlp_count() -> None:
    """What is unknown, snake_case included, is passed over."""
    span = _convert({"name": "op", "span_id": _SPAN_ID, "trace_state": "a=b", "newInOtlp9": {"deep": [1]}})
    assert span == span.__class__(name="op")


def _nested(depth: int) -> bytes:
    return b'{"resourceSpans":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"resourceSpans":[', id="cut off"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b'{"x":NaN}', id="NaN"),
        pytest.param(b'{"x":"\xff"}', id="no UTF-8"),
        pytest.param('{"resourceSpans":[]}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"x":"\xed\xa0\x80"}', id="surrogate in bytes"),
        pytest.param(
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"\\ud800"}]}]}]}', id="surrogate as an escape"
        ),
        pytest.param(b'{"\\ud800":1}', id="surrogate in a name"),
        pytest.param(b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"\\ud800"}]}]}]}', id="surrogate in an enum"),
        pytest.param(b'{"resourceSpans":5}', id="wrong type"),
        pytest.param(b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":1e999}]}]}]}', id="infinite enum"),
        pytest.param(b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":-1}]}]}]}', id="out of range"),
        pytest.param(b'{"x":' + b"9" * 5000 + b"}", id="endless number"),
        pytest.param(_nested(100_000), id="nested for the parser"),
        pytest.param(_nested(400), id="nested for the message"),
    ],
)
def test_what_is_no_otlp_json_is_refused_in_one_sentence(body: bytes) -> None:
    """Never another error: the receiver would ask for a retry of what can never pass."""
    with pytest.raises(InvalidRequestError, match=r"\AThe body is not OTLP JSON \(.+\); send what .+\.\Z"):
        to_protobuf(Signal.TRACES, body)
