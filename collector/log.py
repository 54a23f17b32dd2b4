"""The durable log: request bodies in framed, checksummed records, in segment files that are never written again.

A frame is a header (length of the body, signal, time of arrival, xxh3 of all that follows the checksum) and the body.
A start opens a new segment, so that a torn tail stays where the crash left it and nothing is appended behind it.
"""

from __future__ import annotations

import os
import struct
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import structlog
import xxhash

from collector.position import LogPosition
from collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_FRAME = struct.Struct("<QIBQ")  # checksum, length, signal, arrival in Unix nanoseconds
_UNSUMMED = 8
_SIGNAL_AT, _YEARS_AT = 12, 20  # in the frame: the signal, and the highest byte of the time of arrival
_YEARS = time.time_ns() >> 56  # which stays the same for two years and a quarter
_SIGNALS = tuple(Signal)
_SEGMENT_BYTES = 64 * 1024 * 1024
_SUFFIX = ".segment"
_MOST_BUFFERS = 512  # Linux takes 1024 buffers in one writev; a record is two

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """One request as it came; ``end`` is the position after it."""

    signal: Signal
    body: bytes
    received_unix_nano: int
    end: LogPosition


class DurableLog:
    """Appends records to the newest segment of a folder; one thread writes.

    ``after`` is a segment number that was used before, for a folder whose segments are gone: numbers only grow.
    """

    def __init__(self, folder: Path, *, after: int = 0, segment_bytes: int = _SEGMENT_BYTES) -> None:
        self.folder = folder
        self._segment_bytes = segment_bytes
        if not folder.exists():
            folder.mkdir(parents=True)
            sync_folder(folder.parent)
        self._segment = max(after, *segment_numbers(folder), 0)
        self._file = -1
        self._offset = 0
        self._position = LogPosition(0, 0)

    def append(self, records: Sequence[tuple[Signal, bytes]]) -> LogPosition:
        """Write records and wait until they are on the disk; return the position after the last.

        Raises ``OSError`` when they are not; then none of them counts, and the next append starts a new segment.
        """
        buffers = [buffer for record in records for buffer in _frame(*record)]
        if self._file < 0 or self._offset >= self._segment_bytes:
            self._open_segment()
        try:
            for start in range(0, len(buffers), _MOST_BUFFERS):
                self._write(buffers[start : start + _MOST_BUFFERS])
            _sync(self._file)
        except BaseException:
            self._abandon_segment()
            raise
        self._offset += sum(map(len, buffers))
        self._position = LogPosition(self._segment, self._offset)
        return self._position

    @property
    def position(self) -> LogPosition:
        """The place after the last record made durable by this object, (0, 0) before the first; any thread may ask."""
        return self._position

    def _open_segment(self) -> None:
        self._close_file()
        path = _path(self.folder, self._segment + 1)
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        self._segment += 1
        self._offset = 0
        sync_folder(self.folder)

    def _write(self, buffers: list[bytes]) -> None:
        written = os.writev(self._file, buffers)
        if written < sum(map(len, buffers)):  # a nearly full disk: the rest again, or the error that explains it
            rest = memoryview(b"".join(buffers))[written:]
            while rest:
                rest = rest[os.write(self._file, rest) :]

    def _abandon_segment(self) -> None:
        """Cut what failed off: after a failed fsync nobody knows which bytes arrived, so the file is not used again."""
        try:
            os.ftruncate(self._file, self._offset)
        except OSError as error:
            log.warning("log segment not truncated", segment=self._segment, error=str(error))
        self._close_file()

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def delete_before(self, position: LogPosition) -> None:
        """Delete the segments that lie wholly before a position."""
        for number in segment_numbers(self.folder):
            if number < position.segment:
                _path(self.folder, number).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the current segment."""
        self._close_file()


def log_folder(db: Path) -> Path:
    """Return where the durable log of a database file lives: beside it."""
    return db.with_name(f"{db.name}.log")


def log_name(folder: Path) -> str:
    """Return the name of the log in a folder, 32 hex digits, given to it now if it has none; it never changes.

    A lake keeps the place in a log under its name, so that the name must live and die with the log.
    """
    path = folder / "name"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        with fresh.open("w", encoding="ascii") as file:
            file.write(uuid.uuid4().hex)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        sync_folder(folder)
    return path.read_text(encoding="ascii")


def segment_numbers(folder: Path) -> list[int]:
    """Return the numbers of the segments in a log folder, oldest first."""
    return sorted(int(path.stem) for path in folder.glob(f"*{_SUFFIX}"))


@dataclass(frozen=True, slots=True)
class Damage:
    """A place of the log that cannot be read; ``torn`` when nothing of its segment behind it can be read either."""

    place: LogPosition
    torn: bool


def _ignore(_damage: Damage) -> None:
    """Nobody asked."""


def read_records(
    folder: Path,
    since: LogPosition = LogPosition(0, 0),  # noqa: B008  (immutable)
    tell: Callable[[Damage], None] = _ignore,
) -> Iterator[Record]:
    """Yield the records after a position, in order of arrival.

    A torn record ends its segment, which is expected where a crash happened. What is damaged is left out, and the next
    record behind it is looked for, byte by byte. Both are logged, and told to ``tell``.
    """
    for number in segment_numbers(folder):
        if number >= since.segment:
            with _path(folder, number).open("rb") as file:
                file.seek(since.offset if number == since.segment else 0)
                yield from _read_segment(file, number, tell)


def _read_segment(file: BinaryIO, number: int, tell: Callable[[Damage], None]) -> Iterator[Record]:
    size = os.fstat(file.fileno()).st_size
    while (start := file.tell()) < size:
        record = _read_record(file, number, size)
        if record is None:
            found = _next_record(file, start + 1)
            log.warning("log segment is torn or damaged", segment=number, offset=start, readable_again=found)
            tell(Damage(LogPosition(number, start), torn=found is None))
            if found is None:
                return
            file.seek(found)
        else:
            yield record


def _read_record(file: BinaryIO, number: int, size: int) -> Record | None:
    header = file.read(_FRAME.size)
    if len(header) < _FRAME.size or _FRAME.unpack(header)[1] > size - file.tell():
        return None  # damage must not ask for 4 GiB of memory
    body = file.read(_FRAME.unpack(header)[1])
    return _checked(header, body, LogPosition(number, file.tell()))


def _next_record(file: BinaryIO, start: int) -> int | None:
    """Return where the next intact record begins; what looks like a header is told by signal, time and checksum."""
    file.seek(start)
    data = file.read()
    octets = np.frombuffer(data, np.uint8)
    last = len(data) - _FRAME.size + 1
    if last <= 0:
        return None
    years_ago = np.uint8(_YEARS) - octets[_YEARS_AT : last + _YEARS_AT]
    likely = (octets[_SIGNAL_AT : last + _SIGNAL_AT] < len(_SIGNALS)) & (years_ago < 2)  # noqa: PLR2004  (now or before)
    for place in np.flatnonzero(likely).tolist():
        header = data[place : place + _FRAME.size]
        end = place + _FRAME.size + _FRAME.unpack(header)[1]
        if end <= len(data) and _checked(header, data[place + _FRAME.size : end], LogPosition(0, 0)):
            return start + int(place)
    return None


def _checked(header: bytes, body: bytes, end: LogPosition) -> Record | None:
    checksum, _, signal, received = _FRAME.unpack(header)
    return Record(_SIGNALS[signal], body, received, end) if checksum == _checksum(header[_UNSUMMED:], body) else None


def _frame(signal: Signal, body: bytes) -> tuple[bytes, bytes]:
    header = _FRAME.pack(0, len(body), _SIGNALS.index(signal), time.time_ns())[_UNSUMMED:]
    return _checksum(header, body).to_bytes(_UNSUMMED, "little") + header, body


def _checksum(header: bytes, body: bytes) -> int:
    digest = xxhash.xxh3_64(header)
    digest.update(body)
    return int(digest.intdigest())


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:010d}{_SUFFIX}"


def sync_folder(folder: Path) -> None:
    """Make a new file's name durable, not only its content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
