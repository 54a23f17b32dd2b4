"""Calls: who called whom, one row a call, whatever way the two sides are tied together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.arrays import NONE, climb
from analytics.blocking import blocking_spans, needed_nodes
from analytics.callees import find_callees
from analytics.deliveries import Deliveries, find_deliveries
from analytics.entries import find_entries
from analytics.messages import Messages, find_messages
from analytics.schema import CLIENT, SERVER, STATUSES, conform
from analytics.service_schema import CALLEE_KNOWN_BY, CALLS, GRAPH_NODES, MODES

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags, Floats, Rows
    from analytics.forest import Forest

_ANSWER, _PEER = CALLEE_KNOWN_BY.index("answer"), CALLEE_KNOWN_BY.index("peer")
_SYNC, _ASYNC = range(2)
_ERROR = STATUSES.index("error")
_ANSWERED = 3
"""More than any strength of a span without an answer."""


@dataclass(frozen=True)
class CallGraph:
    """The calls of a forest (CALLS), its nodes (GRAPH_NODES) and its entries (``analytics.entries``).

    ``unnamed_calls`` counts the CLIENT spans that no answer and no attribute tells the callee of, and ``unknown_links``
    the links of spans here to spans that are not: neither became a call.
    """

    forest: Forest
    messages: Messages
    entries: Flags
    calls: pl.DataFrame
    nodes: pl.DataFrame
    unnamed_calls: int
    unknown_links: int

    @cached_property
    def blocking(self) -> Flags:
        """Marks the spans that their trace's only root waited for."""
        return blocking_spans(self.forest, self.messages)

    @cached_property
    def needed(self) -> tuple[Array, Array]:
        """Pairs of a trace with one root and a node that it waits for."""
        return needed_nodes(self)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Calls before their nodes are numbered: ``caller`` and ``callee`` are nodes of one kind each."""

    span: Rows
    answer: Rows
    caller: Rows
    callee: Rows
    mode: int
    known_by: Any = _ANSWER
    shared: Any = False


class _Nodes:
    """Numbers nodes: services first, others as they come."""

    def __init__(self, forest: Forest) -> None:
        services = forest.origins.services
        self.frames = [services.select(pl.lit("service").alias("type"), "environment", "namespace", name="service")]
        self.count = services.height

    def add(self, frame: pl.DataFrame) -> int:
        """Add nodes with ``type``, ``name`` and ``environment``, and return the number of the first."""
        first = self.count
        self.frames.append(frame)
        self.count += frame.height
        return first

    def frame(self) -> pl.DataFrame:
        return pl.concat(self.frames, how="diagonal").with_row_index("node")


def find_calls(forest: Forest, links: pl.DataFrame, weights: Floats) -> CallGraph:
    """Return the calls of all traces; ``links`` are LINKS, and ``weights`` has one entry a trace.

    A span whose parent is in another service was called by it, and so was a SERVER span by a CLIENT of its own service;
    the call is async when the parent sends a message or the child takes one. A CLIENT span without an answer calls what
    ``analytics.callees`` says; of CLIENT spans around each other in one service only one is a call: the answered one,
    else the one that names a database, else the innermost. Messages go to a queue and from there to consumers, which
    are found by parent or by link. A SERVER span at a root is a call of the user.
    """
    messages = find_messages(forest)
    nodes = _Nodes(forest)
    deliveries = find_deliveries(forest, messages, links)
    answered, unanswered, unnamed = _sync_calls(forest, messages, nodes)
    parts = [answered, unanswered, *_messages(forest, deliveries, nodes), _user_calls(forest, nodes)]
    found = _compact(_table(forest, messages, parts, weights), nodes.frame(), forest.origins.services.height)
    return CallGraph(forest, messages, find_entries(forest, messages), *found, unnamed, deliveries.unknown_links)


def _sync_calls(forest: Forest, messages: Messages, nodes: _Nodes) -> tuple[_Rows, _Rows, int]:
    """Return the calls with an answer, those without, and the number of CLIENT spans that call nobody known."""
    span, answer = _answers(forest, messages)
    per_span = np.bincount(span, minlength=len(forest))
    first = _Rows(span, answer, forest.service[span], forest.service[answer], _SYNC, shared=per_span[span] > 1)
    client = forest.kind == CLIENT
    talks = messages.sends | messages.takes | messages.polls
    asking = np.flatnonzero(client & (per_span == 0) & ~talks)
    taught = client[span]
    callees = find_callees(forest, asking, span[taught], forest.service[answer[taught]])
    base = nodes.add(callees.peers)
    callee = np.where(callees.service != NONE, callees.service, callees.peer + base)
    named = (callees.service != NONE) | (callees.peer != NONE)
    repeats = _repeats(forest, asking, _strength(callees.peers, callees.peer, named), per_span > 0)
    kept = named & ~repeats
    rows = asking[kept].astype(np.int32)
    without = _without(rows)
    second = _Rows(rows, without, forest.service[rows], callee[kept], _SYNC, callees.known_by[kept])
    return first, second, int((~named & ~repeats).sum())


def _answers(forest: Forest, messages: Messages) -> tuple[Rows, Rows]:
    """Return the caller's and the callee's span of all calls that were answered at once."""
    child = np.flatnonzero(forest.parent >= 0).astype(np.int32)
    parent = forest.parent[child]
    called = forest.service[child] != forest.service[parent]
    called |= (forest.kind[child] == SERVER) & (forest.kind[parent] == CLIENT)
    child, parent = child[called], parent[called]
    apart = messages.sends[parent] | messages.polls[parent] | messages.takes[child] | messages.polls[child]
    return parent[~apart], child[~apart]


def _strength(peers: pl.DataFrame, peer: Rows, named: Flags) -> Array:
    """Return how much says that a span without an answer is the call itself: 1 an address, 2 a database."""
    database = np.append((peers["type"] == "database").to_numpy(), np.False_)
    strength: Array = np.where(database[peer], 2, named.astype(np.int8))
    return strength


def _repeats(forest: Forest, asking: Array, strength: Array, answered: Flags) -> Flags:
    """Mark the client spans that tell of a call which a client span around or inside them is.

    Two libraries, one above the other, each make a CLIENT span of one call.
    """
    parent = forest.parent[asking]
    inside = (parent >= 0) & (forest.kind[parent] == CLIENT) & (forest.service[parent] == forest.service[asking])
    own = np.zeros(len(forest), np.int8)
    own[asking] = strength
    own[answered] = _ANSWERED
    within = np.zeros(len(forest), np.int8)
    inner = np.flatnonzero((forest.kind == CLIENT) & answered)
    _raise_to_parents(forest, own, within, np.concatenate([asking[inside], inner]))
    around = np.zeros(len(asking), np.int8)
    around[inside] = _greatest_around(own, asking[inside], parent[inside])
    flags: Flags = (within[asking] >= strength) & (within[asking] > 0) | (around > strength)
    return flags


def _raise_to_parents(forest: Forest, own: Array, within: Array, rows: Array) -> None:
    """Set for each span the greatest strength of client spans inside it, in place; each round is one level."""
    while rows.size:
        parent = forest.parent[rows]
        near = (parent >= 0) & (forest.kind[parent] == CLIENT) & (forest.service[parent] == forest.service[rows])
        rows, parent = rows[near], parent[near]
        before = within[parent]
        np.maximum.at(within, parent, np.maximum(own[rows], within[rows]))
        rows = np.unique(parent[within[parent] > before])


def _greatest_around(own: Array, rows: Array, parent: Array) -> Array:
    """Return for each row the greatest strength of the unanswered client spans around it."""
    pointers = np.full(len(own), NONE, np.int32)
    pointers[rows] = parent
    above = np.where(own == _ANSWERED, 0, own)
    climb(pointers, (above,), (np.maximum,))
    greatest: Array = above[parent]
    return greatest


def _messages(forest: Forest, deliveries: Deliveries, nodes: _Nodes) -> list[_Rows]:
    """Return the calls to queues, from queues, and from service to service where no queue is named."""
    base = nodes.add(deliveries.queues)
    sent, taken, direct = deliveries.sent, deliveries.taken, deliveries.direct
    return [
        _Rows(sent.span, _without(sent.span), forest.service[sent.span], sent.queue + base, _ASYNC, _PEER),
        _Rows(taken.span, taken.answer, taken.queue + base, forest.service[taken.answer], _ASYNC, shared=True),
        _Rows(
            direct.span,
            direct.answer,
            forest.service[direct.span],
            forest.service[direct.answer],
            _ASYNC,
            shared=True,
        ),
    ]


def _user_calls(forest: Forest, nodes: _Nodes) -> _Rows:
    """Return the calls of users: SERVER spans at roots, with a user for each environment."""
    answer = _root_servers(forest)
    environment = forest.origins.services["environment"].gather(pl.Series(forest.service[answer]))
    users = pl.DataFrame({"environment": environment.unique().sort()})
    base = nodes.add(users.select(pl.lit("user").alias("type"), pl.lit("user").alias("name"), "environment"))
    place = pl.DataFrame({"environment": environment}).join(
        users.with_row_index("place"), on="environment", how="left", nulls_equal=True, maintain_order="left"
    )["place"]
    caller = (place.to_numpy() + base).astype(np.int32)
    return _Rows(_without(answer), answer, caller, forest.service[answer], _SYNC)


def _root_servers(forest: Forest) -> Rows:
    """Return the SERVER spans without a parent that say so themselves: the heads of fragments do not."""
    heads = np.flatnonzero((forest.parent == NONE) & (forest.kind == SERVER)).astype(np.int32)
    parent_id = forest.column("parent_span_id", heads).fill_null(0).to_numpy()
    tops: Rows = heads[(parent_id == 0) | (parent_id == forest.span_id[heads])]
    if not forest.anomalies.cycles:
        return tops
    # A server half below the client half of its id lost its parent where that closed a cycle.
    halves = np.flatnonzero((forest.kind == CLIENT) & np.isin(forest.span_id, forest.span_id[tops]))
    ids = [pl.DataFrame({"row": r, "trace": forest.trace[r], "id": forest.span_id[r]}) for r in (tops, halves)]
    left = ids[0].join(ids[1], on=["trace", "id"], how="anti", maintain_order="left")
    roots: Rows = left["row"].to_numpy()
    return roots


def _without(rows: Rows) -> Rows:
    return np.full(len(rows), NONE, np.int32)


def _table(forest: Forest, messages: Messages, parts: list[_Rows], weights: Floats) -> pl.DataFrame:
    """Return CALLS, with nodes as they were numbered first."""
    span, answer, caller, callee = (
        np.concatenate([getattr(part, name) for part in parts]).astype(np.int32)
        for name in ("span", "answer", "caller", "callee")
    )
    mode, known_by, shared = (
        np.concatenate([np.broadcast_to(getattr(part, name), part.span.shape) for part in parts])
        for name in ("mode", "known_by", "shared")
    )
    has_span, has_answer = span != NONE, answer != NONE
    calling = has_span & ((forest.kind[span] == CLIENT) | messages.sends[span]) & ~shared
    trace = forest.trace[np.where(has_span, span, answer)]
    status = (forest.source["status"].to_physical().to_numpy() == _ERROR)[forest.source_row]
    columns = {
        "span": _where(has_span, span),
        "answer": _where(has_answer, answer),
        "trace": trace,
        "caller": caller,
        "callee": callee,
        "mode": pl.Series(mode.astype(np.uint8)).cat.to(pl.Enum(MODES)),
        "protocol": _protocols(forest, np.where(calling | ~has_answer, span, answer)),
        "client_ns": _where(calling, forest.duration[span]),
        "server_ns": _where(has_answer, forest.duration[answer]),
        "client_failed": _where(calling, status[span]),
        "server_failed": _where(has_answer, status[answer]),
        "weight": weights[trace],
        "known_by": pl.Series(known_by.astype(np.uint8)).cat.to(pl.Enum(CALLEE_KNOWN_BY)),
    }
    return conform(pl.DataFrame(columns), CALLS)


def _where(known: Flags, values: Array) -> pl.Series:
    """Return values that are null where they are not known."""
    return pl.Series(values) if known.all() else pl.Series(values).set(pl.Series(~known), None)


def _protocols(forest: Forest, rows: Rows) -> pl.Series:
    """Return the RPC system, else ``http``, else the database or messaging system that these spans tell of."""
    names = [name for name in ("rpc_system", "http_method", "db_system", "messaging_system") if _has(forest, name)]
    spans = pl.DataFrame([forest.column(name, rows).cast(pl.Categorical) for name in names])
    if not names:
        return pl.Series("protocol", [None], pl.Categorical).new_from_index(0, len(rows))
    http = pl.when(pl.col("http_method").is_not_null()).then(pl.lit("http").cast(pl.Categorical))
    columns = [http if name == "http_method" else pl.col(name) for name in names]
    return spans.select(pl.coalesce(columns).alias("protocol")).to_series()


def _has(forest: Forest, name: str) -> bool:
    return forest.source[name].null_count() < len(forest.source)


def _compact(calls: pl.DataFrame, nodes: pl.DataFrame, services: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Leave out the nodes that no call has, but for services, and number the others by type, environment and name."""
    used = np.zeros(nodes.height, np.bool_)
    used[:services] = True
    for side in ("caller", "callee"):
        used[calls[side].to_numpy()] = True
    kept = conform(nodes.filter(pl.Series(used)), GRAPH_NODES)
    order = pl.concat(
        [kept[:services], kept[services:].sort("type", "environment", "name")],
    )
    number = np.full(nodes.height, NONE, np.int32)
    number[order["node"].to_numpy()] = np.arange(order.height)
    renumbered = [pl.Series(side, number[calls[side].to_numpy()]) for side in ("caller", "callee")]
    named = order.with_columns(node=pl.int_range(pl.len(), dtype=pl.Int32))
    return calls.with_columns(renumbered), named
