"""What an importer yields: requests for the one ingest path, and the problems it met on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collector.signals import Signal

MOST_RECORDS = 5000
"""Records in one request: a file of any size is read in bounded memory."""

MOST_BYTES = 16 * 1024 * 1024
"""Bytes in one request, but for a single record that has more: a quarter of what a receiver takes by default."""


@dataclass(frozen=True, slots=True)
class Request:
    """An Export request in protobuf, how many records it has, and where in the file it was read.

    ``parts`` are the requests that were joined to it, for when it is refused because of one of them.
    """

    signal: Signal
    body: bytes
    records: int
    position: str
    parts: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was left out: where, and why."""

    position: str
    message: str
