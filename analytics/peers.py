"""Peers: the databases, queues and external systems that client spans name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE

if TYPE_CHECKING:
    from analytics.arrays import Array, Rows
    from analytics.forest import Forest

_NAMED_BY = (
    "db_system",
    "db_namespace",
    "messaging_system",
    "messaging_destination",
    "peer_service",
    "server_address",
    "server_port",
)


def name_peers(forest: Forest, rows: Array) -> tuple[pl.DataFrame, Rows]:
    """Return the peers that these spans name, and for each span its peer's row, -1 where it names none.

    Columns ``environment`` (of the spans), ``type`` and ``name``, sorted. A ``database`` is named by system, address
    and namespace, a ``queue`` by its destination (else its system), an ``external`` by the peer's service name, else
    address and port.
    """
    spans = pl.DataFrame([forest.column(name, rows) for name in _NAMED_BY]).with_columns(
        forest.origins.services["environment"].gather(pl.Series(forest.service[rows])),
        index=pl.int_range(len(rows), dtype=pl.Int32),
    )
    distinct = spans.group_by("environment", *_NAMED_BY).agg("index").with_columns(_type(), _name())
    named = distinct.filter(pl.col("name").is_not_null())
    identity = ["environment", "type", "name"]
    peers = named.select(identity).unique().sort(identity)
    found = named.join(peers.with_row_index("peer"), on=identity, nulls_equal=True).explode("index")
    codes = np.full(len(rows), NONE, np.int32)
    codes[found["index"].to_numpy()] = found["peer"].to_numpy()
    return peers, codes


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).replace("", None)


def _type() -> pl.Expr:
    queue = pl.coalesce(_text("messaging_destination"), _text("messaging_system"))
    return (
        pl.when(_text("db_system").is_not_null())
        .then(pl.lit("database"))
        .when(queue.is_not_null())
        .then(pl.lit("queue"))
        .otherwise(pl.lit("external"))
        .alias("type")
    )


def _name() -> pl.Expr:
    address = pl.concat_str(_text("server_address"), pl.format(":{}", "server_port").fill_null(""))
    where = pl.coalesce(_text("server_address"), _text("peer_service"))
    database = pl.concat_str(
        _text("db_system"),
        pl.format(" {}", where).fill_null(""),
        pl.when(where.is_null()).then(pl.format(" {}", _text("db_namespace"))).otherwise(
            pl.format("/{}", _text("db_namespace"))
        ).fill_null(""),
    )  # fmt: skip
    return pl.coalesce(
        database, _text("messaging_destination"), _text("messaging_system"), _text("peer_service"), address
    ).alias("name")
