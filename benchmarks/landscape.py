"""Requests of a landscape, as many as wanted: sixty services that call each other, databases, queues, some circles."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from benchmarks.payloads import SPANS, set_attributes, template_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_AREAS = (
    *("orders", "cart", "catalog", "payment", "shipping", "stock"),
    *("users", "search", "pricing", "mail", "reviews", "billing"),
)
_PARTS = ("web", "api", "core", "worker", "sync")
SERVICES = [f"{area}-{part}" for area in _AREAS for part in _PARTS]
_OPERATIONS = 3
_DEEPEST = 6
_TEMPLATES = 60
_SERVER, _CLIENT, _PRODUCER, _CONSUMER = 2, 3, 4, 5
_BACK = (("stock-core", "orders-api"), ("billing-core", "payment-api"), ("users-core", "users-api"))
"""Calls that lead back: each closes a circle."""


class Call(NamedTuple):
    """Whom a service calls, how, and how often for each hundred requests."""

    callee: str
    kind: str
    percent: int


def landscape(rng: random.Random) -> dict[str, list[Call]]:
    """Return whom each service calls: its own area's next part, another area's, a database, a queue."""
    calls: dict[str, list[Call]] = {}
    for number, name in enumerate(SERVICES):
        area, part = name.split("-")
        later = _PARTS[_PARTS.index(part) + 1 : _PARTS.index(part) + 2]
        found = [Call(f"{area}-{then}", "queue" if then == "worker" else "sync", 80) for then in later]
        if part in ("api", "core"):
            other = rng.choice([one for one in _AREAS if one != area])
            found.append(Call(f"{other}-{'core' if part == 'api' else 'sync'}", "sync", 40))
        if part in ("core", "worker", "sync"):
            found.append(Call(f"db-{area if number % 4 else 'shared'}", "database", 90))
        calls[name] = found
    for caller, callee in _BACK:
        calls[caller].append(Call(callee, "sync", 10))
    return calls


def landscape_requests(count: int, begin: int, end: int, *, seed: int = 1) -> Iterator[bytes]:
    """Yield so many requests of some 512 spans; their times are spread from ``begin`` to ``end``, in nanoseconds."""
    rng = random.Random(seed)
    calls = landscape(rng)
    made = [template_of(_Request(rng, calls, begin).fill()) for _ in range(min(_TEMPLATES, count))]
    for index in range(count):
        yield made[index % len(made)].renew(seed * 1_000_003 + index, index * (end - begin) // count)


class _Request:
    """One request: whole traces, each span under its service's resource."""

    def __init__(self, rng: random.Random, calls: dict[str, list[Call]], now: int) -> None:
        self._rng = rng
        self._calls = calls
        self._now = now
        self._request = trace_service_pb2.ExportTraceServiceRequest()
        self._scopes: dict[str, Any] = {}
        self._trace_id = b""
        self._spans = 0

    def fill(self) -> Any:
        """Return the request."""
        fronts = [name for name in SERVICES if name.endswith("-web")]
        while self._spans < SPANS:
            self._trace_id = self._rng.randbytes(16)
            self._serve(self._rng.choice(fronts), b"", self._now + self._rng.randrange(10**9), 0)
        return self._request

    def _span(self, service: str, name: str, kind: int, parent: bytes, start: int) -> Any:
        if service not in self._scopes:
            resource = self._request.resource_spans.add()
            identity = {"service.name": service, "service.instance.id": f"{service}-{self._rng.randrange(2)}"}
            identity |= {"service.version": "1.4.2", "deployment.environment.name": "prod"}
            set_attributes(resource.resource.attributes, identity)
            self._scopes[service] = resource.scope_spans.add()
        self._spans += 1
        span = self._scopes[service].spans.add(trace_id=self._trace_id, span_id=self._rng.randbytes(8), name=name)
        span.kind, span.parent_span_id, span.start_time_unix_nano = kind, parent, start
        return span

    def _serve(self, service: str, parent: bytes, start: int, depth: int, kind: int = _SERVER) -> int:
        """Add a request to a service with all that comes of it; return when it ended."""
        operation = f"GET /{service.split('-', maxsplit=1)[0]}/{self._rng.randrange(_OPERATIONS)}"
        span = self._span(service, operation, kind, parent, start)
        if kind == _CONSUMER:
            names = {"messaging.system": "rabbitmq", "messaging.destination.name": f"to {service}"}
        else:
            names = {"http.request.method": "GET", "http.route": operation[4:]}
        set_attributes(span.attributes, names)
        if self._rng.random() < 0.01:
            span.status.code = 2
        now = start + int(self._rng.lognormvariate(14, 0.8))
        for call in self._calls[service] if depth < _DEEPEST else ():
            if self._rng.randrange(100) < call.percent:
                now = self._call(service, call, span.span_id, now, depth)
        span.end_time_unix_nano = now + int(self._rng.lognormvariate(13, 0.8))
        return int(span.end_time_unix_nano)

    def _call(self, service: str, call: Call, parent: bytes, start: int, depth: int) -> int:
        if call.kind == "database":
            span = self._span(service, "SELECT", _CLIENT, parent, start)
            names = {"db.system": "postgresql", "db.namespace": call.callee, "server.address": "db"}
            set_attributes(span.attributes, names)
            end = start + int(self._rng.lognormvariate(14, 1))
        elif call.kind == "queue":
            span = self._span(service, f"publish {call.callee}", _PRODUCER, parent, start)
            set_attributes(
                span.attributes, {"messaging.system": "rabbitmq", "messaging.destination.name": f"to {call.callee}"}
            )
            end = start + 200_000
            self._serve(call.callee, span.span_id, end + 2_000_000, depth + 1, _CONSUMER)
        else:
            span = self._span(service, f"GET {call.callee}", _CLIENT, parent, start)
            end = self._serve(call.callee, span.span_id, start + 300_000, depth + 1) + 300_000
        span.end_time_unix_nano = end
        return end
