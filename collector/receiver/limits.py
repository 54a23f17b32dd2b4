"""Decompression that stops at the size limit: a bomb is refused after the limit's worth of bytes, not after all."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING

import zstandard

from collector.errors import InvalidRequestError, PayloadTooLargeError, UnsupportedMediaTypeError

if TYPE_CHECKING:
    from collections.abc import Callable

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS


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


def _inflate(body: bytes, limit: int, window: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while body and size <= limit:  # gzip data may be several members, one behind the other
        member = zlib.decompressobj(window)
        parts.append(member.decompress(body, limit + 1 - size))
        size += len(parts[-1])
        if size <= limit and not member.eof:
            raise EOFError("it ends too early")
        body = member.unused_data
    return b"".join(parts)


def _deflate(body: bytes, limit: int) -> bytes:
    """HTTP's deflate is zlib, but some senders leave its header out."""
    try:
        return _inflate(body, limit, _GZIP_OR_ZLIB)
    except zlib.error:
        return _inflate(body, limit, _RAW_DEFLATE)


def _zstd(body: bytes, limit: int) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        io.BytesIO(body), read_across_frames=True
    ) as reader:
        return reader.read(limit + 1)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "": lambda body, _limit: body,
    "identity": lambda body, _limit: body,
    "gzip": lambda body, limit: _inflate(body, limit, _GZIP_OR_ZLIB),
    "deflate": _deflate,
    "zstd": _zstd,
}
