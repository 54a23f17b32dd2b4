"""Messages: the spans that hand one to a queue and those that take one from it.

Source: OpenTelemetry's semantic conventions for messaging spans, and the names they had before 1.26.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.schema import CLIENT, CONSUMER, PRODUCER, SERVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.arrays import Flags
    from analytics.forest import Forest

_SEND = ("send", "create", "publish")
_PROCESS = ("process", "deliver")
_POLL = ("receive", "settle", "poll", "ack", "nack", "commit")


@dataclass(frozen=True, slots=True)
class Messages:
    """What each span of a forest does with messages.

    ``sends`` marks all that hand messages over, ``wraps`` those among them around another such span of the service,
    which are not counted. ``takes`` marks those that handle messages, ``receives`` those among them that say only
    ``receive``, so that another span may be the one to process the message. ``polls`` marks ``receive`` and ``settle``
    of other kinds: talk with the broker, which is neither a call to a service nor a request.
    """

    sends: Flags
    wraps: Flags
    takes: Flags
    receives: Flags
    polls: Flags


def find_messages(forest: Forest) -> Messages:
    """Tell for each span of the forest what it does with messages.

    A PRODUCER sends, and so does a CLIENT that says so, or names a messaging system and no operation. A CONSUMER takes,
    and so does what says ``process``; of nested ones the innermost, so that a ``receive`` around it only polls.
    """
    kind = forest.kind
    says_send, says_process, says_poll = (_says(forest, words) for words in (_SEND, _PROCESS, _POLL))
    client = kind == CLIENT
    unsaid = client & _present(forest, "messaging_system") & ~_present(forest, "messaging_operation")
    unsaid &= ~_present(forest, "db_system")
    sends = (kind == PRODUCER) | (says_send & (kind != CONSUMER) & (kind != SERVER)) | unsaid
    takes = ((kind == CONSUMER) | says_process) & ~sends
    around = _around_own(forest, takes, takes)
    polls = (says_poll & ~sends & ~takes) | (takes & around)
    # A message that was created first is counted when created; sending it is the transport.
    created = _within_own(forest, sends & ~(kind == PRODUCER), sends & (kind == PRODUCER))
    wraps = _around_own(forest, sends, sends & ~created) | created
    takes &= ~around
    return Messages(sends, wraps, takes, takes & says_poll, polls)


def _present(forest: Forest, name: str) -> Flags:
    """Mark the spans with a value in this column."""
    column = forest.source[name]
    if column.null_count() == column.len():
        return np.zeros(len(forest), np.bool_)
    flags: Flags = column.is_not_null().to_numpy()[forest.source_row]
    return flags


def _says(forest: Forest, words: Sequence[str]) -> Flags:
    """Mark the spans whose messaging operation is one of these."""
    column = forest.source["messaging_operation"]
    if column.null_count() == column.len():
        return np.zeros(len(forest), np.bool_)
    known = pl.Series(column.unique().cast(pl.String).str.to_lowercase())
    wanted = column.unique().filter(known.is_in(list(words)).fill_null(value=False))
    flags: Flags = column.is_in(wanted.implode()).fill_null(value=False).to_numpy()[forest.source_row]
    return flags


def _around_own(forest: Forest, outer: Flags, inner: Flags) -> Flags:
    """Mark the outer spans that have an inner one among the children of their own service."""
    flags = np.zeros(len(forest), np.bool_)
    rows = np.flatnonzero(inner & (forest.parent >= 0))
    parent = forest.parent[rows]
    flags[parent[forest.service[parent] == forest.service[rows]]] = True
    return flags & outer


def _within_own(forest: Forest, inner: Flags, outer: Flags) -> Flags:
    """Mark the inner spans whose parent is an outer one of their own service."""
    flags = np.zeros(len(forest), np.bool_)
    rows = np.flatnonzero(inner & (forest.parent >= 0))
    parent = forest.parent[rows]
    flags[rows] = outer[parent] & (forest.service[parent] == forest.service[rows])
    return flags
