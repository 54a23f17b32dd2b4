"""A backup as an answer of the query API: sent while it is made, one at a time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import structlog
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from collector.backup.archive import write_archive
from collector.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from collector.store.protocol import Store

log = structlog.get_logger(__name__)


class Ingest(Protocol):
    """What fills the store; ``collector.ingest.pipeline.Pipeline`` does."""

    def flush(self) -> bool:
        """Wait until the store has what is durable by now; False when that took too long."""


class Backup:
    """Makes backups of a store, once it has what was acknowledged."""

    def __init__(self, store: Store, ingest: Ingest) -> None:
        self._store = store
        self._ingest = ingest
        self._one = threading.Lock()

    async def begin(self) -> AsyncIterator[bytes]:
        """Return the parts of a backup that has all that was acknowledged by now; raises ``OverloadedError``."""
        if not await run_in_threadpool(self._ingest.flush):
            raise OverloadedError("What was acknowledged is not in the store yet, see /readyz: try again later.")
        if not self._one.acquire(blocking=False):
            raise OverloadedError("A backup is being made: ask again when it is done.")
        parts = self._parts()
        try:
            first = await run_in_threadpool(next, parts)  # what fails at once is an error, and no file cut short
        except BaseException:
            parts.close()
            raise
        return _sent(first, parts)

    def _parts(self) -> Generator[bytes]:
        try:
            with self._store.snapshot() as snapshot:
                yield from write_archive(snapshot)
            log.info("backup made")
        finally:
            self._one.release()


async def _sent(first: bytes, parts: Generator[bytes]) -> AsyncIterator[bytes]:
    try:
        yield first
        async for part in iterate_in_threadpool(parts):
            yield part
    finally:  # the receiver may be gone
        await run_in_threadpool(parts.close)
