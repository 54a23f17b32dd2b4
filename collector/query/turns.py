"""Who may query now: a few at once, and of each key fewer, so that none can keep the others out."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from collector.errors import OverloadedError, QueryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_AT_ONCE = 4  # DuckDB spreads each query over all cores; more at once only share its memory
_WAITING = 32
_WAITING_EACH = 8  # of one key


class Turns:
    """Gives turns in order; a key that waits for a turn of its own is not yet in the line of all."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._shares: dict[str, _Share] = {}
        self._present = 0

    @asynccontextmanager
    async def take(self, who: str | None, at_once: int) -> AsyncIterator[None]:
        """Hold a turn; ``at_once`` are the most of one key, and nobody in particular (None) may have all.

        Raises ``QueryError`` (``too_many_queries``) when the key has too many waiting, and ``OverloadedError`` when all
        keys together have.
        """
        if self._present >= _AT_ONCE + _WAITING and who is not None:
            raise OverloadedError(f"{_AT_ONCE} queries run and {_WAITING} wait: try again in a moment.")
        share = self._share(who, at_once)
        self._present += 1
        try:
            async with share.hold(), self._turns:
                yield
        finally:
            self._present -= 1
            if not share.present:
                self._shares.pop(who or "", None)

    def _share(self, who: str | None, at_once: int) -> _Share:
        if who is None:
            return self._shares.setdefault("", _Share(_AT_ONCE, _WAITING))
        return self._shares.setdefault(who, _Share(min(at_once, _AT_ONCE), _WAITING_EACH))


class _Share:
    """The turns of one key."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._at_once = at_once
        self._waiting = waiting
        self._turns = asyncio.Semaphore(at_once)
        self.present = 0

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        if self.present >= self._at_once + self._waiting:
            raise QueryError(
                f"{self._at_once} of your queries run and {self._waiting} wait.",
                code="too_many_queries",
                hint="Try again in a moment; query_concurrency says how many of a key run at once.",
            )
        self.present += 1
        try:
            async with self._turns:
                yield
        finally:
            self.present -= 1
