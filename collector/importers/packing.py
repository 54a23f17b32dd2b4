"""Joins small requests: each costs some milliseconds to decode and to acknowledge, whatever it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from collector.errors import ImportFileError
from collector.importers.records import MOST_BYTES, MOST_RECORDS, Problem, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from collector.signals import Signal


def packed(items: Iterable[Request | Problem]) -> Iterator[Request | Problem]:
    """Yield requests of one signal together while they stay within the bounds of one; a ``Problem`` comes at once.

    Export requests are lists, so their bytes one behind the other are one request. The position is the first one's.
    """
    waiting: dict[Signal, _Together] = {}
    try:
        for item in items:
            if isinstance(item, Problem):
                yield item
            else:
                yield from _add(waiting.setdefault(item.signal, _Together()), item)
    except ImportFileError:  # what was read before it counts
        yield from _rest(waiting)
        raise
    yield from _rest(waiting)


@dataclass(slots=True)
class _Together:
    """Requests that wait to be joined, with running counts: many files have a record a request."""

    requests: list[Request] = field(default_factory=list)
    records: int = 0
    size: int = 0

    def fits(self, item: Request) -> bool:
        return self.records + item.records <= MOST_RECORDS and self.size + len(item.body) <= MOST_BYTES

    def add(self, item: Request) -> None:
        self.requests.append(item)
        self.records += item.records
        self.size += len(item.body)

    def taken(self) -> Request:
        """All as one request; afterwards none waits."""
        joined = _joined(self.requests, self.records)
        self.requests, self.records, self.size = [], 0, 0
        return joined


def _add(together: _Together, item: Request) -> Iterator[Request]:
    if together.requests and not together.fits(item):
        yield together.taken()
    together.add(item)


def _rest(waiting: dict[Signal, _Together]) -> Iterator[Request]:
    return (together.taken() for together in waiting.values() if together.requests)


def _joined(together: Sequence[Request], records: int) -> Request:
    first = together[0]
    if len(together) == 1:
        return first
    body = b"".join(request.body for request in together)
    position = f"{first.position} to {together[-1].position.rpartition(': ')[2]}"
    return Request(first.signal, body, records, position, tuple(together))
