"""Bad input ends in a clear error or is stored as it is, and nothing else is lost by it."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from google.rpc import code_pb2

from collector.signals import PROTOCOL, Signal
from tests.collector.receiver.running import JSON, PROTOBUF, as_json, trace_body, trace_request

if TYPE_CHECKING:
    from tests.collector.receiver.running import Answer, Collector

TRANSPORTS = ["grpc", "http", "json"]
MIB = 1024**2


def assert_refused(answer: Answer, *words: str) -> None:
    """A permanent error with a sentence that has these words."""
    assert answer.status in (400, "INVALID_ARGUMENT")
    status = answer.error()
    assert status.code == code_pb2.INVALID_ARGUMENT
    assert len(status.message) < 1100
    for word in words:
        assert word in status.message


def assert_rejected(answer: Answer, *words: str) -> None:
    """A success but for one span, with a sentence that has these words."""
    assert answer.status in (200, "OK")
    partial = answer.response().partial_success
    assert partial.rejected_spans == 1
    for word in words:
        assert word in partial.error_message


def assert_good_span_is_stored(collector: Collector, trace_id: bytes, transport: str = "http") -> None:
    """What is sent right after is stored."""
    answer = collector.send(transport, trace_body(trace_id))
    assert (answer.status in (200, "OK"), answer.response()) == (True, PROTOCOL[Signal.TRACES].response())
    assert collector.span(trace_id)["span_name"] == "test"


def send_with_good_one(collector: Collector, transport: str, request: Any, trace_id: bytes) -> Answer:
    """Send a request with a good span added to its own, which is stored in any case."""
    request.MergeFrom(trace_request(trace_id, span_id=b"\2" * 8, name="beside"))
    answer = collector.send(transport, bytes(request.SerializeToString()))
    query = f"SELECT span_name FROM spans WHERE trace_id = '{trace_id.hex()}' AND span_name = 'beside'"
    collector.rows(query)
    return answer


def with_attribute(trace_id: bytes, key: str, text: str) -> Any:
    """A request with a span that has one attribute."""
    request = trace_request(trace_id)
    request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key=key).value.string_value = text
    return request


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_random_bytes(collector: Collector, trace_id: bytes, transport: str) -> None:
    """Noise is refused, or holds nothing: it never fails the collector."""
    rng = random.Random(7)
    answers = [collector.send(transport, rng.randbytes(rng.randrange(1, 300))) for _ in range(100)]
    statuses = {answer.status for answer in answers}
    assert statuses <= ({"OK", "INVALID_ARGUMENT"} if transport == "grpc" else {200, 400})
    assert statuses & {"INVALID_ARGUMENT", 400}
    assert_good_span_is_stored(collector, trace_id, transport)


def test_random_bytes_that_look_like_requests(collector: Collector, trace_id: bytes) -> None:
    """A request with some bytes changed is refused, or is another request."""
    rng = random.Random(8)
    whole = with_attribute(b"\xee" * 16, "key", "value").SerializeToString()
    for _ in range(200):
        body = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        assert collector.send("http", bytes(body)).status in (200, 400)
    assert_good_span_is_stored(collector, trace_id)


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_truncated_protobuf(collector: Collector, trace_id: bytes, transport: str) -> None:
    """A request that was cut off at any place is refused."""
    whole = with_attribute(b"\xee" * 16, "key", "value").SerializeToString()
    for size in range(1, len(whole)):
        assert_refused(collector.send(transport, whole[:size]), "not a valid OTLP protobuf message")
    assert_good_span_is_stored(collector, trace_id, transport)


def test_truncated_json(collector: Collector, trace_id: bytes) -> None:
    """So is JSON that was cut off."""
    whole = as_json(with_attribute(b"\xee" * 16, "key", "value"))
    for size in range(len(whole)):
        assert_refused(collector.post("/v1/traces", whole[:size], JSON), "not OTLP JSON")
    assert_good_span_is_stored(collector, trace_id, "json")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x08\x01", id="a number where a message belongs"),
        pytest.param(b"\x0a\x02\x08\x01", id="the same one level down"),
        pytest.param(b"\x0b\x0c", id="a group, which proto3 does not have"),
        pytest.param(b"\x0a\xff\xff\xff\xff\x7f", id="a length beyond the end"),
        pytest.param(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", id="a length of too many bytes"),
        pytest.param(b"\x00\x00", id="field number 0"),
        pytest.param(gzip.compress(trace_body(b"\xee" * 16)), id="gzip that the header does not tell"),
    ],
)
@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_wrong_types_in_protobuf(collector: Collector, trace_id: bytes, transport: str, body: bytes) -> None:
    """A field of another type than it should be is refused, or ignored like an unknown one; nothing is stored."""
    answer = collector.send(transport, body)
    if answer.status in (200, "OK"):
        assert answer.response() == PROTOCOL[Signal.TRACES].response()
    else:
        assert_refused(answer, "not a valid OTLP protobuf message")
    assert_good_span_is_stored(collector, trace_id, transport)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("resourceSpans", 5),
        ("resourceSpans", {}),
        ("resourceSpans", "x"),
        ("resourceSpans", [5]),
        ("name", 5),
        ("name", []),
        ("startTimeUnixNano", -1),
        ("startTimeUnixNano", "soon"),
        ("startTimeUnixNano", 2**64),
        ("attributes", {"key": "value"}),
        ("attributes", [{"key": "k", "value": {"intValue": 2**63}}]),
        ("attributes", [{"key": "k", "value": {"boolValue": "yes"}}]),
        ("status", 2),
        ("droppedAttributesCount", -1),
        ("name", "\ud800"),
        ("name", {"x" * 100_000: 1}),
    ],
)
def test_wrong_types_in_json(collector: Collector, trace_id: bytes, path: str, value: Any) -> None:
    """Each is refused with one sentence of bounded length."""
    document = json.loads(as_json(trace_request(b"\xee" * 16)))
    target = document if path in document else document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    target[path] = value
    answer = collector.post("/v1/traces", json.dumps(document).encode(), JSON)
    assert_refused(answer, "not OTLP JSON")
    assert_good_span_is_stored(collector, trace_id, "json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "SPAN_KIND_OF_THE_FUTURE"),
        ("kind", 99),
        ("kind", 2**40),
        ("attributes", [{"key": "k", "value": "plain"}]),
        ("attributes", [{"key": "k", "value": {"valueOfTheFuture": 1}}]),
    ],
)
def test_what_json_of_the_future_may_hold(collector: Collector, trace_id: bytes, name: str, value: Any) -> None:
    """Protobuf's parser takes unknown fields, enums and values for news it does not know yet: the span is stored."""
    document = json.loads(as_json(trace_request(trace_id)))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0][name] = value
    assert collector.post("/v1/traces", json.dumps(document).encode(), JSON).status == 200
    row = collector.span(trace_id)
    assert (row["kind"], row["attributes"]) == ("unspecified", {"k": None} if name == "attributes" else {})


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"5", b'"x"', b'{"a": NaN}', b"[" * 200_000, b'{"a":' * 200_000])
def test_json_that_is_no_request(collector: Collector, trace_id: bytes, body: bytes) -> None:
    """Other documents are refused, however deeply they are nested."""
    assert_refused(collector.post("/v1/traces", body, JSON), "not OTLP JSON")
    assert_good_span_is_stored(collector, trace_id, "json")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("bad", [b"", b"\0" * 16, b"\1" * 15, b"\1" * 17, b"\1" * 8])
def test_zero_and_short_trace_ids(collector: Collector, trace_id: bytes, transport: str, bad: bytes) -> None:
    """The span is refused alone; the reason is named."""
    request = trace_request(bad, name=f"{transport} {bad.hex()}")
    answer = send_with_good_one(collector, transport, request, trace_id)
    assert_rejected(answer, "trace_id must be 16 bytes and not all zero")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("bad", [b"", b"\0" * 8, b"\1" * 7, b"\1" * 9, b"\1" * 16])
def test_zero_and_short_span_ids(collector: Collector, trace_id: bytes, transport: str, bad: bytes) -> None:
    """The span is refused alone; the reason is named."""
    answer = send_with_good_one(collector, transport, trace_request(trace_id, span_id=bad), trace_id)
    assert_rejected(answer, "span_id must be 8 bytes and not all zero")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("bad", [b"\1" * 7, b"\1" * 9])
def test_short_parent_ids(collector: Collector, trace_id: bytes, transport: str, bad: bytes) -> None:
    """The span is refused alone; a parent of zeros is none."""
    answer = send_with_good_one(collector, transport, trace_request(trace_id, parent_span_id=bad), trace_id)
    assert_rejected(answer, "parent_span_id must be 8 bytes or empty")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_parent_of_zeros(collector: Collector, trace_id: bytes, transport: str) -> None:
    """Some senders write absent so: it is a root."""
    collector.send(transport, trace_body(trace_id, parent_span_id=b"\0" * 8))
    assert collector.span(trace_id)["parent_span_id"] is None


@pytest.mark.parametrize("bad", ["xyz", "0" * 31 + "g", "ÿ" * 32, "0x" + "1" * 30, " " * 32])
def test_ids_that_are_no_hex_in_json(collector: Collector, trace_id: bytes, bad: str) -> None:
    """The span is refused alone."""
    request = trace_request(b"\xee" * 16, trace_id, name=bad)
    body = as_json(request).replace(b"ee" * 16, json.dumps(bad)[1:-1].encode())
    assert_rejected(collector.post("/v1/traces", body, JSON), "trace_id must be 16 bytes")
    assert collector.span(trace_id)["span_name"] == bad


def test_ids_in_upper_case_in_json(collector: Collector) -> None:
    """They are the same ids."""
    body = as_json(trace_request(b"\xab\xcd" * 8, span_id=b"\xef" * 8, parent_span_id=b"\xfe" * 8))
    body = body.replace(b"abcd" * 8, b"ABcd" * 8).replace(b"ef" * 8, b"EF" * 8).replace(b"fe" * 8, b"FE" * 8)
    assert collector.post("/v1/traces", body, JSON).status == 200
    row = collector.span(b"\xab\xcd" * 8)
    assert (row["span_id"], row["parent_span_id"]) == ("ef" * 8, "fe" * 8)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_10_000_attributes(collector: Collector, trace_id: bytes, transport: str) -> None:
    """All of them are stored."""
    request = trace_request(trace_id)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for number in range(10_000):
        span.attributes.add(key=f"key {number}").value.int_value = number
    assert collector.send(transport, request.SerializeToString()).status in (200, "OK")
    assert collector.span(trace_id)["attributes"] == {f"key {number}": str(number) for number in range(10_000)}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_strings_of_a_mib(collector: Collector, trace_id: bytes, transport: str) -> None:
    """Name, key, value, event and status message are stored in full."""
    texts = [letter * (MIB // 2) for letter in "äbcdéfgh"]
    request = with_attribute(trace_id, texts[0], texts[1])
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.name, span.trace_state, span.status.message = texts[2:5]
    span.events.add(name=texts[5]).attributes.add(key=texts[6]).value.string_value = texts[7]
    assert collector.send(transport, request.SerializeToString()).status in (200, "OK")
    row = collector.span(trace_id)
    event = row["events"][0]
    assert row["attributes"] == {texts[0]: texts[1]}
    assert [row["span_name"], row["trace_state"], row["status_message"]] == texts[2:5]
    assert (event["name"], event["attributes"]) == (texts[5], {texts[6]: texts[7]})


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_strings_that_sql_and_json_trip_over(collector: Collector, trace_id: bytes, transport: str) -> None:
    """They come back as they were sent."""
    text = "'; DROP TABLE spans; --\0\x01\x7f\ufeff\u2028\"\\ 😀"
    assert collector.send(transport, with_attribute(trace_id, text, text).SerializeToString()).status in (200, "OK")
    assert collector.span(trace_id)["attributes"] == {text: text}


@pytest.mark.parametrize("place", ["name", "key", "value", "trace_state"])
@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_invalid_utf8_in_protobuf(collector: Collector, trace_id: bytes, transport: str, place: str) -> None:
    """Protobuf's strings are UTF-8: the request is refused as a whole, as protobuf's own parsers do."""
    request = with_attribute(b"\xee" * 16, "<key>", "<value>")
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.name, span.trace_state = "<name>", "<trace_state>"
    marker = f"<{place}>".encode()
    body = request.SerializeToString().replace(marker, b"\xff" * len(marker))
    assert_refused(collector.send(transport, body), "not a valid OTLP protobuf message")
    assert_good_span_is_stored(collector, trace_id, transport)


def test_invalid_utf8_in_json(collector: Collector, trace_id: bytes) -> None:
    """JSON is UTF-8 too."""
    body = as_json(trace_request(trace_id, name="<>")).replace(b"<>", b"\xff\xfe")
    assert_refused(collector.post("/v1/traces", body, JSON), "not OTLP JSON")
    assert_good_span_is_stored(collector, trace_id, "json")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("field", ["start_time_unix_nano", "end_time_unix_nano"])
@pytest.mark.parametrize("time", [2**63 - 1, 2**63, 2**64 - 1])
def test_times_beyond_the_year_2262(
    collector: Collector, trace_id: bytes, transport: str, field: str, time: int
) -> None:
    """The span is refused alone: no signed nanosecond can say when it was."""
    request = trace_request(trace_id, **{field: time})
    answer = send_with_good_one(collector, transport, request, trace_id)
    assert_rejected(answer, f"{field} lies beyond the year 2262")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("start", "end"), [(0, 0), (0, 2**63 - 2), (2**63 - 2, 0), (2**63 - 2, 2**63 - 2), (1_795_435_200_000_000_007, 1)]
)
def test_odd_times(collector: Collector, trace_id: bytes, transport: str, start: int, end: int) -> None:
    """A time of 0 and a span that ends before it starts are stored as they are."""
    body = trace_body(trace_id, start_time_unix_nano=start, end_time_unix_nano=end)
    answer = collector.send(transport, body)
    assert answer.response() == PROTOCOL[Signal.TRACES].response()
    query = (
        f"SELECT start_unix_nano, epoch_ns(end_time) AS e, duration_ns FROM spans WHERE trace_id = '{trace_id.hex()}'"
    )
    assert collector.rows(query) == [{"start_unix_nano": start, "e": end, "duration_ns": end - start}]


@dataclass(frozen=True, slots=True)
class Nested:
    """An attribute value inside so many lists."""

    depth: int

    def body(self, trace_id: bytes) -> bytes:
        """The request, nested by hand: protobuf itself refuses to write what it would not read."""
        value = b"\x0a\x01x"
        for _ in range(self.depth):
            value = _field(5, _field(1, value))  # AnyValue.array_value, ArrayValue.values
        span = trace_request(trace_id).resource_spans[0].scope_spans[0].spans[0].SerializeToString()
        attribute = _field(9, _field(1, b"deep") + _field(2, value))
        return _field(1, _field(2, _field(2, span + attribute)))


def _field(number: int, content: bytes) -> bytes:
    size = len(content)
    length = bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content


@pytest.mark.parametrize("transport", ["grpc", "http"])
@pytest.mark.parametrize("depth", [30, 1000, 20_000])
def test_deep_nesting(collector: Collector, trace_id: bytes, transport: str, depth: int) -> None:
    """Beyond what protobuf's parsers take, the request is refused; before it, the value is stored."""
    answer = collector.send(transport, Nested(depth).body(trace_id))
    if depth > 100:
        assert_refused(answer, "nested too deeply")
        assert_good_span_is_stored(collector, trace_id, transport)
    else:
        assert collector.span(trace_id)["attributes"] == {"deep": "[" * depth + '"x"' + "]" * depth}


def test_a_request_of_another_signal(collector: Collector, trace_id: bytes) -> None:
    """Spans sent to the path of logs or metrics are refused or hold no such records; they do no harm there."""
    body = trace_body(b"\xee" * 16)
    for signal in (Signal.LOGS, Signal.METRICS):
        assert collector.post(f"/v1/{signal.value}", body, PROTOBUF).status in (200, 400)
    assert_good_span_is_stored(collector, trace_id)
