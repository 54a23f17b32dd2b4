"""Decompression that stops at the size limit: a bomb is refused after the limit's worth of bytes, not after all."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

import zstandard

from collector.errors import InvalidRequestError, PayloadTooLargeError, UnsupportedMediaTypeError

if TYPE_CHECKING:
    from collections.abc import Callable

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS
_ZLIB_STEP = 16 * 1024  # makes at most 16 MiB, at deflate's best ratio of 1032
_ZSTD_STEP = 1024  # makes at most 32 MiB, when each block of 128 KiB takes 4 bytes
_ZSTD_WINDOW = 1 << 25  # HTTP allows 8 MiB (RFC 9659); the encoder of the Collector takes up to 32 at its best level
_MOST_MEMBERS = 1000  # exporters send one; millions of empty ones would keep a core busy for a minute


def too_large(limit: int) -> PayloadTooLargeError:
    """Return the error for a request over the limit."""
    return PayloadTooLargeError(
        f"The request is over {limit:,} bytes once decompressed: send smaller batches, or raise max_request_bytes."
    )


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the body without its content encoding (``identity``, ``gzip``, ``deflate`` or ``zstd``).

    Raises ``PayloadTooLargeError`` once more than ``limit`` bytes come out, ``InvalidRequestError`` for damaged data
    and ``UnsupportedMediaTypeError`` for an encoding OTLP exporters do not send.
    """
    decode = _DECODERS.get(encoding.strip().lower())
    if decode is None:
        raise UnsupportedMediaTypeError(
            f"Content-Encoding {encoding!r} is not supported: send gzip, zstd, deflate or no encoding."
        )
    try:
        plain = decode(body, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise InvalidRequestError(f"The body is not valid {encoding} data ({error}).") from error
    if len(plain) > limit:
        raise too_large(limit)
    return plain


class _Member(Protocol):
    """What zlib's and zstandard's decompression objects have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _decompress(body: bytes, limit: int, open_member: Callable[[], _Member], step: int) -> bytes:
    """Decompress members, one behind the other, ``step`` bytes at a time: what comes out between checks is bounded."""
    parts: list[bytes] = []
    size = place = members = 0
    while place < len(body):
        member = open_member()
        members += 1
        if members > _MOST_MEMBERS:
            raise EOFError(f"it has more than {_MOST_MEMBERS} members")
        while not member.eof:
            piece = body[place : place + step]
            if not piece:
                raise EOFError("it ends too early")
            parts.append(member.decompress(piece))
            place += len(piece) - len(member.unused_data)
            size += len(parts[-1])
            if size > limit:
                raise too_large(limit)
    return b"".join(parts)


def _inflate(body: bytes, limit: int, window: int = _GZIP_OR_ZLIB) -> bytes:
    return _decompress(body, limit, lambda: zlib.decompressobj(window), _ZLIB_STEP)


def _deflate(body: bytes, limit: int) -> bytes:
    """HTTP's deflate is zlib, but some senders leave its header out."""
    try:
        return _inflate(body, limit)
    except zlib.error:
        return _inflate(body, limit, _RAW_DEFLATE)


def _zstd(body: bytes, limit: int) -> bytes:
    """Not with a stream reader, which takes a frame that was cut off for a whole one."""
    context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    return _decompress(body, limit, context.decompressobj, _ZSTD_STEP)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "": lambda body, _limit: body,
    "identity": lambda body, _limit: body,
    "gzip": _inflate,
    "deflate": _deflate,
    "zstd": _zstd,
}
