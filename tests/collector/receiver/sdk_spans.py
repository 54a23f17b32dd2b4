"""Spans made with the Python SDK, and the same spans as the SDK recorded them and as SQL gives them back."""

from __future__ import annotations

import base64
import json
import math
import random
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

Row = dict[str, Any]

VALUES: dict[str, Any] = {
    "text": "plain",
    "empty": "",
    "unicode": "é😀\n\"quoted\" 'and' \\ {json: [1]}",
    "long": "x" * 5000,
    "true": True,
    "false": False,
    "zero": 0,
    "least": -(2**63),
    "most": 2**63 - 1,
    "beyond a double": 2**53 + 1,
    "tenth": 0.1,
    "whole": 200.0,
    "negative zero": -0.0,
    "huge": 1.7976931348623157e308,
    "tiny": 5e-324,
    "inf": math.inf,
    "-inf": -math.inf,
    "nan": math.nan,
    "bytes": b"\x00\xff\x80 bytes",
    "no bytes": b"",
    "texts": ("a", "", "é"),
    "bools": (True, False),
    "ints": (-(2**63), 0, 2**63 - 1),
    "floats": (0.1, -0.0, math.inf, -math.inf, math.nan, 1e300),
    "blobs": (b"\xff", b""),
    "nothing": (),
    "map": {"inner": {"list": (1, "two", 3.0, None)}, "flag": True},
    "null": None,
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "server.port": 8080,
    "peer.service": "cart",
}
_PLAIN = ("text", "unicode", "true", "least", "most", "tenth", "inf", "nan", "ints", "http.request.method")
_KINDS = list(SpanKind)
_STATUSES = [Status(), Status(StatusCode.OK), Status(StatusCode.ERROR), Status(StatusCode.ERROR, "it broke")]


def resource(service: str) -> Resource:
    """A resource whose attributes are of every type."""
    named = {f"resource {name}": value for name, value in VALUES.items()}
    return Resource({"service.name": service, **named}, schema_url="https://opentelemetry.io/schemas/1.30.0")


def make_spans(provider: TracerProvider, count: int, seed: int) -> None:
    """End so many spans, with everything that the SDK can record: some in few of them, each in many."""
    rng = random.Random(seed)
    plain = provider.get_tracer("plain")
    rich = provider.get_tracer(
        "rich", "1.2.3", "https://example.org/schema", {f"scope {k}": v for k, v in VALUES.items()}
    )
    parent: Any = None
    for number in range(count):
        tracer = rich if number % 3 else plain
        context = None if parent is None or rng.random() < 0.1 else trace.set_span_in_context(parent)
        if number % 50 == 0:
            context = trace.set_span_in_context(_remote_parent(rng))
        span = tracer.start_span(
            f"op {number % 20}",
            context,
            rng.choice(_KINDS),
            _attributes(rng, number),
            _links(rng, parent) if rng.random() < 0.05 and parent is not None else None,
            start_time=rng.randrange(1, 2**62),
        )
        for event in range(rng.choice((0, 0, 0, 1, 3))):
            span.add_event(f"event {event}", _attributes(rng, number), rng.randrange(1, 2**62))
        if number % 100 == 7:
            span.record_exception(ValueError("no"), timestamp=number)
        span.set_status(rng.choice(_STATUSES))
        span.end(rng.randrange(1, 2**62))
        parent = span


def _remote_parent(rng: random.Random) -> trace.NonRecordingSpan:
    state = TraceState([("vendor", "t61rcWkgMzE"), ("rojo", f"{rng.getrandbits(40):x}")])
    context = SpanContext(
        rng.randrange(1, 2**128), rng.randrange(1, 2**64), is_remote=True, trace_flags=TraceFlags(1), trace_state=state
    )
    return trace.NonRecordingSpan(context)


def _attributes(rng: random.Random, number: int) -> dict[str, Any]:
    if number % 100 == 0:
        return VALUES
    return {name: VALUES[name] for name in rng.sample(_PLAIN, 4)} | {"number": number}


def _links(rng: random.Random, parent: Any) -> list[trace.Link]:
    remote = _remote_parent(rng).get_span_context()
    return [trace.Link(parent.get_span_context(), {"text": "a", "least": -(2**63)}), trace.Link(remote, VALUES)]


def all_recorded(spans: Sequence[ReadableSpan]) -> list[Row]:
    """Spans as the SDK recorded them."""
    resources = {id(span.resource): _resource(span.resource) for span in _distinct(spans, "resource")}
    scopes = {id(span.instrumentation_scope): _scope(span) for span in _distinct(spans, "instrumentation_scope")}
    return [
        _recorded(span) | {"resource": resources[id(span.resource)], "scope": scopes[id(span.instrumentation_scope)]}
        for span in spans
    ]


def _distinct(spans: Sequence[ReadableSpan], part: str) -> Iterable[ReadableSpan]:
    """One span for each object that many share: comparing their attributes once is enough."""
    return {id(getattr(span, part)): span for span in spans}.values()


def _resource(shared: Resource) -> tuple[str, Row]:
    return (shared.schema_url, _typed(shared.attributes))


def _scope(span: ReadableSpan) -> tuple[Any, ...]:
    scope: Any = span.instrumentation_scope
    return (scope.name, scope.version or None, scope.schema_url or None, _typed(scope.attributes))


def _recorded(span: ReadableSpan) -> Row:
    """Without a link's trace state, which the SDK's exporters leave out."""
    context: Any = span.context
    start, end = span.start_time or 0, span.end_time or 0
    return {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "trace_state": context.trace_state.to_header() or None,
        "flags": 0x300 if span.parent and span.parent.is_remote else 0x100,
        "span_name": span.name,
        "kind": span.kind.name.lower(),
        "start_unix_nano": start,
        "end_unix_nano": end,
        "duration_ns": end - start,
        "status_code": span.status.status_code.name.lower(),
        "status_message": span.status.description,
        "attributes": _typed(span.attributes),
        "events": [(event.name, event.timestamp, _typed(event.attributes)) for event in span.events],
        "links": [
            (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}", _typed(link.attributes))
            for link in span.links
        ],
        "dropped": (0, 0, 0),
    }


def _typed(attributes: Mapping[str, Any] | None) -> Row:
    return {key: _normal(value) for key, value in (attributes or {}).items()}


def _normal(value: Any) -> Any:
    """A value that equals only its like: of floats the exact digits, of bytes no text, of sequences JSON's values."""
    if isinstance(value, float):
        return ("float", value.hex())
    if isinstance(value, tuple | dict):
        return ("json", json.dumps(_json(value)))
    return value


def _json(value: Any) -> Any:
    """The JSON that stands for a nested value: numbers that JSON lacks as text, bytes in base64."""
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


QUERY = """
SELECT trace_id, span_id, parent_span_id, trace_state, flags, span_name, kind, start_unix_nano,
    epoch_ns(end_time) AS end_unix_nano, duration_ns, status_code, status_message,
    s.attributes, s.attribute_types AS types,
    [(e.name, epoch_ns(e.time), e.attributes, e.attribute_types) FOR e IN events] AS events,
    [(l.trace_id, l.span_id, l.attributes, l.attribute_types) FOR l IN links] AS links,
    resource_id, scope_id,
    [s.dropped_attributes_count, dropped_events_count, dropped_links_count] AS dropped
FROM spans s WHERE service_name = '{service}'
"""
RESOURCES = "SELECT resource_id, schema_url, attributes, attribute_types FROM resources"
SCOPES = "SELECT scope_id, scope_name, scope_version, schema_url, attributes, attribute_types FROM scopes"

_DECODE: dict[str, Any] = {
    "s": str,
    "b": lambda text: {"true": True, "false": False}[text],
    "i": int,
    "d": float,
    "x": base64.b64decode,
    "-": lambda text: text,
}


def stored(row: Row, resources: dict[int, tuple[Any, ...]], scopes: dict[int, tuple[Any, ...]]) -> Row:
    """A row of ``QUERY`` in the shape of those recorded, given the resources and scopes by id."""
    events = [tuple(event.values()) for event in row["events"] or ()]
    links = [tuple(link.values()) for link in row["links"] or ()]
    return row | {
        "attributes": decoded(row["attributes"], row.pop("types")),
        "events": [(*event[:2], decoded(*event[2:])) for event in events],
        "links": [(*link[:2], decoded(*link[2:])) for link in links],
        "resource": resources[row.pop("resource_id")],
        "scope": scopes[row.pop("scope_id")],
        "dropped": tuple(row["dropped"]),
    }


def decoded(attributes: list[tuple[str, str]] | None, types: str | None) -> Row:
    """Attributes with their values' own types, as the type letters tell."""
    pairs = zip(attributes or (), types or "", strict=True)
    return {key: _decoded(text, letter) for (key, text), letter in pairs}


def _decoded(text: str, letter: str) -> Any:
    return ("json", json.dumps(json.loads(text))) if letter in "am" else _normal(_DECODE[letter](text))
