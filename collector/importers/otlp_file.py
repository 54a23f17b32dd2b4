"""OTLP in files: JSON documents, JSON lines, and protobuf, single or length-delimited; all three signals, mixed too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from google.protobuf.message import DecodeError

from collector.importers import otlp
from collector.importers.records import MOST_RECORDS, Problem, Request
from collector.otlp_json import from_document, parse
from collector.signals import PROTOCOL, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT_BYTES = 5  # lengths up to 2^35: more than any message


def is_otlp(document: Any) -> bool:
    """Say whether a parsed JSON document is an Export request, or the same content under the name ``TracesData``."""
    return isinstance(document, dict) and otlp.signal_of(document) is not None


def read_document(position: str, document: dict[str, Any]) -> Iterator[Request | Problem]:
    """Yield the requests of one OTLP/JSON document."""
    signal = otlp.signal_of(document)
    if signal is None:
        yield Problem(position, "no resourceSpans, resourceMetrics or resourceLogs in this object")
        return
    try:
        body = from_document(signal, document)
    except (ValueError, RecursionError) as error:
        yield Problem(position, f"not OTLP JSON ({str(error).partition(chr(10))[0]})")
        return
    yield from _requests(position, signal, body)


def read_lines(name: str, file: BinaryIO) -> Iterator[Request | Problem]:
    """Yield the requests of JSON lines; a line that is damaged is a ``Problem`` and the rest is kept."""
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        position = f"{name}: line {number}"
        try:
            document = parse(line)
        except (ValueError, RecursionError) as error:
            yield Problem(position, f"not JSON ({str(error).partition(chr(10))[0]}); was the file cut off?")
            continue
        if is_otlp(document):
            yield from read_document(position, document)
        else:
            yield Problem(position, "no resourceSpans, resourceMetrics or resourceLogs in this line")


def starts_delimited(head: bytes) -> bool:
    """Say whether bytes begin with a length and, as far as they reach, a message of that length."""
    length, start = _varint(head)
    if not length or start + length > len(head):
        return False
    return message_signal(head[start : start + length]) is not None


def read_delimited(name: str, file: BinaryIO) -> Iterator[Request | Problem]:
    """Yield the requests of messages that each follow their length; damage ends the file, with a ``Problem``."""
    offset = 0
    while head := file.read(1):
        position = f"{name}: byte {offset}"
        while head[-1] & 0x80 and len(head) < _VARINT_BYTES and (more := file.read(1)):
            head += more
        length, _ = _varint(head)
        body = file.read(length)
        signal = message_signal(body) if len(body) == length else None
        if signal is None:
            reason = "the file ends within a message" if len(body) < length else "not an OTLP message"
            yield Problem(position, f"{reason}; what follows is left out")
            return
        yield from _requests(position, signal, body)
        offset += len(head) + length


def read_message(name: str, body: bytes) -> Iterator[Request | Problem]:
    """Yield the requests of a file that is one message; nothing when it is none."""
    signal = message_signal(body)
    if signal is not None:
        yield from _requests(f"{name}: byte 0", signal, body)


def message_signal(body: bytes) -> Signal | None:
    """Return the signal of a protobuf message: the one that knows every field in it and finds records."""
    return next((signal for signal in Signal if _fits(signal, body)), None)


def _fits(signal: Signal, body: bytes) -> bool:
    try:
        message = otlp.parse_protobuf(signal, body)
    except DecodeError:
        return False
    size = message.ByteSize()
    message.DiscardUnknownFields()
    return bool(message.ByteSize() == size and otlp.count(signal, message))


def _varint(data: bytes) -> tuple[int, int]:
    """The number that data begins with, and the offset behind it; (0, 0) when there is none."""
    value = 0
    for index, byte in enumerate(data[:_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004  (the continuation bit)
            return value, index + 1
    return 0, 0


def _requests(position: str, signal: Signal, body: bytes) -> Iterator[Request]:
    message = PROTOCOL[signal].request.FromString(body)
    records = otlp.count(signal, message)
    if records <= MOST_RECORDS:
        yield Request(signal, body, records, position)
        return
    for part in otlp.split(signal, message, MOST_RECORDS):
        yield Request(signal, part.SerializeToString(), otlp.count(signal, part), position)
