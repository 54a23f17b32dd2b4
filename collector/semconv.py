"""The one place that knows semantic conventions: attribute names, old and new, and the columns they fill.

Source: OpenTelemetry semantic conventions 1.38 and the names they replaced.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class WellKnown:
    """A span attribute with a column of its own; ``keys`` are its names, the newest first: that one wins."""

    column: str
    keys: tuple[str, ...]
    dtype: pa.DataType = pa.string()  # noqa: RUF009  (immutable)


WELL_KNOWN = (
    WellKnown("http_method", ("http.request.method", "http.method")),
    WellKnown("http_route", ("http.route",)),
    WellKnown("http_status_code", ("http.response.status_code", "http.status_code"), pa.int32()),
    WellKnown("rpc_system", ("rpc.system.name", "rpc.system")),
    WellKnown("rpc_method", ("rpc.method",)),
    WellKnown("db_system", ("db.system.name", "db.system")),
    WellKnown("db_namespace", ("db.namespace", "db.name", "db.cassandra.keyspace", "db.redis.database_index")),
    WellKnown("db_operation", ("db.operation.name", "db.operation")),
    WellKnown("messaging_system", ("messaging.system",)),
    WellKnown("messaging_destination", ("messaging.destination.name", "messaging.destination")),
    WellKnown("messaging_operation", ("messaging.operation.type", "messaging.operation", "messaging.operation.name")),
    # Before 1.21 a server's own address was net.host.name, a client's target net.peer.name; a server span carries both.
    WellKnown("server_address", ("server.address", "net.host.name", "net.peer.name", "net.sock.peer.name")),
    WellKnown("server_port", ("server.port", "net.host.port", "net.peer.port", "net.sock.peer.port"), pa.int32()),
    WellKnown("peer_service", ("service.peer.name", "peer.service")),
)

EVIDENCE = {
    "db_statement": ("db.query.text", "db.statement"),
    "db_collection": ("db.collection.name", "db.sql.table", "db.mongodb.collection", "db.cassandra.table"),
    "resend_count": ("http.request.resend_count", "http.resend_count"),
    "error_type": ("error.type", "exception.type"),
}
"""Attributes without a column of their own that rules of the analysis ask for, the newest name first."""

ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
SERVICE_NAME = ("service.name",)
SERVICE_NAMESPACE = ("service.namespace",)
SERVICE_VERSION = ("service.version",)
SERVICE_INSTANCE = ("service.instance.id",)
HOST = ("host.id", "host.ip", "host.name")
"""What shares a clock, the surest first."""


def first_of(attributes: dict[str, str | None], keys: tuple[str, ...]) -> str | None:
    """Return the value of the first key that is present, else None."""
    return next((attributes[key] for key in keys if key in attributes), None)
