"""The only module that reads the store: its rows as the frames that the analysis takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.metric_aliases import METRIC_ALIASES
from analytics.schema import LINKS, RESOURCES, SPANS, conform
from collector.semconv import EVIDENCE, HOST, WELL_KNOWN
from collector.store.protocol import QueryLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from analytics.metric_aliases import MetricAlias
    from collector.store.protocol import Store, TraceWindow

_TRACE_ID_DIGITS, _SPAN_ID_DIGITS = 32, 16
_MOST_NAMED = 5
_MINUTE_NS = 60 * 10**9
_PATIENT = QueryLimits(seconds=600.0, rows=100_000_000)
_QUICK = QueryLimits(seconds=5.0, rows=_MOST_NAMED)
_NAMES = {"resource_id": "resource", "status_code": "status"}
_COLUMNS = (
    *("resource_id", "span_name", "kind", "start_unix_nano", "duration_ns", "status_code", "trace_state"),
    *(known.column for known in WELL_KNOWN),
)
_RESOURCE = {
    "resource_id": "resource",
    "environment": "environment",
    "service_namespace": "namespace",
    "service_name": "service",
    "service_instance_id": "instance",
    "service_version": "version",
}


@dataclass(frozen=True, slots=True)
class Traces:
    """What is read of some traces: SPANS, RESOURCES and LINKS."""

    spans: pl.DataFrame
    resources: pl.DataFrame
    links: pl.DataFrame


def read_traces(store: Store, window: TraceWindow) -> Traces:
    """Return the traces of a window, with all resources that are stored."""
    return traces_of(store.traces_within(window), store.resources())


def traces_of(rows: pa.Table, resources: pa.Table) -> Traces:
    """Return the traces of rows of ``Store.traces_within``, with the resources of ``Store.resources``."""
    high, low = _halves(rows.column("trace_id"))
    ids = _frame(rows.select(["span_id", "parent_span_id"])).with_columns(trace_high=high, trace_low=low)
    spans = conform(ids.hstack(_frame(rows.select([*_COLUMNS, *EVIDENCE])).rename(_NAMES)), SPANS)
    links = ids.select("trace_high", "trace_low", "span_id").hstack(_frame(rows.select(["links"])))
    return Traces(spans, _resources(resources), _links(links))


def read_metrics(store: Store, window: TraceWindow, aliases: Mapping[str, MetricAlias]) -> pl.DataFrame:
    """Return the points of a window that tell of resources, with columns of the view ``metrics``."""
    known = {**METRIC_ALIASES, **aliases}
    names = sorted(set(known) | {limit for alias in known.values() for limit in alias.limits})
    return _frame(store.points_within(window.begin, window.end, names))


def count_spans(store: Store, window: TraceWindow) -> int:
    """Return about how many spans the traces of a window have: those that start in it."""
    return store.count_spans(window.begin, window.end)


def stored_minutes(store: Store, window: TraceWindow) -> dict[int, int]:
    """Return how many spans start in each minute (since 1970) of a window that has spans or points of metrics."""
    query = f"""
        SELECT minute, sum(spans)::BIGINT AS spans FROM (
            SELECT epoch_ns(start_time) // {_MINUTE_NS} AS minute, count(*) AS spans FROM spans GROUP BY ALL
            UNION ALL
            SELECT epoch_ns("time") // {_MINUTE_NS}, 0 FROM metrics WHERE "time" IS NOT NULL GROUP BY ALL
        ) WHERE minute >= {window.begin // _MINUTE_NS} AND minute < {-(-window.end // _MINUTE_NS)}
        GROUP BY ALL ORDER BY ALL
    """
    rows = store.query(query, _PATIENT)
    return dict(zip(rows.column("minute").to_pylist(), rows.column("spans").to_pylist(), strict=True))


def newest_span(store: Store, environment: str) -> int | None:
    """Return when the latest span of an environment began, in Unix nanoseconds; None when it has none."""
    name = environment.replace("'", "''")
    query = f"SELECT epoch_ns(max(start_time)) AS newest FROM spans WHERE coalesce(environment, '') = '{name}'"
    newest: int | None = store.query(query, QueryLimits()).column("newest")[0].as_py()
    return newest


def slowest_traces(
    store: Store, window: tuple[int, int], environment: str, endpoint: tuple[str, str], *, failed: bool = False
) -> list[str]:
    """Return the ids of at most five requests to an endpoint (service and operation), the slowest first.

    ``window`` is when they begin, Unix nanoseconds; ``failed`` takes those alone that did. Raises ``QueryError`` when
    the store takes longer than some seconds.
    """
    service, operation, env = (
        "'" + text.replace("'", "''").replace("\0", "") + "'" for text in (*endpoint, environment)
    )
    query = f"""
        SELECT trace_id FROM spans
        WHERE start_time >= make_timestamp_ns({window[0]}) AND start_time < make_timestamp_ns({window[1]})
            AND parent_span_id IS NULL AND coalesce(service_name, '') = {service}
            AND coalesce(span_name, '') = {operation} AND coalesce(environment, '') = {env}
            {"AND status_code = 'error'" if failed else ""}
        ORDER BY duration_ns DESC, trace_id LIMIT {_MOST_NAMED}
    """
    return [str(found) for found in store.query(query, _QUICK).column("trace_id").to_pylist()]


def spans_of_view(rows: pa.Table) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return SPANS, in the order of the rows, and RESOURCES of rows of the view ``spans``, which has ids as text."""
    frame = _frame(rows.select(["trace_id", "span_id", "parent_span_id", *_COLUMNS])).rename(_NAMES)
    spans = frame.with_columns(
        _integer(pl.col("trace_id").str.head(16)).alias("trace_high"),
        _integer(pl.col("trace_id").str.tail(16)).alias("trace_low"),
        _integer(pl.col("span_id")),
        _integer(pl.col("parent_span_id")),
    )
    number = pl.Series("resource", pl.from_arrow(rows.column("resource_id")))
    first = number.to_frame().with_row_index("row").unique("resource", keep="first").sort("resource")
    described = rows.select([*_RESOURCE, "resource_attributes"]).take(first["row"].to_arrow())
    return conform(spans, SPANS), _resources(described.rename_columns({"resource_attributes": "attributes"}))


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))


def _halves(ids: pa.ChunkedArray) -> tuple[pl.Series, pl.Series]:
    """Return the halves of ids of 16 bytes each, read where they lie."""
    parts: list[Any] = [_words(chunk) for chunk in ids.chunks if len(chunk)] or [np.empty((0, 2), np.uint64)]
    words = np.concatenate(parts)
    return pl.Series(words[:, 0]), pl.Series(words[:, 1])


def _words(chunk: pa.Array) -> Any:
    content = np.frombuffer(chunk.buffers()[2], ">u8")
    return content.reshape(-1, 2)[chunk.offset : chunk.offset + len(chunk)].astype(np.uint64)


def _integer(text: pl.Expr) -> pl.Expr:
    return text.str.to_integer(base=16, dtype=pl.UInt64)


def _links(links: pl.DataFrame) -> pl.DataFrame:
    linked, span = (pl.col("links").struct.field(name) for name in ("trace_id", "span_id"))
    is_id = (linked.str.len_bytes() == _TRACE_ID_DIGITS) & (span.str.len_bytes() == _SPAN_ID_DIGITS)
    every = links.filter(pl.col("links").is_not_null()).explode("links")
    found = every.filter(is_id).with_columns(  # senders may put any bytes there; such a link leads nowhere
        linked_trace_high=_integer(linked.str.head(16)),
        linked_trace_low=_integer(linked.str.tail(16)),
        linked_span_id=_integer(span),
    )  # fmt: skip
    return conform(found, LINKS)


def _resources(rows: pa.Table) -> pl.DataFrame:
    """RESOURCES of rows that describe each resource once: few, however many spans there are."""
    described = _frame(rows.select(list(_RESOURCE))).rename(_RESOURCE)
    attributes = [dict(pairs or ()) for pairs in rows.column("attributes").to_pylist()]
    hosts = [next((found[key] for key in HOST if found.get(key)), None) for found in attributes]
    return conform(described.with_columns(pl.Series("host", hosts, pl.String)), RESOURCES)
