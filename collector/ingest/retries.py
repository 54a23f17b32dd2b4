"""Recognises a request that came before: an exporter repeats one whose answer it never saw."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import xxhash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from collector.signals import Signal

_WINDOW_S = 600.0


def request_digest(signal: Signal, body: bytes) -> bytes:
    """Return 16 bytes that tell a request from every other."""
    return xxhash.xxh3_128_digest(signal.value.encode() + body)


class RecentRequests:
    """The digests of the last ten minutes' requests; one thread adds, any thread asks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def __contains__(self, digest: bytes) -> bool:
        return self._seen.get(digest, -math.inf) >= self._clock() - _WINDOW_S

    def add(self, digests: Iterable[bytes]) -> None:
        """Remember digests as of now, and forget what is older than the window."""
        now = self._clock()
        for digest in digests:
            self._seen[digest] = now
            self._seen.move_to_end(digest)
        while self._seen and next(iter(self._seen.values())) < now - _WINDOW_S:
            self._seen.popitem(last=False)
