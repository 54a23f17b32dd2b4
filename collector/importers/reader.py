"""Reads a telemetry file of any known format, told apart by content."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import zstandard

from collector.errors import ImportFileError
from collector.importers import otlp
from collector.importers.jaeger import is_jaeger, read_jaeger
from collector.importers.otlp_file import (
    is_otlp,
    read_delimited,
    read_document,
    read_lines,
    read_message,
    starts_delimited,
)
from collector.importers.records import Problem, Request
from collector.importers.zipkin import is_zipkin, read_zipkin
from collector.otlp_json import parse
from collector.signals import PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Problem", "Request", "newest_unix_nano", "read_requests"]

FORMATS = "OTLP (JSON, JSON lines or protobuf), Jaeger JSON and Zipkin v2 JSON, plain or as .gz or .zst"

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_HEAD_BYTES = 8 * 1024 * 1024  # a first line or message that is longer is read as one document
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError)


def read_requests(path: Path, *, shift_ns: int = 0) -> Iterator[Request | Problem]:
    """Yield a file's telemetry in its order, as Export requests of bounded size, and what had to be left out.

    ``-`` is standard input. All times are moved by ``shift_ns``. Raises ``ImportFileError`` when the file cannot be
    read or is of no known format; a file that is cut off yields what comes before the cut, and a ``Problem``.
    """
    with _opened(path) as file:
        for item in _read(_name(path), file):
            yield _shifted(item, shift_ns) if shift_ns and isinstance(item, Request) else item


def newest_unix_nano(path: Path) -> int | None:
    """Return the latest time in a file in Unix nanoseconds; None when nothing in it has a time."""
    if str(path) == "-":
        raise ImportFileError("--now needs to read its input twice, and standard input can be read once: give a file.")
    newest = 0
    for item in read_requests(path):
        if isinstance(item, Request):
            newest = max(newest, otlp.newest(item.signal, otlp.parse_protobuf(item.signal, item.body)))
    return newest or None


def _shifted(request: Request, shift_ns: int) -> Request:
    message = PROTOCOL[request.signal].request.FromString(request.body)
    otlp.shift(request.signal, message, shift_ns)
    return replace(request, body=message.SerializeToString())


def _name(path: Path) -> str:
    return "standard input" if str(path) == "-" else str(path)


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    """The file without its compression, which its first bytes tell, whatever its name."""
    try:
        raw = sys.stdin.buffer if str(path) == "-" else path.open("rb")
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read ({error.strerror}): give a file that exists.") from error
    with raw:
        yield _uncompressed(io.BufferedReader(cast("io.RawIOBase", raw)))


def _uncompressed(raw: io.BufferedReader) -> io.BufferedReader:
    magic = raw.peek(len(_ZSTD))
    if magic.startswith(_GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=raw))
    if magic.startswith(_ZSTD):
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
    return raw


def _read(name: str, file: io.BufferedReader) -> Iterator[Request | Problem]:
    """Damaged compression ends the file wherever it is met; what was read before it has been yielded."""
    yielded = False
    try:
        for item in _recognised(name, file):
            yield item
            yielded = True
    except _DAMAGED as error:
        if not yielded:
            raise ImportFileError(f"{name} is damaged or cut off before its first record ({error}).") from error
        yield Problem(f"{name}: end", f"the compressed data is damaged or cut off ({error})")


def _recognised(name: str, file: io.BufferedReader) -> Iterator[Request | Problem]:
    head, broken = _head(file)
    rest = _Joined(head, file, broken)
    if head.lstrip()[:1] in (b"{", b"["):
        yield from _read_json(name, head, rest)
    elif starts_delimited(head):
        yield from read_delimited(name, rest)
    else:
        yield from _read_single(name, rest.read())


def _head(file: io.BufferedReader) -> tuple[bytes, Exception | None]:
    """The first bytes, and the damage that ended them early."""
    parts: list[bytes] = []
    size = 0
    try:
        while size < _HEAD_BYTES and (part := file.read1(_HEAD_BYTES - size)):
            parts.append(part)
            size += len(part)
    except _DAMAGED as error:
        return b"".join(parts), error
    return b"".join(parts), None


class _Joined(io.BufferedReader):
    """The head again, then the rest of the file, then the damage that was met."""

    def __init__(self, head: bytes, file: BinaryIO, broken: Exception | None) -> None:
        super().__init__(_HeadThenFile(head, file, broken))


class _HeadThenFile(io.RawIOBase):
    def __init__(self, head: bytes, file: BinaryIO, broken: Exception | None) -> None:
        self._head = memoryview(head)
        self._file = file
        self._broken = broken

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            size = min(len(buffer), len(self._head))
            buffer[:size] = self._head[:size]
            self._head = self._head[size:]
            return size
        if self._broken is not None:
            raise self._broken
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _read_json(name: str, head: bytes, file: BinaryIO) -> Iterator[Request | Problem]:
    if _starts_with_otlp_line(head):
        yield from read_lines(name, file)
        return
    try:
        document = parse(file.read())
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise ImportFileError(f"{name} is not valid JSON ({reason}): it is damaged or cut off.") from error
    if is_otlp(document):
        yield from read_document(name, document)
    elif is_jaeger(document):
        yield from read_jaeger(name, document)
    elif is_zipkin(document):
        yield from read_zipkin(name, document)
    else:
        raise _unknown(name)


def _starts_with_otlp_line(head: bytes) -> bool:
    first, newline, _ = head.lstrip().partition(b"\n")
    try:
        return bool(newline) and is_otlp(parse(first))
    except (ValueError, RecursionError):
        return False


def _read_single(name: str, body: bytes) -> Iterator[Request | Problem]:
    found = False
    for item in read_message(name, body):
        found = True
        yield item
    if not found:
        raise _unknown(name)


def _unknown(name: str) -> ImportFileError:
    return ImportFileError(f"{name} is of no known format: Lithoscope reads {FORMATS}.")
