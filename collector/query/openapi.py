"""The query API described by itself, in OpenAPI: what ``/openapi.json`` answers."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from collector.query.formats import Form
from collector.query.search import MOST, OPTIONS

_WINDOW = ("since", "from", "to", "env")
_OVER_TIME = (*_WINDOW, "bucket", "rows")
_EXAMPLES = {"since": "1h", "from": "2026-01-01T00:00:00Z", "to": "1767225600", "bucket": "5m", "min_duration": "200ms"}
_NUMBERS = {"limit": MOST, "rows": 1_000_000}
_MANY = ("slow", "fail", "async", "breaker")

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint"],
            "properties": {name: {"type": "string"} for name in ("code", "message", "hint")},
        }
    },
}

_SAID = {
    "400": "Wrong: what, and what to give instead.",
    "401": "No valid API key.",
    "403": "An API key for something else.",
    "404": "Nothing of that name.",
    "405": "Another method.",
    "406": "A form that is not offered.",
    "408": "The time limit.",
    "413": "The limit of rows or memory, or too long a text.",
    "429": "Too many queries of this key.",
    "503": "Overloaded, or the store fails: try again.",
}

# Path, summary, parameters, and the statuses of refusals beside those of keys and methods.
_ANALYSES: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("/v1/report", "The whole analysis.", (*_WINDOW, "endpoint"), ()),
    ("/v1/diff", "What got slower or less reliable, and who is to blame.", ("before", "after", "env"), ()),
    ("/v1/simulate", "The stored traces with changes.", (*_MANY, *_WINDOW), ()),
    ("/v1/series", "What services, endpoints or edges did over time.", (*_OVER_TIME, "of", "name"), ()),
    ("/v1/saturation", "How full resources are over time.", (*_OVER_TIME, "service"), ()),
    ("/v1/coupling/history", "The coupling index of each hour.", _WINDOW, ()),
)


def describe_api() -> dict[str, Any]:
    """Return the OpenAPI document."""
    keyed: list[dict[str, Any]] = [{}, {"bearer": []}, {"header": []}]
    schemes = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lithoscope query API", "version": version("lithoscope"), "license": {"name": "Apache-2.0"}},
        "security": keyed,
        "components": {"schemas": {"Error": _ERROR}, "securitySchemes": schemes},
        "paths": {
            "/v1/sql": _sql(),
            "/v1/traces": _get("Traces with a root, newest first.", OPTIONS, Form.ARROW.value, "400", "408", "413"),
            "/v1/traces/{trace_id}": _trace(),
            **{path: _get(said, names, Form.JSON.value, "400", *more) for path, said, names, more in _ANALYSES},
            "/v1/analyze": _analyze(),
            "/v1/status": _get("Addresses, and what keeps the store from being written.", (), Form.JSON.value),
            "/v1/backup": _get("A backup of the database; wants the scope admin.", (), "application/zip"),
            "/healthz": _open("Alive."),
            "/readyz": _open("Ready to store."),
            "/metrics": _get("The collector's own metrics, for Prometheus.", (), "text/plain"),
            "/openapi.json": _get("This.", (), Form.JSON.value),
        },
    }


def _sql() -> dict[str, Any]:
    answers: dict[str, Any] = {form.value: {"schema": {}} for form in Form}
    text = {"text/plain": {"schema": {"type": "string"}, "example": "SELECT count(*) FROM spans"}}
    refused = _refusals("400", "406", "408", "413", "429")
    operation = {
        "summary": "One reading statement in DuckDB's SQL.",
        "requestBody": {"required": True, "content": text},
        "responses": {"200": {"description": "Rows, in the form of Accept.", "content": answers}, **refused},
    }
    return {"post": operation}


def _analyze() -> dict[str, Any]:
    again = _get("Has minutes analysed again; wants the scope admin.", _WINDOW[:3], Form.JSON.value, "400")["get"]
    return {"post": again} | _get("How many minutes wait to be analysed again.", (), Form.JSON.value, "400", "404")


def _trace() -> dict[str, Any]:
    operation = _get("One trace with its critical path.", (), Form.JSON.value, "400", "404", "408", "413")
    place = {"name": "trace_id", "in": "path", "required": True, "schema": {"type": "string"}}
    operation["get"]["parameters"] = [{**place, "description": "32 hexadecimal digits."}]
    return operation


def _get(summary: str, names: tuple[str, ...], media_type: str, *refused: str) -> dict[str, Any]:
    answer = {"description": summary, "content": {media_type: {"schema": {}}}}
    statuses = ("404", *refused) if summary != "This." and names else refused
    return {
        "get": {
            "summary": summary,
            "parameters": [_parameter(name) for name in names],
            "responses": {"200": answer, **_refusals(*statuses, "429")},
        }
    }


def _open(summary: str) -> dict[str, Any]:
    said = {status: {"description": text} for status, text in (("200", summary), ("405", "Another method."))}
    return {"get": {"summary": summary, "security": [], "responses": {**said, "503": {"description": "Not so."}}}}


def _parameter(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name in _NUMBERS:
        schema = {"type": "integer", "minimum": 1, "maximum": _NUMBERS[name]}
    if name in _MANY:
        schema = {"type": "array", "items": schema}
    if name in _EXAMPLES:
        schema["examples"] = [_EXAMPLES[name]]
    return {"name": name, "in": "query", "schema": schema}


def _refusals(*statuses: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    found = sorted({"401", "403", "405", "503", *statuses})
    return {status: {"description": _SAID[status], "content": content} for status in found}
