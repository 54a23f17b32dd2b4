"""Zipkin v2 JSON: a list of spans, or a list of such lists; times in µs.

Client and server may share a span id; both keep it, told apart by their kind, and the analysis puts them together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.importers.building import Builder, Value, padded_id, set_attributes
from collector.importers.records import Problem, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = {
    "SERVER": Span.SPAN_KIND_SERVER,
    "CLIENT": Span.SPAN_KIND_CLIENT,
    "PRODUCER": Span.SPAN_KIND_PRODUCER,
    "CONSUMER": Span.SPAN_KIND_CONSUMER,
}
_US = 1000
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError)


def is_zipkin(document: Any) -> bool:
    """Say whether a parsed document has Zipkin's shape."""
    return isinstance(document, list) and (not document or any(_is_span(item) for item in _spans(document)))


def _is_span(item: Any) -> bool:
    return isinstance(item, dict) and "traceId" in item and "id" in item


def read_zipkin(name: str, document: list[Any]) -> Iterator[Request | Problem]:
    """Yield the requests of a document; a span that cannot be read is a ``Problem`` and the rest is kept."""
    builder = Builder()
    number = 0
    for raw in _spans(document):
        number += 1
        position = f"{name}: span {number}"
        try:
            builder.add(_resource(raw), _span(raw))
        except _UNREADABLE as error:
            yield Problem(position, f"not a Zipkin span ({type(error).__name__}: {error})")
        yield from builder.take(position)
    yield from builder.take(f"{name}: span {number}", all_of_it=True)


def _spans(document: list[Any]) -> Iterator[Any]:
    for item in document:
        if isinstance(item, list):
            yield from item
        else:
            yield item


def _resource(raw: dict[str, Any]) -> dict[str, Value]:
    endpoint = raw.get("localEndpoint") or {}
    resource: dict[str, Value] = {}
    if endpoint.get("serviceName"):
        resource["service.name"] = str(endpoint["serviceName"])
    address = endpoint.get("ipv4") or endpoint.get("ipv6")
    return resource | ({"host.ip": address} if address else {})


def _span(raw: dict[str, Any]) -> Span:
    tags: dict[str, Value] = {key: str(value) for key, value in (raw.get("tags") or {}).items()}
    start = int(raw.get("timestamp") or 0) * _US
    span = Span(
        trace_id=padded_id(raw["traceId"], 16),
        span_id=padded_id(raw["id"], 8),
        parent_span_id=padded_id(raw["parentId"], 8) if raw.get("parentId") else b"",
        name=raw.get("name") or "",
        kind=_KINDS.get(raw.get("kind", ""), Span.SPAN_KIND_UNSPECIFIED),
        start_time_unix_nano=start,
        end_time_unix_nano=start + int(raw.get("duration") or 0) * _US,
    )
    if "error" in tags:
        span.status.code = Status.STATUS_CODE_ERROR
        span.status.message = "" if tags["error"] == "true" else str(tags["error"])
    for annotation in raw.get("annotations") or ():
        span.events.add(name=annotation["value"], time_unix_nano=int(annotation["timestamp"]) * _US)
    set_attributes(span.attributes, tags | _ports_and_peer(raw) | _flags(raw))
    return span


def _ports_and_peer(raw: dict[str, Any]) -> dict[str, Value]:
    endpoint = raw.get("remoteEndpoint") or {}
    named = {
        "network.local.port": (raw.get("localEndpoint") or {}).get("port"),
        "peer.service": endpoint.get("serviceName"),
        "network.peer.address": endpoint.get("ipv4") or endpoint.get("ipv6"),
        "network.peer.port": endpoint.get("port"),
    }
    return {key: value for key, value in named.items() if value}


def _flags(raw: dict[str, Any]) -> dict[str, Value]:
    return {f"zipkin.{name}": True for name in ("debug", "shared") if raw.get(name)}
