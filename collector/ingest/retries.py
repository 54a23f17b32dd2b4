"""Recognises a request that came before: an exporter repeats one whose answer it never saw."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import xxhash

from collector.decode.validate import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from collector.signals import Signal

_WINDOW_S = 600.0
_MOST = 500_000  # some 120 MB; at 512 spans each, 400,000 spans a second for ten minutes
_NEVER = (-math.inf, Rejection())


def request_digest(signal: Signal, body: bytes) -> bytes:
    """Return 16 bytes that tell a request from every other."""
    return xxhash.xxh3_128_digest(signal.value.encode() + body)


class RecentRequests:
    """The last ten minutes' requests by digest, and what was answered; any thread adds, forgets and asks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[bytes, tuple[float, Rejection]] = OrderedDict()
        self._changing = threading.Lock()

    def answer(self, digest: bytes) -> Rejection | None:
        """Return what a request was answered, None when it did not come within the window."""
        at, rejection = self._seen.get(digest, _NEVER)
        return rejection if at >= self._clock() - _WINDOW_S else None

    def add(self, answers: Iterable[tuple[bytes, Rejection]]) -> None:
        """Remember digests and answers as of now, and forget what is older than the window."""
        now = self._clock()
        with self._changing:
            for digest, rejection in answers:
                self._seen[digest] = now, rejection
                self._seen.move_to_end(digest)
            while self._seen and self._is_too_old(now):
                self._seen.popitem(last=False)

    def _is_too_old(self, now: float) -> bool:
        """Of the oldest: beyond the window, or one of more than memory should hold."""
        return len(self._seen) > _MOST or next(iter(self._seen.values()))[0] < now - _WINDOW_S

    def forget(self, digest: bytes) -> None:
        """Take a request for a new one when it comes again."""
        with self._changing:
            self._seen.pop(digest, None)
