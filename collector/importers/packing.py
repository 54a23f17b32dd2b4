"""Joins small requests: each costs some milliseconds to decode and to acknowledge, whatever it holds."""

from __future__ import annotations

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
    waiting: dict[Signal, list[Request]] = {}
    try:
        for item in items:
            if isinstance(item, Problem):
                yield item
            else:
                yield from _add(waiting.setdefault(item.signal, []), item)
    except ImportFileError:  # what was read before it counts
        yield from _rest(waiting)
        raise
    yield from _rest(waiting)


def _add(together: list[Request], item: Request) -> Iterator[Request]:
    if together and not _fits(together, item):
        yield _joined(together)
        together.clear()
    together.append(item)


def _rest(waiting: dict[Signal, list[Request]]) -> Iterator[Request]:
    return (_joined(together) for together in waiting.values() if together)


def _fits(together: Sequence[Request], item: Request) -> bool:
    records = sum(request.records for request in together) + item.records
    return records <= MOST_RECORDS and sum(len(request.body) for request in together) + len(item.body) <= MOST_BYTES


def _joined(together: Sequence[Request]) -> Request:
    first = together[0]
    if len(together) == 1:
        return first
    body, records = b"".join(request.body for request in together), sum(request.records for request in together)
    position = f"{first.position} to {together[-1].position.rpartition(': ')[2]}"
    return Request(first.signal, body, records, position, tuple(together))
