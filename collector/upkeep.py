"""Keeps a lake tidy: small files become large ones, and what no snapshot needs any longer goes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from collector.errors import StoreError

if TYPE_CHECKING:
    from collector.store.protocol import Store

_EVERY_S = 300.0  # each collector writes a file a second at most: some hundreds to merge, which takes seconds

log = structlog.get_logger(__name__)


class Upkeep:
    """A thread that compacts the store every five minutes; of several collectors, one at a time does so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin, after the first five minutes."""
        self._thread.start()

    def stop(self) -> None:
        """End after the running step."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            try:
                self._store.compact()
            except StoreError as error:
                log.error("upkeep failed, will be tried again", error=str(error))  # noqa: TRY400
