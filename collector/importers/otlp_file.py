"""OTLP in files: JSON documents, JSON lines, and protobuf, single or length-delimited; all three signals, mixed too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from google.protobuf.message import DecodeError

from collector.importers import otlp
from collector.importers.records import MOST_BYTES, MOST_RECORDS, Problem, Request
from collector.otlp_json import from_document, parse
from collector.signals import PROTOCOL, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LEVELS = {
    Signal.TRACES: ("resourceSpans", "scopeSpans", "spans"),
    Signal.METRICS: ("resourceMetrics", "scopeMetrics", "metrics"),
    Signal.LOGS: ("resourceLogs", "scopeLogs", "logRecords"),
}
_VARINT_BYTES = 5  # enough for the longest message
_LONGEST_MESSAGE = 2**31 - 1  # protobuf's own limit
_READ_BYTES = 1024 * 1024  # a length that is damaged must not reserve the memory it promises
_TRIED_MESSAGES = 8  # a stream may begin with messages that are empty or damaged
_PLAUSIBLE, _EXACT, _NEWER, _NONE = 3, 2, 1, 0
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8


def is_otlp(document: Any) -> bool:
    """Say whether a parsed JSON document is an Export request, or the same content under the name ``TracesData``."""
    return isinstance(document, dict) and bool(_signals_in(document))


def _signals_in(document: dict[str, Any]) -> list[Signal]:
    return [signal for signal, names in _LEVELS.items() if names[0] in document]


def read_document(position: str, document: dict[str, Any]) -> Iterator[Request | Problem]:
    """Yield the requests of one OTLP/JSON document; a record that cannot be read is a ``Problem``."""
    for signal in _signals_in(document):
        try:
            body = from_document(signal, document)
        except (ValueError, RecursionError):
            yield from _read_singly(position, signal, document)
        else:
            yield from _requests(position, signal, body)


def _read_singly(position: str, signal: Signal, document: dict[str, Any]) -> Iterator[Request | Problem]:
    """Each record by itself, since one that cannot be read fails the whole document; slow, and seldom needed."""
    whole = PROTOCOL[signal].request()
    for number, alone in enumerate(_split_document(document, _LEVELS[signal]), start=1):
        try:
            whole.MergeFromString(from_document(signal, alone))
        except (ValueError, RecursionError) as error:
            yield Problem(f"{position}, record {number}", f"not OTLP JSON ({_first_line(error)})")
    yield from _requests(position, signal, whole.SerializeToString())


def _split_document(value: Any, names: Sequence[str]) -> Iterator[Any]:
    """Yield copies of a document that have one record each; what is no list where one belongs is left as it is."""
    inner = value.get(names[0]) if names and isinstance(value, dict) else None
    if not isinstance(inner, list):
        yield value
        return
    for item in inner:
        for alone in _split_document(item, names[1:]):
            yield {**value, names[0]: [alone]}


def has_line(data: bytes) -> bool:
    """Say whether one of the lines in ``data`` that end in it is an OTLP/JSON document by itself."""
    return any(_is_line(line) for line in data.split(b"\n")[:-1] if b'"resource' in line)


def _is_line(line: bytes) -> bool:
    try:
        return is_otlp(parse(line))
    except (ValueError, RecursionError):
        return False


def read_lines(name: str, file: BinaryIO) -> Iterator[Request | Problem]:
    """Yield the requests of JSON lines; a line that is damaged is a ``Problem`` and the rest is kept."""
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        position = f"{name}: line {number}"
        try:
            document = parse(line)
        except (ValueError, RecursionError) as error:
            yield Problem(position, f"not JSON ({_first_line(error)}); was the file cut off?")
            continue
        if is_otlp(document):
            yield from read_document(position, document)
        else:
            yield Problem(position, "no resourceSpans, resourceMetrics or resourceLogs in this line")


def starts_delimited(head: bytes, *, is_whole: bool) -> bool:
    """Say whether bytes begin with messages that each follow their length; ``is_whole``: nothing comes after them."""
    for number in range(_TRIED_MESSAGES):
        length, start = _varint(head)
        body, head = head[start : start + length], head[start + length :]
        if not start or len(body) < length:
            # A single message begins with 0x0a, which read as a length is 10: it never looks like a long one.
            return number == 0 and not is_whole and body.startswith(b"\n")
        if message_signal(body) is not None:
            return True
    return False


def read_delimited(name: str, file: BinaryIO) -> Iterator[Request | Problem]:
    """Yield the requests of messages that each follow their length; one that is damaged is a ``Problem``.

    Two of them in a row, or a length that cannot be, mean that the lengths are lost: there the reading ends.
    """
    offset, damaged = 0, 0
    while head := _read_varint(file):
        position = f"{name}: byte {offset}"
        length, start = _varint(head)
        body = _read_exactly(file, length)
        if not start or len(body) < length:
            yield Problem(position, "the file is cut off or damaged within a message; what follows is left out")
            return
        signal = message_signal(body)
        if signal is not None:
            yield from _requests(position, signal, body)
        damaged = 0 if signal or _is_without_records(body) else damaged + 1
        if damaged:
            yield Problem(position, "not an OTLP message" + ("; what follows is left out" if damaged > 1 else ""))
        if damaged > 1:
            return
        offset += len(head) + length


def _read_varint(file: BinaryIO) -> bytes:
    head = file.read(1)
    while head and head[-1] & 0x80 and len(head) < _VARINT_BYTES and (more := file.read(1)):
        head += more
    return head


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    """At most ``size`` bytes; fewer at the end of the file."""
    parts: list[bytes] = []
    while size and (part := file.read(min(size, _READ_BYTES))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_message(name: str, body: bytes) -> Iterator[Request | Problem]:
    """Yield the requests of a file that is one message; nothing when it is none."""
    signal = message_signal(body)
    if signal is not None:
        yield from _requests(f"{name}: byte 0", signal, body)


def message_signal(body: bytes) -> Signal | None:
    """Return the signal of a protobuf message, None when it is none or has no records.

    The three signals have the same outline, so that short messages of one can be read as another: a gauge's bytes
    are a span's name. Of those that can be read, the one with plausible content and no unknown field is taken.
    """
    best, best_grade = None, _NONE
    for signal in Signal:
        grade = _grade(signal, body)
        if grade == _PLAUSIBLE:
            return signal
        if grade > best_grade:
            best, best_grade = signal, grade
    return best


def _grade(signal: Signal, body: bytes) -> int:
    try:
        message = otlp.parse_protobuf(signal, body)
    except DecodeError:
        return _NONE
    plausible = any(_is_plausible(signal, record) for record in otlp.records(signal, message))
    exact = otlp.count(signal, message) and _knows_every_field(message)
    if exact:
        return _PLAUSIBLE if plausible else _EXACT
    return _NEWER if plausible else _NONE  # a later version of OTLP may have fields that are unknown here


def _is_plausible(signal: Signal, record: Any) -> bool:
    if signal is Signal.TRACES:
        return len(record.trace_id) == _TRACE_ID_BYTES and len(record.span_id) == _SPAN_ID_BYTES
    if signal is Signal.LOGS:
        return bool(record.time_unix_nano or record.observed_time_unix_nano or record.HasField("body"))
    return True  # spans and logs that read as metrics are found to have no data points


def _knows_every_field(message: Any) -> bool:
    size = message.ByteSize()
    message.DiscardUnknownFields()
    return bool(message.ByteSize() == size)


def _is_without_records(body: bytes) -> bool:
    """Say whether this is a message of resources at most, which look alike in all signals."""
    try:
        message = otlp.parse_protobuf(Signal.TRACES, body)
    except DecodeError:
        return False
    return _knows_every_field(message) and not otlp.count(Signal.TRACES, message)


def _varint(data: bytes) -> tuple[int, int]:
    """The length that data begins with, and the offset behind it; (0, 0) when there is none."""
    value = 0
    for index, byte in enumerate(data[:_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004  (the continuation bit)
            return (value, index + 1) if value <= _LONGEST_MESSAGE else (0, 0)
    return 0, 0


def _requests(position: str, signal: Signal, body: bytes) -> Iterator[Request]:
    message = PROTOCOL[signal].request.FromString(body)
    records = otlp.count(signal, message)
    if records <= MOST_RECORDS and len(body) <= MOST_BYTES:
        if records:
            yield Request(signal, body, records, position)
        return
    for part in otlp.split(signal, message, records=MOST_RECORDS, size=MOST_BYTES):
        yield Request(signal, part.SerializeToString(), otlp.count(signal, part), position)


def _first_line(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0]
