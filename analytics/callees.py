"""Callees: whom a call without an answer was meant for, when calls that were answered tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE
from analytics.peers import name_peers
from analytics.service_schema import CALLEE_KNOWN_BY

if TYPE_CHECKING:
    from analytics.arrays import Array, Codes, Rows
    from analytics.forest import Forest

_BY_PEER, _BY_ADDRESS, _BY_NAME, _BY_OPERATION = (
    CALLEE_KNOWN_BY.index(name) for name in ("peer", "address", "name", "operation")
)


@dataclass(frozen=True, slots=True)
class Callees:
    """Whom calls were meant for, one entry a call: a service, else a peer, -1 for none of both.

    ``peers`` has ``environment``, ``type`` and ``name``; ``known_by`` is a place in CALLEE_KNOWN_BY.
    """

    service: Rows
    peer: Rows
    known_by: Codes
    peers: pl.DataFrame


def find_callees(forest: Forest, asking: Array, answered: Array, answering: Array) -> Callees:
    """Return whom these client spans without an answer call.

    ``answered`` are client spans with an answer and ``answering`` the services that gave it. A span that names a
    database or queue calls that. Otherwise it calls the one service that gave all answers at the address (or
    ``peer.service``) it names; else the one service that ``peer.service`` names; else the one that gave all answers to
    its RPC method; else the external system it names, if any. Nothing is inferred from another environment.
    """
    peers, peer, known = _peers(forest, asking, answered)
    outside = np.append((peers["type"] == "external").to_numpy(), np.True_)[peer]
    service = np.full(len(asking), NONE, np.int32)
    known_by = np.full(len(asking), _BY_PEER, np.uint8)
    learned = _learn(peers.height, known, answering)
    for by, rows, found in (
        (_BY_ADDRESS, np.arange(len(asking)), learned[peer]),
        (_BY_NAME, *_by_name(forest, asking)),
        (_BY_OPERATION, *_by_operation(forest, asking, answered, answering)),
    ):
        taken = outside[rows] & (service[rows] == NONE) & (found != NONE)
        service[rows[taken]], known_by[rows[taken]] = found[taken], by
    return Callees(service, np.where(service == NONE, peer, NONE).astype(np.int32), known_by, peers)


def _peers(forest: Forest, asking: Array, answered: Array) -> tuple[pl.DataFrame, Rows, Rows]:
    """Return the peers and those of both sets of spans."""
    wanted = np.zeros(len(forest), np.bool_)
    wanted[asking] = wanted[answered] = True
    # In ascending order, because memory that is read in order costs half as much.
    rows = np.flatnonzero(wanted)
    peer_of = np.full(len(forest), NONE, np.int32)
    peers, peer_of[rows] = name_peers(forest, rows)
    return peers, peer_of[asking], peer_of[answered]


def _learn(count: int, key: Array, service: Array) -> Rows:
    """Return for each key below ``count`` the only service it goes with, -1 without one; key -1 likewise."""
    known = key != NONE
    pairs = pl.DataFrame({"key": key[known], "service": service[known]}).unique()
    once = pairs.group_by("key").agg(pl.col("service").first(), pl.len()).filter(pl.col("len") == 1)
    learned = np.full(count + 1, NONE, np.int32)
    learned[once["key"].to_numpy()] = once["service"].to_numpy()
    return learned


def _by_name(forest: Forest, asking: Array) -> tuple[Array, Rows]:
    """Return the places of calls that name a peer service, and the only service of their environment so called."""
    names = _text(forest, "peer_service", asking)
    places = np.flatnonzero(names.is_not_null().to_numpy())
    services = forest.origins.services
    one = services.group_by("environment", "service").agg(pl.col("service_code").first(), pl.len())
    wanted = pl.DataFrame({"service": names.gather(places), "caller": forest.service[asking[places]]})
    wanted = wanted.join(
        services.select(caller="service_code", environment="environment"),
        on="caller",
        how="left",
        maintain_order="left",
    )
    found = wanted.join(
        one.filter(pl.col("len") == 1),
        on=["environment", "service"],
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    return places, found["service_code"].fill_null(NONE).to_numpy().astype(np.int32)


def _by_operation(forest: Forest, asking: Array, answered: Array, answering: Array) -> tuple[Array, Rows]:
    """Return the places of RPC calls and the only service that answered calls of their environment, system and name."""
    places = np.flatnonzero(_text(forest, "rpc_system", asking).is_not_null().to_numpy())
    if not places.size:
        return places, np.empty(0, np.int32)
    of_rpc = np.flatnonzero(_text(forest, "rpc_system", answered).is_not_null().to_numpy())
    spans, answering = np.concatenate([asking[places], answered[of_rpc]]), answering[of_rpc]
    keys = pl.DataFrame(
        [
            _text(forest, "rpc_system", spans),
            forest.column("span_name", spans).cast(pl.String),
            forest.origins.services["environment"].gather(pl.Series(forest.service[spans])),
        ]
    )
    code = keys.select(pl.struct(pl.all()).rank("dense").cast(pl.Int32)).to_series().to_numpy()
    wanted, known = code[: len(places)], code[len(places) :]
    return places, _learn(int(code.max(initial=0)) + 1, known, answering)[wanted]


def _text(forest: Forest, name: str, rows: Array) -> pl.Series:
    """Return a column as text, without values when the whole input has none."""
    if forest.source[name].null_count() == len(forest.source):
        return pl.Series(name, [None], pl.String).new_from_index(0, len(rows))
    return forest.column(name, rows).cast(pl.String).replace("", None)
