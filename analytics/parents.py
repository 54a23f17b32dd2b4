"""Parents: the row a parent id means, in spite of shared ids and cycles."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.arrays import NONE
from analytics.schema import CLIENT, SERVER

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags, Rows, Times

# Drawn anew in each process, so that nobody can send ids that all get one key, which would make the join quadratic.
_MULTIPLIER = np.uint64(secrets.randbits(64) | 1)


def find_parents(table: dict[str, Any], trace: Rows, shared: Flags) -> tuple[Rows, int]:
    """Return each span's parent row, -1 without one, and how many server halves were put under their client halves.

    ``table`` has ``span_id``, ``parent_id`` (0 is none), ``kind`` and ``service``, ordered by trace and span id;
    ``shared`` marks the second and later spans of one id. Parents in other traces do not exist.
    """
    parent = _look_up(table["span_id"], table["parent_id"], trace, shared)
    if not shared.any():
        return parent, 0
    members = _members(table, shared)
    _choose_halves(parent, members, table)
    return parent, _put_under_clients(parent, members)


def _look_up(span_id: Array, parent_id: Array, trace: Rows, shared: Flags) -> Rows:
    """Return for each span the first row in its trace whose id is the parent's.

    Trace and id are mixed into one key, on which Polars joins in a third of the time (58 against 158 ms for a million
    spans); what merely has the same key is told apart afterwards.
    """
    once = np.flatnonzero(~shared).astype(np.int32)
    asking = np.flatnonzero(parent_id).astype(np.int32)
    spans = pl.DataFrame({"key": _mix(trace[once], span_id[once]), "row": once})
    wanted = pl.DataFrame({"key": _mix(trace[asking], parent_id[asking]), "child": asking})
    # Left, because Polars keeps the order of a left join at no cost, and rows in order are near each other in memory.
    pairs = wanted.join(spans, on="key", how="left", maintain_order="left").drop_nulls("row")
    child, row = pairs["child"].to_numpy(), pairs["row"].to_numpy()
    same = (span_id[row] == parent_id[child]) & (trace[row] == trace[child])
    parent = np.full(len(span_id), NONE, np.int32)
    parent[child[same]] = row[same]
    return parent


def _mix(trace: Rows, span_id: Array) -> Array:
    key: Array = span_id ^ (trace.astype(np.uint64) * _MULTIPLIER)
    return key


def _members(table: dict[str, Any], shared: Flags) -> pl.DataFrame:
    """Return the spans that share an id: ``first`` row of the id, own ``row``, ``kind``, ``service`` and ``rank``.

    ``rank`` numbers the spans of one kind and id by start.
    """
    first = np.maximum.accumulate(np.where(shared, 0, np.arange(len(shared), dtype=np.int32)))
    several = np.flatnonzero(shared | np.append(shared[1:], np.False_))
    frame = pl.DataFrame(
        {
            "first": first[several],
            "row": several.astype(np.int32),
            "kind": table["kind"][several],
            "service": table["service"][several],
        }
    )
    return frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over("first", "kind").alias("rank"))


def _choose_halves(parent: Rows, members: pl.DataFrame, table: dict[str, Any]) -> None:
    """Give children of a shared id the right parent: one of their own service, else a server half, else the first."""
    children = pl.DataFrame({"child": np.arange(len(parent), dtype=np.int32), "first": parent}).join(
        members, on="first"
    )
    own = pl.Series(table["service"][children["child"].to_numpy()])
    best = (
        children.with_columns(foreign=own != children["service"], client=children["kind"] != SERVER)
        .sort("child", "foreign", "client", "row")
        .unique("child", keep="first", maintain_order=True)
    )
    parent[best["child"].to_numpy()] = best["row"].to_numpy()


def _put_under_clients(parent: Rows, members: pl.DataFrame) -> int:
    """Make server halves children of the client half of the same id, the second of the second and so on."""
    clients = members.filter(pl.col("kind") == CLIENT).select("first", "rank", client="row")
    servers = (
        members.filter(pl.col("kind") == SERVER)
        .join(clients.group_by("first").agg(pl.col("rank").max().alias("last")), on="first")
        .with_columns(pl.min_horizontal("rank", "last").alias("rank"))
        .join(clients, on=["first", "rank"])
    )
    parent[servers["row"].to_numpy()] = servers["client"].to_numpy()
    return servers.height


def cut_cycles(parent: Rows, start: Times) -> Array:
    """Cut every cycle of parents above its earliest span, in place, and return these spans."""
    rounds = len(parent).bit_length()
    reached = _follow(parent, rounds)
    # After at least as many steps as there are spans, whoever is not at the top is on a cycle.
    rows = np.unique(reached[reached >= 0])
    place = np.full(len(parent), NONE, np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    rank = np.empty(len(rows), np.int32)
    rank[np.argsort(start[rows], kind="stable")] = np.arange(len(rows), dtype=np.int32)
    earliest, following = rank.copy(), place[parent[rows]]
    for _ in range(rounds):
        earliest = np.minimum(earliest, earliest[following])
        following = following[following]
    cut: Array = rows[rank == earliest]
    parent[cut] = NONE
    return cut


def _follow(parent: Rows, rounds: int) -> Rows:
    """Return where 2^rounds steps towards the top lead to, -1 when past it."""
    reached = parent.copy()
    active = np.flatnonzero(reached >= 0)
    for _ in range(rounds):
        if not active.size:
            break
        reached[active] = reached[reached[active]]
        active = active[reached[active] >= 0]
    return reached
