"""Deliveries: which message reached whom through which queue, by parents and by span links, across traces as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE, search

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags, Rows
    from analytics.forest import Forest
    from analytics.messages import Messages


@dataclass(frozen=True, slots=True)
class Hops:
    """Steps of messages: the sender's ``span`` and the taker's ``answer`` (rows, -1 unknown), and the ``queue``."""

    span: Rows
    answer: Rows
    queue: Rows


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Messages ``sent`` to queues and ``taken`` from them, and ``direct`` ones whose queue nobody names.

    ``queues`` has ``environment``, ``type`` and ``name``; a hop's queue is a row of it. ``sent`` has no answers.
    """

    sent: Hops
    taken: Hops
    direct: Hops
    queues: pl.DataFrame
    unknown_links: int


def find_deliveries(forest: Forest, messages: Messages, links: pl.DataFrame) -> Deliveries:
    """Return all deliveries of messages that the forest's spans and LINKS tell of.

    A message reached a span that is a child of the sending one and takes messages or is another service's, or that has
    a link to it and takes, polls or is another service's. A ``receive`` counts only for messages that no other span of
    its service took. The queue is the one that the sender names, else the taker. A taker whose sender is unknown took a
    message from the queue that it names itself.
    """
    sender, taker, unknown = _pairs(forest, messages, links)
    alone = np.setdiff1d(_takers(messages), taker)
    kept = ~_taken_otherwise(forest, messages, sender, taker)
    sender, taker = sender[kept], taker[kept]
    first_taker = np.full(len(forest), NONE, np.int32)
    first_taker[sender[::-1]] = taker[::-1]
    senders = np.union1d(np.flatnonzero(messages.sends & ~messages.wraps), sender[~messages.wraps[sender]])
    queues, queue_of = _queues(forest, np.union1d(np.concatenate([senders, sender, taker]), _takers(messages)))
    through = np.where(queue_of[senders] != NONE, queue_of[senders], _at(queue_of, first_taker[senders]))
    sent = Hops(senders, np.full(len(senders), NONE, np.int32), through)
    taken = Hops(
        np.append(sender, np.full(len(alone), NONE, np.int32)),
        np.append(taker, alone),
        np.append(np.where(queue_of[sender] != NONE, queue_of[sender], queue_of[taker]), queue_of[alone]),
    )
    named = taken.queue != NONE
    return Deliveries(
        sent=_take(sent, sent.queue != NONE),
        taken=_take(taken, named),
        direct=_take(taken, ~named & (taken.span != NONE)),
        queues=queues,
        unknown_links=unknown,
    )


def _takers(messages: Messages) -> Array:
    return np.flatnonzero(messages.takes)


def _at(values: Rows, rows: Rows) -> Rows:
    """Return the values of rows, -1 for row -1."""
    return np.where(rows != NONE, values[rows], NONE).astype(np.int32)


def _take(hops: Hops, flags: Flags) -> Hops:
    return Hops(*(part[flags].astype(np.int32) for part in (hops.span, hops.answer, hops.queue)))


def _pairs(forest: Forest, messages: Messages, links: pl.DataFrame) -> tuple[Array, Array, int]:
    """Return senders and takers, sorted and distinct, and how many links lead out of the forest."""
    child = np.flatnonzero(forest.parent >= 0)
    parent = forest.parent[child]
    foreign = forest.service[child] != forest.service[parent]
    hop = messages.takes[child] & (foreign | messages.sends[parent]) | messages.sends[parent] & foreign
    linking, linked, unknown = _resolve(forest, links)
    valid = messages.sends[linked] & ~messages.sends[linking]
    valid &= messages.takes[linking] | messages.polls[linking] | (forest.service[linking] != forest.service[linked])
    sender = np.concatenate([parent[hop], linked[valid]])
    taker = np.concatenate([child[hop], linking[valid]])
    kept = ~messages.sends[taker]
    pairs = np.unique(sender[kept] * np.int64(len(forest)) + taker[kept])
    first, second = np.divmod(pairs, max(len(forest), 1))
    return first, second, unknown


def _taken_otherwise(forest: Forest, messages: Messages, sender: Array, taker: Array) -> Flags:
    """Mark receipts of a message that another span of their service took."""
    polling = messages.polls[taker] | messages.receives[taker]
    message = sender.astype(np.int64) * forest.origins.services.height + forest.service[taker]
    return polling & np.isin(message, message[~polling])


def _resolve(forest: Forest, links: pl.DataFrame) -> tuple[Array, Array, int]:
    """Return the rows of both ends of links, all combinations where spans share an id, and the number not found."""
    ends = ("trace_high", "trace_low", "span_id"), ("linked_trace_high", "linked_trace_low", "linked_span_id")
    (low, high), (linked_low, linked_high) = (_rows_of(forest, links.select(names)) for names in ends)
    count, times = high - low, linked_high - linked_low
    unknown = int(((count > 0) & (times == 0)).sum())
    total = count * times
    place = np.arange(total.sum()) - np.repeat(np.cumsum(total) - total, total)
    wide = np.repeat(np.maximum(times, 1), total)
    return np.repeat(low, total) + place // wide, np.repeat(linked_low, total) + place % wide, unknown


def _rows_of(forest: Forest, ids: pl.DataFrame) -> tuple[Array, Array]:
    """Return for each (trace high, trace low, span id) the first row with it and the row behind the last."""
    named = ids.rename(dict(zip(ids.columns, ("trace_high", "trace_low", "id"), strict=True))).fill_null(0)
    traces = forest.traces.select("trace", "trace_high", "trace_low")
    joined = named.join(traces, on=["trace_high", "trace_low"], how="left", maintain_order="left")
    known = joined["trace"].is_not_null().to_numpy()
    trace, wanted = joined["trace"].fill_null(0).to_numpy(), joined["id"].to_numpy()
    if not len(forest):
        return np.zeros(ids.height, np.int64), np.zeros(ids.height, np.int64)
    begin, end = forest.trace_offset[trace], forest.trace_offset[trace + 1]
    high = search(forest.span_id, begin, end, wanted)
    low = search(forest.span_id, begin, end, np.maximum(wanted, 1) - np.uint64(1))
    found = known & (wanted != 0)
    return np.where(found, low, 0), np.where(found, high, 0)


def _queues(forest: Forest, rows: Array) -> tuple[pl.DataFrame, Rows]:
    """Return the queues that these spans name and, for every span of the forest, its queue, -1 for all others.

    The name is the message's destination, else the messaging system, else peer service or address.
    """
    names = ("messaging_destination", "messaging_system", "peer_service", "server_address")
    frame = pl.DataFrame([forest.column(name, rows).cast(pl.String).replace("", None) for name in names]).select(
        forest.origins.services["environment"].gather(pl.Series(forest.service[rows])),
        pl.lit("queue").alias("type"),
        pl.coalesce(names).alias("name"),
    )
    queues = frame.filter(pl.col("name").is_not_null()).unique().sort("environment", "name")
    found = frame.join(
        queues.with_row_index("queue"),
        on=["environment", "type", "name"],
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )["queue"]
    queue_of = np.full(len(forest), NONE, np.int32)
    queue_of[rows] = found.cast(pl.Int32).fill_null(NONE).to_numpy()
    return queues, queue_of
