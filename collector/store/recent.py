"""Recognises spans that came before: a filter of the last minutes that never misses one and is seldom wrong."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

Words: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]

WINDOW_S = 600.0
"""How long a span is remembered: exporters retry for minutes at most."""

IDENTITY = ("trace_id", "span_id", "kind", "resource", "start_time", "duration_ns")
"""What two records of one span have in common. The times are part of it because tracers use one id for several spans:
Zipkin's Kafka instrumentation for all receives of a poll."""

_WORDS = 1 << 21  # 16 MiB a filter
_CAPACITY = _WORDS * 4  # 16 bits a key: about 0.4 % of new keys look old and are then looked up
_ODD = tuple(np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))


def span_hashes(spans: pa.Table) -> Words:
    """Return a 64-bit hash of each span's identity, the columns ``IDENTITY``."""
    trace = _uuid_words(spans.column("trace_id"))
    kind = spans.column("kind").cast(pa.string()).dictionary_encode().combine_chunks()
    names = np.array([_text_hash(name) for name in kind.dictionary.to_pylist()] or [0], np.uint64)
    words = (
        trace[:, 0],
        trace[:, 1],
        spans.column("span_id").to_numpy(),
        spans.column("resource").to_numpy() ^ names[kind.indices.to_numpy()],
        spans.column("start_time").cast(pa.int64()).to_numpy().view(np.uint64),
        spans.column("duration_ns").to_numpy().view(np.uint64),
    )
    total = np.zeros(len(spans), np.uint64)
    for word in words:
        total = (total ^ word) * _ODD[0]
        total ^= total >> np.uint64(29)
    return total * _ODD[1] ^ (total >> np.uint64(32))


def _text_hash(text: str) -> int:
    return int.from_bytes(text.encode().ljust(8, b"\0")[:8], "little")


def _uuid_words(column: pa.ChunkedArray) -> Words:
    parts = [_uuid_chunk(chunk) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.empty((0, 2), np.uint64)


def _uuid_chunk(chunk: pa.Array) -> Words:
    """The 16 bytes of each id as two words; DuckDB gives them as binary, decoding as UUIDs."""
    storage = chunk.cast(pa.binary(16)) if pa.types.is_binary(chunk.type) else chunk.storage
    words = np.frombuffer(storage.buffers()[1], np.uint64).reshape(-1, 2)
    return words[storage.offset : storage.offset + len(storage)]


@dataclass(slots=True)
class _Filter:
    """A Bloom filter whose bits for one key all lie in one word: one memory access a key."""

    opened: float
    keys: int = 0
    words: Words = field(default_factory=lambda: np.zeros(_WORDS, np.uint64))

    def contains(self, place: Words, bits: Words) -> np.ndarray[Any, np.dtype[np.bool_]]:
        found: np.ndarray[Any, np.dtype[np.bool_]] = (self.words[place] & bits) == bits
        return found

    def add(self, place: Words, bits: Words) -> None:
        np.bitwise_or.at(self.words, place, bits)
        self.keys += len(place)


class RecentSpans:
    """The hashes of the spans of the last ten minutes (at most twenty), in filters of bounded size."""

    def __init__(self) -> None:
        self._filters: deque[_Filter] = deque()

    def contains(self, hashes: Words) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return a mask of hashes that were probably added; False is certain."""
        place, bits = _place_and_bits(hashes)
        found = np.zeros(len(hashes), bool)
        for one in self._filters:
            found |= one.contains(place, bits)
        return found

    def add(self, hashes: Words, now: float) -> None:
        """Remember hashes that came at ``now``, in seconds of any steady clock, and forget what is too old."""
        current = self._filters[-1] if self._filters else None
        if current is None or current.keys >= _CAPACITY or now - current.opened > WINDOW_S:
            current = _Filter(now)
            self._filters.append(current)
        current.add(*_place_and_bits(hashes))
        while len(self._filters) > 1 and now - self._filters[1].opened > WINDOW_S:
            self._filters.popleft()


def _place_and_bits(hashes: Words) -> tuple[Words, Words]:
    place = (hashes >> np.uint64(40)) % np.uint64(_WORDS)
    one = np.uint64(1)
    bits = np.zeros(len(hashes), np.uint64)
    for shift in (0, 6, 12, 18, 24):
        bits |= one << ((hashes >> np.uint64(shift)) & np.uint64(63))
    return place, bits


def repeated(spans: pa.Table, hashes: Words) -> Any:
    """Return a mask of the spans that an earlier one of the same batch equals in identity; hashes name the suspects."""
    mask = np.zeros(len(hashes), bool)
    order = np.argsort(hashes, kind="stable")
    equal = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    suspects = np.unique(np.concatenate((order[equal], order[equal + 1])))
    seen = set()
    columns = spans.select(IDENTITY).take(pa.array(suspects))
    start = columns.column("start_time").cast(pa.int64())  # Python's own datetime ends at microseconds
    columns = columns.drop("start_time").append_column("start_time", start)
    for row, *identity in zip(suspects.tolist(), *(column.to_pylist() for column in columns.columns), strict=True):
        mask[row] = tuple(identity) in seen
        seen.add(tuple(identity))
    return mask
