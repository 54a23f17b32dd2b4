"""Targets: the spans and calls that the name of a service or of an edge stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE
from analytics.graph import edge_numbers
from analytics.mistakes import name_remedy
from analytics.schema import CLIENT, PRODUCER
from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from analytics.analysis import Analysed
    from analytics.arrays import Array, Flags, Rows


def find_nodes(analysed: Analysed, service: str) -> Array:
    """Return the nodes of this name: services, or databases and external systems.

    Raises ``ConfigurationError`` when there is none; without any traces nothing is known to be wrong.
    """
    known = analysed.nodes.filter(~pl.col("type").is_in(["user", "queue"])).sort(
        "calls", "name", descending=[True, False]
    )
    nodes = known.filter(pl.col("name") == service)["node"]
    if nodes.is_empty() and len(analysed.forest):
        names = known["name"].unique(maintain_order=True).to_list()
        raise ConfigurationError(f"There is no service {service!r}: {name_remedy(service, names)}")
    return nodes.to_numpy()


def find_calls_on(analysed: Analysed, caller: str, callee: str) -> Array:
    """Return the rows of CALLS on a sync edge; raises ``ConfigurationError`` when there is none."""
    edges = analysed.edges.filter(pl.col("caller_type") != "user")
    found = edges.filter((pl.col("caller") == caller) & (pl.col("callee") == callee))
    sync = found.filter(pl.col("mode") == "sync")["edge"]
    if sync.is_empty() and len(analysed.forest):
        raise ConfigurationError(_no_edge(edges, caller, callee, messages=not found.is_empty()))
    return np.flatnonzero(np.isin(edge_numbers(analysed.graph)[0], sync.to_numpy()))


def _no_edge(edges: pl.DataFrame, caller: str, callee: str, *, messages: bool) -> str:
    sync = edges.filter(pl.col("mode") == "sync").sort("calls", "caller", "callee", descending=[True, False, False])
    own = sync.filter(pl.col("caller") == caller)["callee"].unique(maintain_order=True).to_list()
    if messages:
        return f"{caller}->{callee} is asynchronous already: name an edge on which calls wait."
    if own:
        return f"No call from {caller} waits for {callee!r}: {name_remedy(callee, own)}"
    pairs = sync.select("caller", "callee").unique(maintain_order=True).iter_rows()
    remedy = name_remedy(f"{caller}->{callee}", [f"{one}->{other}" for one, other in pairs])
    return f"No call from {caller!r} waits for {callee!r}: {remedy}"


def entries_of(analysed: Analysed, nodes: Array) -> Rows:
    """Return the spans by which requests enter these services."""
    rows = np.flatnonzero(analysed.graph.entries)
    entries: Rows = rows[np.isin(analysed.forest.service[rows], nodes)].astype(np.int32)
    return entries


def request_spans(analysed: Analysed, nodes: Array) -> Rows:
    """Return the span of each request to these nodes: a service's entries, or the calls of what is no service."""
    graph = analysed.graph
    outside = nodes[nodes >= graph.forest.origins.services.height]
    silent = pl.Series(np.isin(graph.calls["callee"].to_numpy(), outside)) & graph.calls["answer"].is_null()
    calls = graph.calls.filter(silent)["span"].drop_nulls().to_numpy()
    return np.concatenate([entries_of(analysed, nodes), calls]).astype(np.int32)


def working_spans(analysed: Analysed, nodes: Array) -> Flags:
    """Mark the spans whose own time is work of these nodes: a CLIENT waits for somebody else's."""
    forest = analysed.forest
    works = np.isin(forest.service, nodes) & (forest.kind != CLIENT) & (forest.kind != PRODUCER)
    works[request_spans(analysed, nodes)] = True
    flags: Flags = works
    return flags


def call_spans(analysed: Analysed, rows: Array) -> Rows:
    """Return the span that measures each of these calls: the caller's where it is that call's alone, else the callee's.

    -1 where there is neither.
    """
    own = pl.col("client_ns").is_not_null() | pl.col("answer").is_null()
    chosen = pl.when(own).then("span").otherwise("answer").fill_null(NONE)
    spans: Rows = analysed.graph.calls[rows].select(chosen).to_series().to_numpy()
    return spans


def call_operations(analysed: Analysed, rows: Array) -> list[str]:
    """Return the name of what each of these calls asks for: the callee's span's, else the caller's."""
    chosen = analysed.graph.calls[rows].select(pl.coalesce("answer", "span")).to_series().to_numpy()
    return analysed.forest.column("span_name", chosen).cast(pl.String).fill_null("").to_list()


def failed_calls(analysed: Analysed, rows: Array) -> Flags:
    """Tell of each of these calls whether either side failed."""
    sides = pl.any_horizontal(pl.col("client_failed", "server_failed").fill_null(value=False))
    flags: Flags = analysed.graph.calls[rows].select(sides).to_series().to_numpy()
    return flags
