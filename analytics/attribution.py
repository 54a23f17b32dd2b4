"""Attribution: the service, edge or outside system that each section of a critical path is due to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE, order_by, with_siblings
from analytics.peers import name_peers
from analytics.schema import AFTER, ATTRIBUTED, CLIENT, CONSUMER, NODES, PRODUCER, SERVER, SIDES, WHOLE, conform

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags, Rows
    from analytics.critical_path import CriticalPath
    from analytics.forest import Forest
    from analytics.origins import Origins


@dataclass(frozen=True, slots=True)
class Attribution:
    """Sections with their nodes (ATTRIBUTED) and what the nodes are (NODES, services first, then edges, then peers)."""

    sections: pl.DataFrame
    nodes: pl.DataFrame


def attribute_sections(forest: Forest, path: CriticalPath) -> Attribution:
    """Attribute every section to one node.

    What a client span's server leaves uncovered is network, queue and connection wait: it belongs to the edge from
    caller to callee, as does the time of a span whose only child on the path is another service's. A CLIENT or PRODUCER
    span without a server belongs to the database, queue or external system it names. All else, and a span that names
    nothing, belongs to the span's service.
    """
    span = path.sections["span"].to_numpy()
    callee = find_callees(forest, path.on_path)[span]
    peers, peer = _peers(forest, span, callee)
    services = forest.origins.services.height
    key = forest.service[span].astype(np.int64)
    edge, outside = callee != NONE, peer != NONE
    key[edge] += services + callee[edge].astype(np.int64) + (services - 1) * key[edge]
    key[outside] = services + services**2 + peer[outside]
    present = pl.Series(key).unique().sort().to_numpy()
    part = path.sections["part"].to_numpy()
    columns = [
        pl.Series("node", np.searchsorted(present, key)),
        _side(part, edge),
    ]
    sections = conform(path.sections.with_columns(columns), ATTRIBUTED)
    return Attribution(sections, _describe(present, forest.origins, peers))


def find_callees(forest: Forest, on_path: Flags) -> Rows:
    """Return for each span the service that answers it, -1 for one that is not the client side of a call.

    For a CLIENT span that is the service of its child in another service or of kind SERVER (the latest to end, those on
    the path before others), else what a CLIENT span of its service inside it calls. For any other span it is the
    service of its only child on the path, if that is another one.
    """
    callee = np.full(len(forest), NONE, np.int32)
    child = np.flatnonzero(forest.parent >= 0)
    parent = forest.parent[child]
    foreign = forest.service[child] != forest.service[parent]
    by_client = forest.kind[parent] == CLIENT
    serving = by_client & (foreign | (forest.kind[child] == SERVER)) & (forest.kind[child] != CONSUMER)
    _take_answers(forest, callee, child[serving], on_path)
    calling = _with_one_child(forest, on_path)
    alone = child[foreign & ~by_client]
    alone = alone[on_path[alone] & calling[forest.parent[alone]]]
    callee[forest.parent[alone]] = forest.service[alone]
    _climb_out_of_clients(forest, callee, np.unique(parent[serving]))
    return callee


def _take_answers(forest: Forest, callee: Rows, answer: Array, on_path: Flags) -> None:
    """Set callees of clients by their answers, in place."""
    callee[forest.parent[answer]] = forest.service[answer]
    several = answer[with_siblings(forest.parent[answer], len(forest))]
    # Of several values for one place NumPy keeps the last.
    several = several[order_by(on_path[several], forest.end[several], several)]
    callee[forest.parent[several]] = forest.service[several]


def _with_one_child(forest: Forest, on_path: Flags) -> Flags:
    """Mark the spans that have exactly one child on the path."""
    parent = forest.parent[np.flatnonzero(on_path)]
    one: Flags = np.bincount(parent[parent >= 0], minlength=len(forest)) == 1
    return one


def _climb_out_of_clients(forest: Forest, callee: Rows, inner: Array) -> None:
    """Give a CLIENT span around another of its service the inner one's callee, in place; each round is one level."""
    while inner.size:
        outer = forest.parent[inner]
        around = (outer >= 0) & (forest.kind[outer] == CLIENT) & (callee[outer] == NONE)
        around &= forest.service[outer] == forest.service[inner]
        inner, outer = inner[around], outer[around]
        callee[outer] = callee[inner]
        inner = np.unique(outer)


def _peers(forest: Forest, span: Rows, callee: Rows) -> tuple[pl.DataFrame, Rows]:
    """Return the peers and each section's peer, -1 where there is none."""
    kind = forest.kind[span]
    asking = np.flatnonzero(((kind == CLIENT) | (kind == PRODUCER)) & (callee == NONE))
    peers, codes = name_peers(forest, span[asking])
    peer = np.full(len(span), NONE, np.int32)
    peer[asking] = codes
    return peers, peer


def _side(part: Array, edge: Flags) -> pl.Series:
    request, response = edge & (part != WHOLE) & (part != AFTER), edge & (part == AFTER)
    code = pl.Series("side", response.astype(np.uint8)).set(pl.Series(~(request | response)), None)
    return code.cat.to(pl.Enum(SIDES))


def _describe(keys: Array, origins: Origins, peers: pl.DataFrame) -> pl.DataFrame:
    """Return NODES for sorted keys: below S a service, then S x S edges, then peers."""
    count = origins.services.height
    split = np.searchsorted(keys, [count, count + count**2])
    own, edge, outside = np.split(keys, split)
    edge, outside = edge - count, outside - count - count**2
    services = origins.services[own].with_columns(pl.lit("service").alias("type"), name="service")
    callers, callees = (origins.services[codes] for codes in (edge // max(count, 1), edge % max(count, 1)))
    edges = callers.with_columns(caller="service", callee=callees["service"]).with_columns(
        pl.concat_str("caller", pl.lit("->"), "callee").alias("name")
    )
    parts = [services, edges, peers[outside]]
    frame = pl.concat(parts, how="diagonal").with_row_index("node")
    return conform(frame.with_columns(kind=_kind(frame)), NODES)


def _kind(frame: pl.DataFrame) -> pl.Series:
    return frame.select(
        pl.when(pl.col("caller").is_null()).then(pl.lit("service")).otherwise(pl.lit("edge"))
    ).to_series()
