"""The bounds on what waits: request bytes in memory that are not yet in the store, and those that only the log has."""

from __future__ import annotations

import threading

from collector.errors import OverloadedError

DEFAULT_QUEUE_BYTES = 256 * 1024 * 1024


class ByteBudget:
    """Counts bytes, from any thread; refuses what goes over a limit.

    ``limit`` bounds what is in memory. While the store cannot be written, requests that are durable are parked: they
    leave memory and wait in the log, within ``log_limit``.
    """

    def __init__(self, limit: int, log_limit: int | None = None) -> None:
        self._limit = limit
        self._log_limit = log_limit
        self._used = 0
        self._parked = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Count a request in; raises ``OverloadedError`` when there is no room (one request always fits when idle)."""
        with self._lock:
            if self._used and self._used + size > self._limit:
                raise OverloadedError(
                    f"{self._used:,} bytes wait to be stored and the limit is {self._limit:,}: send this request again "
                    "later, or raise the setting queue_bytes."
                )
            if self._is_log_full(self._used + size):
                raise OverloadedError(
                    f"The store cannot be written, and {self._parked:,} bytes wait in the log for it, of "
                    f"{self._log_limit:,} that the setting log_bytes allows: send this request again later."
                )
            self._used += size

    def give_back(self, size: int) -> None:
        """Count bytes out: they are stored, or were refused."""
        with self._lock:
            self._used -= size

    def park(self, size: int) -> None:
        """Count bytes out of memory: from now on the log has them for the store."""
        with self._lock:
            self._used -= size
            self._parked += size

    def unpark(self, size: int | None = None) -> None:
        """Count bytes of the log out, or all of them: they are stored."""
        with self._lock:
            self._parked = 0 if size is None else max(self._parked - size, 0)

    @property
    def used(self) -> int:
        """Bytes in memory now."""
        return self._used

    @property
    def parked(self) -> int:
        """Bytes that wait in the log now."""
        return self._parked

    @property
    def is_log_full(self) -> bool:
        """Whether what is parked leaves no room for another byte."""
        return self._is_log_full(1)

    def _is_log_full(self, more: int) -> bool:
        return self._log_limit is not None and self._parked > 0 and self._parked + more > self._log_limit
