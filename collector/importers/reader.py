"""Reads a telemetry file of any known format: opens it, takes its compression off, and lives with damage."""

from __future__ import annotations

import io
import stat
import sys
import zlib
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import zstandard

from collector.errors import ImportFileError
from collector.importers import otlp
from collector.importers.detect import read_recognised
from collector.importers.records import Problem, Request
from collector.signals import PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Problem", "Request", "newest_unix_nano", "read_requests"]

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_HEAD_BYTES = 8 * 1024 * 1024  # the format is told from these; JSON lines that are longer are read as one document
_READ_BYTES = 1024 * 1024
_DAMAGED = (EOFError, zlib.error, zstandard.ZstdError, OSError)
_GZIP_STEP = 16 * 1024  # makes at most 16 MiB, at deflate's best ratio of 1032
_ZSTD_STEP = 1024  # makes at most 32 MiB, when each block of 128 KiB takes 4 bytes


def read_requests(
    path: Path, *, shift_ns: int = 0, on_bytes: Callable[[int], None] | None = None
) -> Iterator[Request | Problem]:
    """Yield a file's telemetry in its order, as Export requests of bounded size, and what had to be left out.

    ``-`` is standard input. All times are moved by ``shift_ns``. ``on_bytes`` hears of every read how many bytes of
    the file, as it lies there, it took. Raises ``ImportFileError`` when the file cannot be read or is of no known
    format; a file that is cut off yields what comes before the cut, and a ``Problem``.
    """
    with _opened(path, on_bytes or (lambda _: None)) as file:
        for item in _read(_name(path), file):
            yield _shifted(item, shift_ns) if shift_ns and isinstance(item, Request) else item


def newest_unix_nano(path: Path, *, on_bytes: Callable[[int], None] | None = None) -> int | None:
    """Return the latest time in a file in Unix nanoseconds; None when nothing in it has a time.

    Raises ``ImportFileError`` as ``read_requests`` does.
    """
    newest = 0
    for item in read_requests(path, on_bytes=on_bytes):
        if isinstance(item, Request):
            newest = max(newest, otlp.newest(item.signal, otlp.parse_protobuf(item.signal, item.body)))
    return newest or None


def _shifted(request: Request, shift_ns: int) -> Request | Problem:
    message = PROTOCOL[request.signal].request.FromString(request.body)
    try:
        otlp.shift(request.signal, message, shift_ns)
    except ValueError as error:
        return Problem(request.position, f"a time cannot be moved to now ({error}); {request.records} records left out")
    return replace(request, body=message.SerializeToString())


def _name(path: Path) -> str:
    return "standard input" if str(path) == "-" else str(path)


@contextmanager
def _opened(path: Path, on_bytes: Callable[[int], None]) -> Iterator[io.RawIOBase]:
    """The file without its compression, which its first bytes tell, whatever its name."""
    if str(path) == "-":
        yield _uncompressed(sys.stdin.buffer, on_bytes)
        return
    try:
        if stat.S_ISCHR(path.stat().st_mode) or stat.S_ISBLK(path.stat().st_mode):
            raise ImportFileError(f"{path} is a device, which may never end: give a file, or - for standard input.")
        raw = path.open("rb")
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read ({error.strerror}): give a file that exists.") from error
    with raw:
        try:
            file = _uncompressed(raw, on_bytes)
        except OSError as error:
            raise ImportFileError(f"{path} cannot be read ({error.strerror}): is its disk damaged?") from error
        yield file


def _uncompressed(file: BinaryIO, on_bytes: Callable[[int], None]) -> io.RawIOBase:
    raw = io.BufferedReader(_Counted(file, on_bytes))
    magic = raw.peek(len(_ZSTD))
    if magic.startswith(_GZIP):
        return _Unpacked(raw, lambda: zlib.decompressobj(16 + zlib.MAX_WBITS), _GZIP_STEP)
    if magic.startswith(_ZSTD):
        return _Unpacked(raw, zstandard.ZstdDecompressor().decompressobj, _ZSTD_STEP)
    return cast("io.RawIOBase", raw)


class _Counted(io.RawIOBase):
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, on_bytes: Callable[[int], None]) -> None:
        self._file = cast("io.BufferedReader", file)
        self._on_bytes = on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._file.readinto1(buffer)
        self._on_bytes(size)
        return size


class _Member(Protocol):
    """What zlib's and zstandard's decompression objects have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class _Unpacked(io.RawIOBase):
    """The content of members, one behind the other; damage is raised once all that came before it was read.

    The gzip module loses what it has unpacked before a cut, and zstandard's stream reader does not see a cut at all.
    """

    def __init__(self, packed: BinaryIO, open_member: Callable[[], _Member], step: int) -> None:
        self._packed = packed
        self._open_member = open_member
        self._step = step
        self._member: _Member | None = None
        self._left = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and self._unpack():
            pass
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _unpack(self) -> bool:
        """Unpack a little more; False at the end."""
        data = self._left or self._packed.read(self._step)
        self._left = b""
        if not data:
            if self._member is not None:
                raise EOFError("it ends before its end mark")
            return False
        if self._member is None:
            data = data.lstrip(b"\0")  # tools that write in blocks pad with zeros behind a member
            if not data:
                return True
            self._member = self._open_member()
        self._ready = memoryview(self._member.decompress(data))
        if self._member.eof:
            self._left, self._member = self._member.unused_data, None
        return True


def _read(name: str, file: io.RawIOBase) -> Iterator[Request | Problem]:
    """Damage ends the file wherever it is met; what was read before it has been yielded."""
    head, is_whole, damage = _head(file)
    rest = io.BufferedReader(_HeadThenFile(head, file, damage))
    yielded = False
    try:
        for item in read_recognised(name, head, rest, is_whole=is_whole):
            yield item
            yielded = True
    except _DAMAGED as error:
        if not yielded:
            raise ImportFileError(f"{name} is damaged or cut off before its first record ({error}).") from error
        yield Problem(f"{name}: end", f"the file is damaged or cut off here ({error})")


def _head(file: io.RawIOBase) -> tuple[bytes, bool, Exception | None]:
    """The first bytes, whether they are all, and the damage that ended them early."""
    parts: list[bytes] = []
    size = 0
    try:
        while size < _HEAD_BYTES:
            part = file.read(min(_READ_BYTES, _HEAD_BYTES - size))
            if not part:
                return b"".join(parts), True, None
            parts.append(part)
            size += len(part)
    except _DAMAGED as error:
        return b"".join(parts), True, error
    return b"".join(parts), False, None


class _HeadThenFile(io.RawIOBase):
    """The head again, then the rest of the file, or the damage that was met."""

    def __init__(self, head: bytes, file: io.RawIOBase, damage: Exception | None) -> None:
        self._head = memoryview(head)
        self._file = file
        self._damage = damage

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._head:
            size = min(len(buffer), len(self._head))
            buffer[:size], self._head = self._head[:size], self._head[size:]
            return size
        if self._damage is not None:
            raise self._damage
        return self._file.readinto(buffer)
