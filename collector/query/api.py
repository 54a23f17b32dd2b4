"""The query API over HTTP: SQL, traces, health, metrics."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from collector.access.gate import Gate
from collector.access.keys import Scope
from collector.errors import LithoscopeError, OverloadedError, QueryError, StoreError
from collector.query.backup import Backup
from collector.query.formats import Form, choose_form, encode
from collector.query.jaeger import jaeger_app
from collector.query.openapi import describe_api
from collector.query.search import search_statement
from collector.query.trace_json import trace_json
from collector.query.turns import Turns
from collector.store.protocol import QueryLimits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    import pyarrow as pa
    from prometheus_client import CollectorRegistry
    from starlette.requests import Request

    from collector.access.keys import Key
    from collector.analysis import Analysis
    from collector.store.protocol import Store

_PATIENCE_S = 10.0  # with a query that does not heed its time limit, and with making an answer of its rows
_LOOK_EVERY_S = 0.25  # whether the client is still there
_MOST_SQL_BYTES = 128 * 1024  # planning cannot be interrupted, and its time grows with the text
_DEFAULT_LIMITS = QueryLimits()
_LIMIT = {"query_seconds": "seconds", "query_rows": "rows", "query_memory": "bytes"}

_STATUS = {
    "bad_sql": 400,
    "configuration": 400,
    "not_a_read": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "no_traces": 404,
    "time_limit": 408,
    "too_many_queries": 429,
    "row_limit": 413,
    "memory_limit": 413,
    "too_large": 413,
    "not_acceptable": 406,
    "store": 503,
    "unavailable": 503,
}

_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}

_Answer = TypeVar("_Answer")

log = structlog.get_logger(__name__)


class HasRegistry(Protocol):
    """What ``/metrics`` shows."""

    @property
    def registry(self) -> CollectorRegistry:
        """All metrics of the collector."""


class Ingest(Protocol):
    """What the API tells about the receiving side; ``collector.ingest.pipeline.Pipeline`` is one."""

    @property
    def telemetry(self) -> HasRegistry:
        """The collector's own metrics."""

    @property
    def failure(self) -> str | None:
        """What keeps it from working as it should, or None."""

    @property
    def is_refusing(self) -> bool:
        """Whether telemetry is refused for that."""

    def flush(self) -> bool:
        """Wait until the store has what is durable by now; False when that took too long."""


def create_app(  # noqa: PLR0913  (what the service hands over, by name)
    store: Store,
    ingest: Ingest,
    *,
    limits: QueryLimits = _DEFAULT_LIMITS,
    addresses: Mapping[str, object] | None = None,
    gate: Gate | None = None,
    analysis: Analysis | None = None,
    concurrency: int = 2,
) -> Starlette:
    """Return the ASGI application.

    ``addresses`` is read at each ``/v1/status``, so it may be filled later. The ``gate`` guards everything but health.
    Without an ``analysis``, traces come without their critical path. Keys have ``limits`` and ``concurrency`` (the most
    queries of one at once) unless they have their own.
    """
    gate = gate or Gate()
    api = _Api(store, ingest, limits, {} if addresses is None else addresses, analysis, concurrency)
    routes = [
        Route("/v1/sql", _guarded(api.sql, gate), methods=["POST"]),
        Route("/v1/traces", _guarded(api.traces, gate)),
        Route("/v1/traces/{trace_id}", _guarded(api.trace, gate)),
        Route("/v1/report", _guarded(api.report, gate)),
        Route("/v1/diff", _guarded(api.diff, gate)),
        Route("/v1/series", _guarded(api.series, gate)),
        Route("/v1/saturation", _guarded(api.saturation, gate)),
        Route("/v1/coupling/history", _guarded(api.coupling_history, gate)),
        Route("/v1/simulate", _guarded(api.simulate, gate)),
        Route("/v1/analyze", _guarded(api.analyze, gate, Scope.ADMIN), methods=["POST"]),
        Route("/v1/analyze", _guarded(api.analyzing, gate)),
        Route("/v1/status", _guarded(api.status, gate)),
        Route("/v1/backup", _guarded(api.backup, gate, Scope.ADMIN)),
        Route("/openapi.json", _guarded(api.openapi, gate)),
        Route("/healthz", api.healthz),
        Route("/readyz", api.readyz),
        Route("/metrics", _guarded(api.metrics, gate)),
        Mount("/api", jaeger_app(api.ask, lambda endpoint: _guarded(endpoint, gate), _STATUS)),
    ]
    return Starlette(routes=routes, exception_handlers=_HANDLERS)


def _guarded(
    endpoint: Callable[[Request], Awaitable[Response]], gate: Gate, scope: Scope = Scope.QUERY
) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        request.state.key = gate.admit(request.headers, scope)
        with gate.usage.answering(endpoint.__name__, request.state.key):
            try:
                return await endpoint(request)
            except asyncio.CancelledError:  # by the server, which waits no longer than its grace
                raise OverloadedError("The collector stops; ask again when it is back.") from None

    return guarded


class _Api:
    def __init__(
        self,
        store: Store,
        ingest: Ingest,
        limits: QueryLimits,
        addresses: Mapping[str, object],
        analysis: Analysis | None,
        concurrency: int,
    ) -> None:
        self._store = store
        self._ingest = ingest
        self._limits = limits
        self._addresses = addresses
        self._analysis = analysis
        self._concurrency = concurrency
        self._turns = Turns()
        self._backup = Backup(store, ingest)

    async def sql(self, request: Request) -> Response:
        form = choose_form(request.headers.get("accept", ""))
        if form is None:
            forms = ", ".join(form.value for form in Form)
            raise QueryError("None of the forms in Accept is offered.", code="not_acceptable", hint=f"Ask for {forms}.")
        content = await self.ask(request, await _text(request), lambda rows: encode(rows, form))
        return Response(content, media_type=form.value)

    async def ask(self, request: Request, query: str, finish: Callable[[pa.Table], _Answer]) -> _Answer:
        """Return what ``finish`` makes of a statement's rows, both in a thread, within what the sender's key may."""
        limits = self._limits_of(request)
        async with self._turn(request):
            return await self._while_connected(
                request, lambda stop: finish(self._store.query(query, limits, stop)), limits.seconds
            )

    def _limits_of(self, request: Request) -> QueryLimits:
        key: Key | None = request.state.key
        own: Mapping[str, Any] = {} if key is None else key.limits
        return replace(self._limits, **{field: own[name] for name, field in _LIMIT.items() if name in own})

    async def _while_connected(
        self, request: Request, answer: Callable[[threading.Event], _Answer], seconds: float
    ) -> _Answer:
        """Answer in a thread, and stop it when the client goes away: few queries run at once."""
        stop = threading.Event()
        running = asyncio.ensure_future(run_in_threadpool(answer, stop))
        latest = asyncio.get_running_loop().time() + seconds + _PATIENCE_S
        while not (await asyncio.wait({running}, timeout=_LOOK_EVERY_S))[0]:
            if await request.is_disconnected():
                stop.set()
            if asyncio.get_running_loop().time() > latest:
                log.error("a query does not end, though it was told to", seconds=seconds)
                raise QueryError(f"The query took longer than {seconds:g} seconds.", code="time_limit")
        return running.result()

    async def traces(self, request: Request) -> Response:
        query = search_statement(request.query_params)
        content = await self.ask(request, query, lambda rows: encode(rows, Form.ARROW))
        return Response(content, media_type=Form.ARROW.value)

    async def trace(self, request: Request) -> Response:
        async with self._turn(request):
            return JSONResponse(await run_in_threadpool(self._trace, request.path_params["trace_id"]))

    def _trace(self, trace_id: str) -> dict[str, Any]:
        rows = self._store.trace(trace_id)
        if not rows.num_rows:
            hint = "A trace appears a moment after it was received; retention may have deleted it."
            raise QueryError(f"There is no trace {trace_id}.", code="not_found", hint=hint)
        return trace_json(trace_id, rows, self._analysis)

    async def report(self, request: Request) -> Response:
        options = dict(request.query_params)
        return await self._analysed(request, lambda analysis: analysis.report(self._store, options))

    async def diff(self, request: Request) -> Response:
        options = dict(request.query_params)
        before, after = ((self._store, options.get(side, "")) for side in ("before", "after"))
        return await self._analysed(request, lambda analysis: analysis.diff(before, after, options.get("env")))

    async def simulate(self, request: Request) -> Response:
        options = {name: request.query_params.getlist(name) for name in request.query_params}
        return await self._analysed(request, lambda analysis: analysis.simulate(self._store, options))

    async def series(self, request: Request) -> Response:
        options = dict(request.query_params)
        return await self._analysed(request, lambda analysis: analysis.series(self._store, options))

    async def saturation(self, request: Request) -> Response:
        options = dict(request.query_params)
        return await self._analysed(request, lambda analysis: analysis.saturation(self._store, options))

    async def coupling_history(self, request: Request) -> Response:
        options = dict(request.query_params)
        return await self._analysed(request, lambda analysis: analysis.coupling_history(self._store, options))

    async def analyze(self, request: Request) -> Response:
        options = dict(request.query_params)
        return await self._analysed(request, lambda analysis: analysis.analyse_again(self._store, options))

    async def analyzing(self, request: Request) -> Response:
        return await self._analysed(request, lambda analysis: analysis.analyse_again(self._store, None))

    async def _analysed(self, request: Request, ask: Callable[[Analysis], dict[str, Any]]) -> Response:
        if self._analysis is None:
            raise QueryError("This collector runs without the analysis.", code="not_found")
        async with self._turn(request):
            return JSONResponse(await run_in_threadpool(ask, self._analysis))

    def _turn(self, request: Request) -> AbstractAsyncContextManager[None]:
        key: Key | None = request.state.key
        if key is None:
            return self._turns.take(None, self._concurrency)
        return self._turns.take(key.name, int(key.limits.get("query_concurrency", self._concurrency)))

    async def status(self, _request: Request) -> Response:
        addresses = {name: str(address) for name, address in self._addresses.items()}
        return JSONResponse({"addresses": addresses, "failure": self._ingest.failure})

    async def backup(self, _request: Request) -> Response:
        return StreamingResponse(await self._backup.begin(), media_type="application/zip")

    async def openapi(self, _request: Request) -> Response:
        return JSONResponse(describe_api())

    async def healthz(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(self, _request: Request) -> Response:
        """Whether telemetry is taken: a store that fails for a while is no reason to send it elsewhere."""
        failure = self._ingest.failure
        if failure is None:
            return PlainTextResponse("ready\n")
        is_refusing = self._ingest.is_refusing
        return PlainTextResponse(
            f"{'refusing' if is_refusing else 'degraded'}: {failure}\n", 503 if is_refusing else 200
        )

    async def metrics(self, _request: Request) -> Response:
        content = await run_in_threadpool(generate_latest, self._ingest.telemetry.registry)
        return Response(content, media_type=CONTENT_TYPE_LATEST)


async def _text(request: Request) -> str:
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _MOST_SQL_BYTES:
            raise QueryError(f"The query is over {_MOST_SQL_BYTES:,} bytes.", code="too_large", hint="Shorten it.")
        parts.append(part)
    try:
        return b"".join(parts).decode()
    except UnicodeDecodeError as error:
        raise QueryError("The query is not UTF-8.", hint="Send the SQL text as the body.") from error


async def _refused(request: Request, error: Exception) -> Response:
    code = getattr(error, "code", "internal")
    status = _STATUS.get(code, 500)
    if isinstance(error, StoreError) or status == 500:  # noqa: PLR2004
        log.error("query failed", path=request.url.path, error=str(error))
    return _error(code, str(error), getattr(error, "hint", ""), status, _HEADERS.get(status, {}))


async def _not_routed(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    message = f"{request.method} {request.url.path} is not part of the query API."
    hint = (
        "POST /v1/sql, GET /v1/traces, /v1/traces/{id}, /v1/report, /v1/diff, /v1/simulate, /v1/series, "
        "/v1/saturation, /v1/coupling/history, /v1/analyze, "
        "/v1/status, /v1/backup, /openapi.json, Jaeger's /api, /healthz, /readyz or /metrics."
    )
    return _error("not_found", message, hint, status, headers)


async def _broken(request: Request, error: Exception) -> Response:
    log.error("query failed", path=request.url.path, exc_info=error)
    return _error("internal", "The collector failed inside.", "Its log says why; please report it.", 500, {})


def _error(code: str, message: str, hint: str, status: int, headers: Mapping[str, str]) -> Response:
    return JSONResponse({"error": {"code": code, "message": message, "hint": hint}}, status, headers)


_HANDLERS = {HTTPException: _not_routed, LithoscopeError: _refused, Exception: _broken}
