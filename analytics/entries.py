"""Entries: the spans by which requests enter a service, and the request that each span works for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.arrays import NONE, climb, farther
from analytics.schema import CLIENT, SERVER

if TYPE_CHECKING:
    from analytics.arrays import Flags, Rows
    from analytics.forest import Forest
    from analytics.messages import Messages


def find_entries(forest: Forest, messages: Messages) -> Flags:
    """Mark the spans by which a request enters a service.

    They are spans without a parent in their own service, SERVER spans that answer a CLIENT of their own service, and
    spans that take a message. Spans that only poll a queue are none.
    """
    parent = np.where(forest.parent >= 0, forest.parent, 0)
    alone = (forest.parent == NONE) | (forest.service[parent] != forest.service)
    own_call = (forest.kind == SERVER) & (forest.kind[parent] == CLIENT)
    entries: Flags = (alone | own_call | messages.takes) & ~messages.polls
    return entries


def entry_of(forest: Forest, entries: Flags) -> Rows:
    """Return for each span the row of the entry that it works for: itself, or its nearest ancestor that is one.

    Where there is none in the span's service (below a span that polls), it is the farthest ancestor in the service.
    """
    found = np.arange(len(forest), dtype=np.int32)
    parent = np.where(forest.parent >= 0, forest.parent, 0)
    outside = entries | (forest.parent == NONE) | (forest.service[parent] != forest.service)
    climb(np.where(outside, NONE, forest.parent).astype(np.int32), (found,), (farther,))
    return found
