"""The bound on memory: request bytes that are accepted and not yet in the store."""

from __future__ import annotations

import threading

from collector.errors import OverloadedError


class ByteBudget:
    """Counts bytes in flight, from any thread; refuses what goes over the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Count a request in; raises ``OverloadedError`` when there is no room (one request always fits when idle)."""
        with self._lock:
            if self._used and self._used + size > self._limit:
                raise OverloadedError(
                    f"{self._used:,} bytes wait to be stored and the limit is {self._limit:,}: send this request again "
                    "later, or raise the setting queue_bytes."
                )
            self._used += size

    def give_back(self, size: int) -> None:
        """Count bytes out: they are stored, or were refused."""
        with self._lock:
            self._used -= size

    @property
    def used(self) -> int:
        """Bytes in flight now."""
        return self._used
