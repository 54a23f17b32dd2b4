"""Keeps the store within an age and a size: the oldest go first, in small steps, while data flows in."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from collector.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.store.protocol import Store

_EVERY_S = 60.0
_STEP_ROWS = 122_880  # a row group of DuckDB: a step waits for no more than one insert, and frees whole blocks
_MARGIN = 0.02  # of all rows: below the limit for a while, instead of at it every minute

log = structlog.get_logger(__name__)


class Retention:
    """A thread that deletes what is older than ``retain_s``, or the oldest while more than ``max_bytes`` are used."""

    def __init__(
        self,
        store: Store,
        *,
        retain_s: float | None,
        max_bytes: int | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._retain_s = retain_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begin to enforce the limits, at once and every minute."""
        self._thread.start()

    def stop(self) -> None:
        """End after the running step."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self.enforce()
            except StoreError as error:
                log.error("retention failed, will be tried again", error=str(error))  # noqa: TRY400
            if self._stopping.wait(_EVERY_S):
                return

    def enforce(self) -> int:
        """Delete what the limits no longer allow; return the number of rows."""
        deleted = 0
        if self._retain_s is not None:
            deleted += self._delete_before(int((self._clock() - self._retain_s) * 1e9))
        if self._max_bytes is not None:
            deleted += self._shrink(self._max_bytes)
        if deleted:
            self._store.delete_unused()
            log.info("retention deleted rows", rows=deleted)
        return deleted

    def _shrink(self, max_bytes: int) -> int:
        """Delete the oldest rows in the share by which the store is too large, and a little more.

        Not "until the file is small enough": a running query holds space back, and so do rows that live among deleted
        ones. Once what lives would fit, at most one step more is deleted for a file that is still too large; without
        that bound each round would delete the same share again, until nothing was left.
        """
        self._store.compact()
        usage = self._store.usage()
        if usage.used_bytes <= max_bytes or usage.live_bytes <= max_bytes - usage.step_bytes:
            return 0
        too_large = usage.used_bytes if usage.live_bytes <= max_bytes else usage.live_bytes
        cutoff = self._store.time_at(min(1 - max_bytes / too_large + _MARGIN, 1.0))
        deleted = 0 if cutoff is None else self._delete_before(cutoff + 1)
        self._store.compact()
        return deleted

    def _delete_before(self, unix_nano: int) -> int:
        deleted = 0
        while not self._stopping.is_set() and (step := self._store.delete_before(unix_nano, rows=_STEP_ROWS)):
            deleted += step
        return deleted
