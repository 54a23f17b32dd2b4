"""What a simulated system tells: spans, links and points of metrics, as the frames that the analysis takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from analytics.schema import LINKS, RESOURCES, SPANS, conform
from analytics.source import Traces

if TYPE_CHECKING:
    from analytics.schema import Columns

START_NS = 1_795_435_200_000_000_000
"""2026-11-23T12:00:00Z: when a simulation begins."""

_ENTRIES = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))
POINTS: Columns = {
    "time": pl.Datetime("ns"),
    "start_time": pl.Datetime("ns"),
    "service_name": pl.String,
    "service_instance_id": pl.String,
    "metric_name": pl.String,
    "unit": pl.String,
    "type": pl.String,
    "aggregation_temporality": pl.String,
    "is_monotonic": pl.Boolean,
    "value": pl.Float64,
    "attributes": _ENTRIES,
    "resource_attributes": _ENTRIES,
}
"""Columns of the store's ``metrics`` view that ``analytics.resources`` reads."""

_POOL = ("db.client.connection.pool.name", "db.client.connection.state")
_LINE = ["trace_low", "span_id", "parent_span_id", "resource", "kind", "start_unix_nano", "duration_ns", "error_type"]


class SpanContext(NamedTuple):
    """Which span it is."""

    trace: int
    span: int


class Recorder:
    """Gathers what is told; a span is told when it ends."""

    def __init__(self, environment: str | None) -> None:
        self._environment = environment
        self._resources: dict[tuple[str | None, str, str, str], int] = {}
        self._words: dict[tuple[tuple[str, Any], ...], int] = {}
        self._lines: list[tuple[Any, ...]] = []
        self._said: list[int] = []
        self._links: list[tuple[int, int, int, int]] = []
        self._points: list[tuple[Any, ...]] = []

    def resource(self, namespace: str | None, service: str, instance: str, version: str) -> int:
        """Return the number of a resource."""
        return self._resources.setdefault((namespace, service, instance, version), len(self._resources))

    def words(self, **columns: Any) -> int:
        """Return the number of what spans say in further columns of SPANS, ``span_name`` among them."""
        return self._words.setdefault(tuple(columns.items()), len(self._words))

    def rpc(self, protocol: str, operation: str, callee: str | None, resend: int | None) -> int:
        """Return what both sides of a call say, the client's also whom it calls and which further attempt this is."""
        said = {"span_name": operation, "server_address": callee}
        if protocol == "grpc":
            return self.words(**said, rpc_system="grpc", rpc_method=operation)
        method, _, route = operation.partition(" ")
        return self.words(**said, http_method=method, http_route=route or None, resend_count=resend)

    def message(self, queue: str, what: str, name: str) -> int:
        """Return what the spans of a message say."""
        return self.words(
            span_name=name, messaging_system="kafka", messaging_destination=queue, messaging_operation=what
        )

    def query(self, system: str, database: str, statement: str, table: str | None) -> int:
        """Return what the span of a statement says."""
        operation = statement.partition(" ")[0]
        return self.words(
            span_name=f"{operation} {table or database}",
            db_system=system,
            db_namespace=database,
            server_address=f"{database}-host",
            db_operation=operation,
            db_statement=statement,
            db_collection=table,
        )

    def span(self, line: tuple[Any, ...], words: int) -> None:
        """Record the columns of a span in the order of _LINE and what else it says."""
        self._lines.append(line)
        self._said.append(words)

    def link(self, at: SpanContext, to: SpanContext) -> None:
        """Record that one span links to another."""
        self._links.append((*at, *to))

    def point(self, now: int, instance: tuple[str, str], metric: str, value: float, *pool: str) -> None:
        """Record one value of a gauge of an instance (service and instance), with the pool's name and state."""
        self._points.append((START_NS + now, *instance, metric, float(value), pool))

    def traces(self) -> Traces:
        """Return all spans, resources and links."""
        columns = zip(*self._lines, strict=True) if self._lines else [()] * len(_LINE)
        lines = pl.DataFrame([pl.Series(n, c, _types()[n]) for n, c in zip(_LINE, columns, strict=True)])
        said = pl.DataFrame([dict(words) for words in self._words], infer_schema_length=None)[self._said]
        status = pl.when(pl.col("error_type").is_null()).then(pl.lit("unset")).otherwise(pl.lit("error"))
        spans = lines.hstack(said).with_columns(
            pl.col("start_unix_nano") + START_NS, status=status, trace_high=pl.lit(1)
        )
        links = pl.DataFrame(self._links, schema=_link_types(), orient="row")
        links = links.with_columns(trace_high=pl.lit(1), linked_trace_high=pl.lit(1))
        return Traces(conform(spans, SPANS), self._resource_frame(), conform(links, LINKS))

    def metrics(self) -> pl.DataFrame:
        """Return all points (POINTS)."""
        names = ["time", "service_name", "service_instance_id", "metric_name", "value"]
        columns = list(zip(*self._points, strict=True))[:-1] if self._points else [()] * len(names)
        frame = pl.DataFrame(dict(zip(names, columns, strict=True)))
        pools = list(dict.fromkeys(point[-1] for point in self._points))
        said = [[{"key": k, "value": v} for k, v in zip(_POOL, pool, strict=False)] for pool in pools]
        where = [{"key": "deployment.environment.name", "value": self._environment}] if self._environment else []
        number = dict(zip(pools, range(len(pools)), strict=True))
        added = [
            pl.Series("attributes", said, _ENTRIES).gather([number[point[-1]] for point in self._points]),
            pl.Series("resource_attributes", [where], _ENTRIES).new_from_index(0, len(self._points)),
        ]
        return conform(frame.with_columns(*added, type=pl.lit("gauge")), POINTS)

    def _resource_frame(self) -> pl.DataFrame:
        names = ["namespace", "service", "instance", "version"]
        rows = [dict(zip(names, key, strict=True)) | {"host": key[2]} for key in self._resources]
        frame = pl.DataFrame(rows, schema_overrides={"namespace": pl.String})
        number = pl.Series("resource", list(self._resources.values()))
        return conform(frame.with_columns(number, environment=pl.lit(self._environment)), RESOURCES)


def _types() -> Columns:
    return {name: SPANS[name] for name in _LINE if name != "error_type"} | {"error_type": pl.String}


def _link_types() -> Columns:
    return {name: pl.UInt64 for name in LINKS if not name.endswith("trace_high")}
