"""Bytes that are no OTLP request get the verdict of the protobuf classes, and nothing worse."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.decoder import Decoder
from collector.errors import InvalidRequestError
from collector.signals import PROTOCOL, Signal
from tests.collector.decode import oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

MUTATIONS = 3000


def add_attributes(attributes: Any) -> None:
    """One of every kind."""
    attributes.add(key="none")
    for field, value in (("string_value", "é"), ("int_value", 5), ("double_value", 1.5), ("bool_value", True)):
        setattr(attributes.add(key=field).value, field, value)
    attributes.add(key="bytes").value.bytes_value = b"zz"
    attributes.add(key="array").value.array_value.values.add().string_value = "y"
    attributes.add(key="map").value.kvlist_value.values.add(key="z").value.int_value = 1


def trace_request() -> ExportTraceServiceRequest:
    """A request in which every level of the protocol occurs twice."""
    request = ExportTraceServiceRequest()
    for _ in range(2):
        level = request.resource_spans.add(schema_url="u")
        add_attributes(level.resource.attributes)
        level.resource.entity_refs.add(type="host", id_keys=["a"])
        scope_level = level.scope_spans.add(schema_url="v")
        scope_level.scope.name = "library"
        for number in (1, 2):
            span = scope_level.spans.add(trace_id=b"\1" * 16, span_id=bytes([number]) * 8, name="abc", kind=2)
            span.end_time_unix_nano = 7
            span.status.message = "m"
            add_attributes(span.attributes)
            add_attributes(span.events.add(time_unix_nano=6, name="e").attributes)
            add_attributes(span.links.add(trace_id=b"\3" * 16, span_id=b"\4" * 8).attributes)
    return request


def log_request() -> ExportLogsServiceRequest:
    """Records with each kind of body."""
    request = ExportLogsServiceRequest()
    level = request.resource_logs.add()
    scope_level = level.scope_logs.add()
    for body in ("plain", "map"):
        record = scope_level.log_records.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, severity_text="INFO")
        add_attributes(record.attributes)
        if body == "plain":
            record.body.string_value = "é"
        else:
            add_attributes(record.body.kvlist_value.values)
    return request


def metric_request() -> ExportMetricsServiceRequest:
    """A metric of each type."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
        metric = metrics.add(name=kind, unit="s")
        point = getattr(metric, kind).data_points.add(time_unix_nano=3)
        add_attributes(point.attributes)
        if kind == "gauge":
            point.as_double = 1.5
        if kind == "histogram":
            point.bucket_counts.extend([1, 2])
        if kind == "exponential_histogram":
            point.positive.bucket_counts.extend([1, 300])
        if kind == "summary":
            point.quantile_values.add(quantile=0.5, value=2)
    return request


REQUESTS: dict[Signal, Callable[[], Any]] = {
    Signal.TRACES: trace_request,
    Signal.LOGS: log_request,
    Signal.METRICS: metric_request,
}


def mutations(body: bytes, seed: int) -> Iterator[bytes]:
    """Bodies with bytes changed, bits flipped, bytes cut out, bytes put in, or the end missing."""
    rng = random.Random(seed)
    for _ in range(MUTATIONS):
        mutated = bytearray(body)
        how = rng.randrange(5)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            place = rng.randrange(len(mutated))
            if how == 0:
                mutated[place] = rng.randrange(256)
            elif how == 1:
                mutated[place] ^= 1 << rng.randrange(8)
            elif how == 2:
                del mutated[place : place + rng.randrange(1, 4)]
            elif how == 3:
                mutated[place:place] = rng.randbytes(rng.randrange(1, 4))
        if how == 4:
            del mutated[rng.randrange(len(mutated)) :]
        yield bytes(mutated)


def is_valid(signal: Signal, body: bytes) -> bool:
    """The verdict of the protobuf classes."""
    try:
        PROTOCOL[signal].request.FromString(body)
    except DecodeError:
        return False
    return True


def verdict(decoder: Decoder, signal: Signal, body: bytes) -> tuple[bool, int]:
    """Whether a body is decoded, and how many of its records are refused."""
    try:
        decoded = decoder.decode(signal, [body])
    except InvalidRequestError:
        return False, 0
    return True, decoded.rejections[0].count


@pytest.mark.parametrize("signal", list(Signal))
def test_damaged_requests_get_the_verdict_of_protobuf(signal: Signal) -> None:
    """Never refused when protobuf reads them, and hardly ever read when protobuf refuses them.

    Known differences: attributes of a record that is refused are not looked at, so damage in them goes unseen; what is
    left over behind the last number of a packed list is ignored; and a group may end with another group's tag.
    """
    decoder = Decoder()
    verdicts: Counter[tuple[bool, bool]] = Counter()
    for body in mutations(REQUESTS[signal]().SerializeToString(), seed=20_261_123):
        decoded, refused = verdict(decoder, signal, body)
        if not refused:
            verdicts[is_valid(signal, body), decoded] += 1
    assert verdicts[True, False] == 0
    assert verdicts[False, True] <= MUTATIONS / 1000
    assert min(verdicts[True, True], verdicts[False, False]) > MUTATIONS / 20


def test_random_bytes_are_refused_or_empty() -> None:
    """What is accepted by chance holds no spans."""
    rng = random.Random(7)
    decoder = Decoder()
    for size in range(200):
        body = rng.randbytes(size)
        decoded, _ = verdict(decoder, Signal.TRACES, body)
        assert decoded == is_valid(Signal.TRACES, body)


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of fewer than 16384 bytes."""
    size = len(content)
    return bytes([number << 3 | 2, *([size & 127 | 128, size >> 7] if size > 127 else [size])]) + content


IDS = _field(1, b"\1" * 16) + _field(2, b"\2" * 8)
UNUSUAL = {
    "a scalar twice": _field(5, b"a") + _field(5, b"b"),
    "a message in two parts": _field(15, _field(2, b"why")) + _field(15, b"\x18\x02"),
    "an enum as bytes": _field(6, b"ab"),
    "a string as a number": b"\x28\x05",
    "attributes as a number": b"\x48\x05",
    "a field nobody knows": b"\xf8\x07\x05",
    "a group nobody knows": b"\xfb\x07\x08\x01\xfc\x07",
    "a negative enum": b"\x30" + b"\xff" * 9 + b"\x01",
    "an enum that wraps around to 2": b"\x30\x82\x80\x80\x80\x10",
    "a tag longer than need be": b"\xb0\x80\x80\x80\x00\x02",
    "a value as a number": _field(9, _field(1, b"k") + b"\x10\x05"),
    "a text as a number": _field(9, _field(1, b"k") + _field(2, b"\x08\x05")),
    "a key twice": _field(9, _field(1, b"k") + _field(1, b"l")),
    "a truth of two": _field(9, _field(1, b"k") + _field(2, b"\x10\x02")),
}


@pytest.mark.parametrize("unusual", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_but_valid_wire_forms_are_read_as_protobuf_reads_them(unusual: bytes) -> None:
    """The same content as from the protobuf classes' own, canonical bytes."""
    body = _field(1, _field(2, _field(2, IDS + unusual)))
    canonical = ExportTraceServiceRequest.FromString(body)
    canonical.DiscardUnknownFields()
    found = oracle.decoded_rows(Signal.TRACES, [body])
    assert found == oracle.decoded_rows(Signal.TRACES, [canonical.SerializeToString()])


KNOWN_DIFFERENCES = {
    "a value in two parts": (
        _field(9, _field(1, b"k") + _field(2, _field(1, b"a")) + _field(2, b"\x18\x05")),
        "s",
        "a",
    ),
    "a value of two kinds": (_field(9, _field(1, b"k") + _field(2, _field(1, b"a") + b"\x18\x05")), "s", "a"),
    "an array in two parts": (
        _field(
            9, _field(1, b"k") + _field(2, b"".join(_field(5, _field(1, _field(1, item))) for item in (b"a", b"b")))
        ),
        "a",
        ["b"],
    ),
}


@pytest.mark.parametrize(("unusual", "letter", "content"), KNOWN_DIFFERENCES.values(), ids=KNOWN_DIFFERENCES)
def test_known_differences(unusual: bytes, letter: str, content: object) -> None:
    """What no serializer writes: protobuf would merge the parts, here one of them counts; a canary for ptars."""
    rows, _ = oracle.decoded_rows(Signal.TRACES, [_field(1, _field(2, _field(2, IDS + unusual)))])
    assert rows[0]["attributes"] == {"k": (letter, content)}


def test_one_malformed_body_refuses_the_group() -> None:
    """The caller then decodes one by one, to refuse that one alone."""
    good = trace_request().SerializeToString()
    with pytest.raises(InvalidRequestError, match="not a valid OTLP protobuf message"):
        Decoder().decode(Signal.TRACES, [good, good[:-1], good])


@pytest.mark.parametrize("depth", range(4))
def test_a_length_that_overflows_is_refused(depth: int) -> None:
    """At every level: it ends before it begins, on which ptars panics instead of raising what others raise."""
    body = b"\x0a" + b"\xff" * 9 + b"\x01"
    for number in (2, 2, 1)[3 - depth :]:
        body = _field(number, body)
    decoder = Decoder()
    assert verdict(decoder, Signal.TRACES, body) == (False, 0)
    good = REQUESTS[Signal.TRACES]().SerializeToString()
    assert verdict(decoder, Signal.TRACES, good) == (True, 0)
