"""Tells the formats of telemetry files apart by their content, whatever their names say."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO

from collector.errors import ImportFileError
from collector.importers.jaeger import is_jaeger, read_jaeger
from collector.importers.otlp_file import (
    has_line,
    is_otlp,
    read_delimited,
    read_document,
    read_lines,
    read_message,
    starts_delimited,
)
from collector.importers.records import Problem
from collector.importers.zipkin import is_zipkin, read_zipkin
from collector.otlp_json import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.importers.records import Request

FORMATS = "OTLP (JSON, JSON lines or protobuf), Jaeger JSON and Zipkin v2 JSON, plain or as .gz or .zst"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_recognised(name: str, head: bytes, file: BinaryIO, *, is_whole: bool) -> Iterator[Request | Problem]:
    """Yield the telemetry of an uncompressed file, whose first bytes are ``head``, all of it when ``is_whole``.

    JSON lines and length-delimited protobuf are read piece by piece, all else at once.
    Raises ``ImportFileError`` when the format is none that is known.
    """
    begin = head.removeprefix(_BYTE_ORDER_MARK).lstrip()[:1]
    if begin != b"[" and has_line(head):  # in a list, only the last document of those on lines is one by itself
        yield from read_lines(name, file)
    elif begin in (b"{", b"["):
        yield from _read_json(name, file.read())
    elif starts_delimited(head, is_whole=is_whole):
        yield from read_delimited(name, file)
    else:
        yield from _read_single(name, file.read())


def _read_json(name: str, text: bytes) -> Iterator[Request | Problem]:
    try:
        document = parse(text)
    except (ValueError, RecursionError) as error:
        if not has_line(text):
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0]
            raise ImportFileError(f"{name} is not valid JSON ({reason}): it is damaged or cut off.") from error
        yield from read_lines(name, io.BytesIO(text))  # lines so long that none ended in the head
        return
    yield from _read_document(name, document)


def _read_document(name: str, document: Any) -> Iterator[Request | Problem]:
    if is_otlp(document):
        yield from read_document(name, document)
    elif isinstance(document, list) and any(map(is_otlp, document)):
        yield from _read_list(name, document)
    elif is_jaeger(document):
        yield from read_jaeger(name, document)
    elif is_zipkin(document):
        yield from read_zipkin(name, document)
    else:
        raise _unknown(name)


def _read_list(name: str, documents: list[Any]) -> Iterator[Request | Problem]:
    for number, document in enumerate(documents, start=1):
        position = f"{name}: document {number}"
        if is_otlp(document):
            yield from read_document(position, document)
        else:
            yield Problem(position, "no resourceSpans, resourceMetrics or resourceLogs in this document")


def _read_single(name: str, body: bytes) -> Iterator[Request | Problem]:
    found = False
    for item in read_message(name, body):
        found = True
        yield item
    if not found:
        raise _unknown(name)


def _unknown(name: str) -> ImportFileError:
    return ImportFileError(f"{name} is of no known format: Lithoscope reads {FORMATS}.")
