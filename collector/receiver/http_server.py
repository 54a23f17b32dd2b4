"""OTLP over HTTP: POST /v1/traces, /v1/metrics and /v1/logs, in protobuf or JSON."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.rpc import code_pb2, status_pb2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from collector import tracing
from collector.errors import UnauthenticatedError, UnsupportedMediaTypeError
from collector.otlp_json import to_protobuf
from collector.receiver.export import ANSWER_LIMIT_S
from collector.receiver.limits import decompress, too_large
from collector.receiver.status import rpc_status, status_of
from collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from starlette.requests import Request

    from collector.decode.validate import Rejection
    from collector.errors import RequestError
    from collector.receiver.export import Exporter

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
_CLIENT_LEFT = 499  # nginx's number; nobody reads it
_UNPACKED_AT_ONCE = 2  # of each signal: a bomb takes max_request_bytes until it is refused, and JSON ten times that
_INLINE_BYTES = 64 * 1024  # below this, a hop to another thread costs more than the work


def create_app(exporter: Exporter) -> Starlette:
    """Return the ASGI application."""
    routes = [Route(f"/v1/{signal.value}", _endpoint(exporter, signal), methods=["POST"]) for signal in Signal]
    return Starlette(routes=routes, exception_handlers={HTTPException: _not_routed})


def _endpoint(exporter: Exporter, signal: Signal) -> Callable[[Request], Awaitable[Response]]:
    unpacking = asyncio.Semaphore(_UNPACKED_AT_ONCE)

    async def export(request: Request) -> Response:
        with tracing.receiving(request.headers, signal.value, "http"):
            return await answer(request)

    async def answer(request: Request) -> Response:
        media_type = JSON
        try:
            media_type = _media_type(request)
            key = exporter.admit(request.headers)
            with exporter.room() as take:
                body = await _plain_body(request, exporter.max_request_bytes, take, unpacking)
                if media_type == JSON:
                    async with unpacking:
                        body = await run_in_threadpool(to_protobuf, signal, body)
                answered = exporter.submit(signal, body, key)
            rejection = await _answer(answered)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_LEFT)
        except Exception as error:  # noqa: BLE001  (Starlette would answer 500, on which senders drop their data)
            return _error(exporter.refusal(signal, error), media_type)
        return _message(exporter.response(signal, rejection), media_type)

    return export


async def _answer(future: Future[Rejection]) -> Rejection:
    """Wait; shielded, since a cancelled future would fail the thread that answers all the others."""
    return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), ANSWER_LIMIT_S)


def _media_type(request: Request) -> str:
    content_type: str = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in (PROTOBUF, JSON):
        raise UnsupportedMediaTypeError(f"Content-Type {content_type!r} is not supported: send {PROTOBUF} or {JSON}.")
    return media_type


async def _plain_body(request: Request, limit: int, take: Callable[[int], None], unpacking: asyncio.Semaphore) -> bytes:
    async with asyncio.timeout(ANSWER_LIMIT_S):  # what trickles in holds room that others want
        body = await _whole_body(request, limit, take)
    encoding = request.headers.get("content-encoding", "")
    if not encoding or len(body) < _INLINE_BYTES:
        return decompress(body, encoding, limit)
    async with unpacking:
        return await run_in_threadpool(decompress, body, encoding, limit)


async def _whole_body(request: Request, limit: int, take: Callable[[int], None]) -> bytes:
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large(limit)
        take(len(part))
        parts.append(part)
    return b"".join(parts)


def _content(message: Any, media_type: str) -> str | bytes:
    content: str | bytes = (
        json_format.MessageToJson(message, indent=None) if media_type == JSON else message.SerializeToString()
    )
    return content


def _message(message: Any, media_type: str) -> Response:
    return Response(_content(message, media_type), media_type=media_type)


def _error(error: RequestError, media_type: str) -> Response:
    return Response(_content(rpc_status(error), media_type), status_of(error).http, _headers(error), media_type)


def _headers(error: RequestError) -> dict[str, str]:
    if isinstance(error, UnauthenticatedError):
        return {"WWW-Authenticate": "Bearer"}
    return {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}


async def _not_routed(request: Request, error: Exception) -> Response:
    """404 and 405, with a body that names the right path: a common mistake is an endpoint without /v1/traces."""
    assert isinstance(error, HTTPException)  # noqa: S101  (Starlette calls it for no other)
    try:
        media_type = _media_type(request)
    except UnsupportedMediaTypeError:
        media_type = JSON
    message = (
        f"{request.method} {request.url.path[:100]} is not an OTLP endpoint: POST to /v1/traces, /v1/metrics or "
        "/v1/logs (OTEL_EXPORTER_OTLP_ENDPOINT is the address without a path; exporters add it)."
    )
    code = code_pb2.NOT_FOUND if error.status_code == HTTPStatus.NOT_FOUND else code_pb2.UNIMPLEMENTED
    content = _content(status_pb2.Status(code=code, message=message), media_type)
    return Response(content, error.status_code, error.headers, media_type)
