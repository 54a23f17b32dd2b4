"""Realistic requests, as many as wanted: a few are built, the others are these with new ids and times."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SPANS = 512
_ROUTES = [
    f"/api/v1/{name}/{{id}}"
    for name in ("orders", "users", "items", "cart", "pay", "ship", "stock", "mail", "search", "login")
]
_SERVICES = ("gateway", "checkout", "payment", "catalog", "cart")
_SPANS_PER_TRACE = 10
_TEMPLATES = 100


@dataclass(frozen=True, slots=True)
class Template:
    """A request's bytes, the offsets of its 8-byte id words and those of its times."""

    body: bytes
    ids: Any
    times: Any

    def renew(self, seed: int, shift_ns: int) -> bytes:
        """Return the request with other ids (parents still point at their children) and later times."""
        content = np.frombuffer(self.body, np.uint8).copy()
        word = np.frombuffer(random.Random(seed).randbytes(8), np.uint8)
        content[self.ids] ^= word
        moved = content[self.times].view("<u8") + np.uint64(shift_ns)
        content[self.times] = moved.view(np.uint8).reshape(-1, 8)
        return content.tobytes()


def requests(count: int, *, seed: int = 1) -> Iterator[bytes]:
    """Yield ``count`` distinct requests of 512 spans with ten attributes; one span in twenty has an event."""
    made = templates(min(_TEMPLATES, count), seed=seed)
    for index in range(count):
        yield made[index % len(made)].renew(seed * 1_000_003 + index, index * 50_000_000)


def templates(count: int, *, seed: int = 1) -> list[Template]:
    """Return requests to be renewed; they start now."""
    rng = random.Random(seed)
    return [_template(rng, time.time_ns()) for _ in range(count)]


def _template(rng: random.Random, now: int) -> Template:
    return template_of(_request(rng, now))


def template_of(request: Any) -> Template:
    """Return a request as one to be renewed; its resources have a scope each."""
    body = request.SerializeToString()
    ids, times = [], []
    position = 0
    for span in (span for resource in request.resource_spans for span in resource.scope_spans[0].spans):
        position = body.index(b"\x0a\x10" + span.trace_id, position) + 2
        ids += [position, position + 8, body.index(b"\x12\x08" + span.span_id, position) + 2]
        if span.parent_span_id:
            ids.append(body.index(b"\x22\x08" + span.parent_span_id, position) + 2)
        start = body.index(b"\x39" + span.start_time_unix_nano.to_bytes(8, "little"), position) + 1
        times += [start, body.index(b"\x41" + span.end_time_unix_nano.to_bytes(8, "little"), start) + 1]
    return Template(body, *(np.array(offsets)[:, None] + np.arange(8) for offsets in (ids, times)))


def _request(rng: random.Random, now: int) -> Any:
    request = trace_service_pb2.ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    service = rng.choice(_SERVICES)
    identity = {
        "service.name": service,
        "service.version": "1.4.2",
        "service.instance.id": f"{service}-{rng.randrange(3)}",
    }
    identity |= {"host.name": "node-7", "deployment.environment.name": "prod", "telemetry.sdk.language": "python"}
    set_attributes(resource.resource.attributes, identity)
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "opentelemetry.instrumentation.http", "0.66b2"
    for index in range(SPANS):
        if index % _SPANS_PER_TRACE == 0:
            trace_id, parent = rng.randbytes(16), b""
        span = scope.spans.add(trace_id=trace_id, span_id=rng.randbytes(8), parent_span_id=parent, flags=0x101)
        parent = span.span_id if rng.random() < 0.5 or not parent else parent
        _fill(span, rng, service, now + index * 1_000_003 + rng.randrange(1_000_000))
    return request


def _fill(span: Any, rng: random.Random, service: str, start: int) -> None:
    route, method = rng.choice(_ROUTES), rng.choice(("GET", "POST"))
    span.name, span.kind = f"{method} {route}", rng.choice((1, 2, 3))
    span.start_time_unix_nano, span.end_time_unix_nano = start, start + int(rng.lognormvariate(15, 1))
    failed = rng.random() < 0.05
    attributes = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": 500 if failed else 200,
        "url.scheme": "http",
        "server.address": f"{service}.prod.svc",
        "server.port": 8080,
        "network.protocol.version": "1.1",
        "user_agent.original": "python-requests/2.34.2",
        "url.path": route.replace("{id}", str(rng.randrange(100_000))),
        "request.id": rng.randbytes(8).hex(),
    }
    set_attributes(span.attributes, attributes)
    if failed:
        span.status.code, span.status.message = 2, "invalid literal"
        event = span.events.add(name="exception", time_unix_nano=start + 5)
        set_attributes(event.attributes, {"exception.type": "ValueError", "exception.message": "invalid literal"})
    if rng.random() < 0.02:
        span.links.add(trace_id=rng.randbytes(16), span_id=rng.randbytes(8))


def set_attributes(attributes: Any, values: Mapping[str, str | int]) -> None:
    """Append texts and whole numbers to a message's attributes."""
    for key, value in values.items():
        target = attributes.add(key=key).value
        if isinstance(value, int):
            target.int_value = value
        else:
            target.string_value = value
