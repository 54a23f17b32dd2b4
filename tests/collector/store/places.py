"""Where a store lives, and how a test asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.store import open_store
from collector.store.protocol import QueryLimits
from tests.collector.store.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.store.protocol import Appended, Store

LIMITS = QueryLimits()


class Place:
    """Where a store lives; only a file can be opened again."""

    def __init__(self, path: str, opening: Callable[[str], Store] = open_store) -> None:
        self._path = path
        self._opening = opening
        self.store = opening(path)
        self.log = Log()
        self.lasts = path != ":memory:"

    def append(self, batch: Any) -> Appended:
        """Append at the next position."""
        return self.store.append(batch, self.log.next())

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The answer to a query, as dictionaries."""
        return list(self.store.query(sql, LIMITS).to_pylist())

    def reopen(self) -> None:
        """Close and open again, which for a store in memory changes nothing."""
        if self.lasts:
            self.store.close()
            self.store = self._opening(self._path)
