"""Jaeger's query API as its UI and Grafana's data source call it, version 1 of its JSON, from the store's views."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from collector.errors import ConfigurationError, LithoscopeError, QueryError
from collector.query.jaeger_json import jaeger_traces
from collector.query.search import quoted
from collector.store.sql import statement
from collector.units import parse_duration_ns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    import pyarrow as pa
    from starlette.datastructures import QueryParams
    from starlette.requests import Request
    from starlette.responses import Response


_DEFAULT_TRACES, _MOST_TRACES = 20, 1_500  # as Jaeger's
_LATEST_US = 2**62 // 1000
_DAY_MS = 24 * 3_600_000
_MINUTE_MS = 60_000
_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")
_COLUMNS = {"span.kind": "kind", "otel.status_code": "status_code", "otel.scope.name": "scope_name"}


class Ask(Protocol):
    """Returns what ``finish`` makes of the rows of one reading statement, within the limits of who sends a request."""

    def __call__(self, request: Request, query: str, finish: Callable[[pa.Table], list[Any]]) -> Awaitable[list[Any]]:
        """Raises ``LithoscopeError``."""


def jaeger_app(ask: Ask, guard: Callable[[Any], Any], statuses: Mapping[str, int]) -> Starlette:
    """Return the application that answers below ``/api``; ``statuses`` has the HTTP status of an error's code."""
    jaeger = _Jaeger(ask)
    routes = [
        Route("/services", guard(jaeger.services)),
        Route("/services/{service:path}/operations", guard(jaeger.operation_names)),
        Route("/operations", guard(jaeger.operations)),
        Route("/traces", guard(jaeger.traces)),
        Route("/traces/{trace_id}", guard(jaeger.trace)),
        Route("/dependencies", guard(jaeger.dependencies)),
    ]

    async def refused(_request: Request, error: Exception) -> Response:
        said = " ".join(filter(None, (str(error), getattr(error, "hint", ""))))
        return _error(statuses.get(getattr(error, "code", ""), 500), said)

    return Starlette(routes=routes, exception_handlers={LithoscopeError: refused, HTTPException: _not_offered})


class _Jaeger:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def services(self, request: Request) -> Response:
        query = "SELECT DISTINCT service_name AS name FROM spans ORDER BY ALL"
        return _data(await self._ask(request, query, _names))

    async def operation_names(self, request: Request) -> Response:
        query = f"SELECT DISTINCT span_name AS name FROM spans WHERE {_of(request.path_params['service'])} ORDER BY ALL"
        return _data(await self._ask(request, query, _names))

    async def operations(self, request: Request) -> Response:
        if not request.query_params.get("service"):
            raise ConfigurationError("service: name one, as /api/services does.")
        query = (
            "SELECT DISTINCT span_name AS name, "
            "CASE kind WHEN 'unspecified' THEN '' ELSE kind::VARCHAR END AS \"spanKind\" "
            f"FROM spans WHERE {_of(request.query_params['service'])} ORDER BY ALL"
        )
        kind = request.query_params.get("spanKind", "").lower()
        rows = await self._ask(request, query, _rows)
        return _data([row for row in rows if kind in ("", row["spanKind"])])

    async def traces(self, request: Request) -> Response:
        options = request.query_params
        ids = options.getlist("traceID")
        if not ids and not options.get("service"):
            raise ConfigurationError("service: name one, as /api/services does, or give traceID.")
        return _data(await self._spans(request, _by_ids(ids) if ids else _search(options)))

    async def trace(self, request: Request) -> Response:
        found = await self._spans(request, _by_ids([request.path_params["trace_id"]]))
        if not found:
            raise QueryError("trace not found", code="not_found")
        return _data(found)

    async def _spans(self, request: Request, found: str) -> list[dict[str, Any]]:
        query = statement("jaeger_spans", found=found.rstrip().removesuffix(";"))
        return await self._ask(request, query, jaeger_traces)

    async def dependencies(self, request: Request) -> Response:
        options = request.query_params
        end = _whole(options, "endTs", time.time_ns() // 1_000_000)
        begin = end - _whole(options, "lookback", _DAY_MS)
        minutes = {"begin": str(begin // _MINUTE_MS), "end": str(end // _MINUTE_MS + 1)}
        return _data(await self._ask(request, statement("jaeger_dependencies", **minutes), _rows))


def _names(rows: pa.Table) -> list[Any]:
    return list(rows.column("name").to_pylist())


def _rows(rows: pa.Table) -> list[Any]:
    return list(rows.to_pylist())


def _of(service: str) -> str:
    return f"service_name = {quoted(service)}"


def _by_ids(ids: Iterable[str]) -> str:
    """Jaeger leaves out leading zeros."""
    for text in ids:
        if not _TRACE_ID.fullmatch(text):
            raise ConfigurationError(f"traceID: {text!r} is not up to 32 hex digits.")
    return statement("jaeger_ids", ids=", ".join(f"'{UUID(text.zfill(32))}'" for text in ids))


def _search(options: QueryParams) -> str:
    begin, end = _whole(options, "start", 0), _whole(options, "end", _LATEST_US)
    return statement(
        "jaeger_search",
        begin=str(min(begin, _LATEST_US) * 1000),
        end=str(min(end, _LATEST_US) * 1000),
        any_span=" AND ".join(_conditions(options)),
        limit=str(max(1, min(_whole(options, "limit", _DEFAULT_TRACES), _MOST_TRACES))),
    )


def _conditions(options: QueryParams) -> list[str]:
    """All of one span, as in Jaeger."""
    found = [_of(options["service"])]
    if options.get("operation"):
        found.append(f"span_name = {quoted(options['operation'])}")
    for name, sign in (("minDuration", ">="), ("maxDuration", "<=")):
        if options.get(name):
            found.append(f"duration_ns {sign} {_duration_ns(options, name)}")
    return found + [_has_tag(key, value) for key, value in _wanted_tags(options)]


def _wanted_tags(options: QueryParams) -> Iterable[tuple[str, str]]:
    """``tags`` is a JSON object; ``tag`` is ``key:value``, and may be repeated."""
    for text in options.getlist("tag"):
        key, colon, value = text.partition(":")
        if not colon:
            raise ConfigurationError(f"tag: {text!r} is not of the form key:value.")
        yield key, value
    for text in filter(None, options.getlist("tags")):
        try:
            tags = json.loads(text)
        except (ValueError, RecursionError):
            tags = None
        if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
            raise ConfigurationError(f'tags: {text!r} is no JSON object of texts, for example {{"error":"true"}}.')
        yield from tags.items()


def _has_tag(key: str, value: str) -> str:
    """Of the span or of its process."""
    if key == "error":
        return f"(status_code = 'error') = {'true' if value == 'true' else 'false'}"
    if key in _COLUMNS:
        return f"{_COLUMNS[key]}::VARCHAR = {quoted(value.lower() if key != 'otel.scope.name' else value)}"
    return (
        " OR ".join(f"{place}[{quoted(key)}] = {quoted(value)}" for place in ("(attributes", "resource_attributes"))
        + ")"
    )


def _duration_ns(options: QueryParams, name: str) -> int:
    try:
        return parse_duration_ns(options[name])
    except ValueError as error:
        raise ConfigurationError(f"{name}: {error}.") from error


def _whole(options: QueryParams, name: str, default: int) -> int:
    text = options.get(name) or str(default)
    if not re.fullmatch(r"\d{1,18}", text):
        raise ConfigurationError(f"{name}: {text!r} is not a whole number of at most 18 digits.")
    return int(text)


def _data(data: list[Any]) -> Response:
    return JSONResponse({"data": data, "total": len(data), "limit": 0, "offset": 0, "errors": None})


def _error(status: int, message: str) -> Response:
    errors = [{"code": status, "msg": message}]
    return JSONResponse({"data": None, "total": 0, "limit": 0, "offset": 0, "errors": errors}, status)


async def _not_offered(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _error(status, f"{request.method} {request.url.path} is not a part of Jaeger's query API that is offered.")
