"""OTLP over HTTP: POST /v1/traces, /v1/metrics and /v1/logs, in protobuf or JSON."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from collector.errors import RequestError, UnsupportedMediaTypeError
from collector.otlp_json import to_protobuf
from collector.receiver.limits import decompress, too_large
from collector.receiver.status import rpc_status, status_of
from collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.rpc.status_pb2 import Status
    from starlette.requests import Request

    from collector.receiver.export import Exporter

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
_INLINE_BYTES = 64 * 1024  # below this, a hop to another thread costs more than the work


def create_app(exporter: Exporter) -> Starlette:
    """Return the ASGI application."""
    routes = [Route(f"/v1/{signal.value}", _endpoint(exporter, signal), methods=["POST"]) for signal in Signal]
    return Starlette(routes=routes, exception_handlers={HTTPException: _not_routed})


def _endpoint(exporter: Exporter, signal: Signal) -> Callable[[Request], Awaitable[Response]]:
    async def export(request: Request) -> Response:
        media_type = JSON
        try:
            media_type = _media_type(request)
            body = await _plain_body(request, exporter.max_request_bytes)
            if media_type == JSON:
                body = await run_in_threadpool(to_protobuf, signal, body)
            rejection = await asyncio.wrap_future(exporter.submit(signal, body))
        except RequestError as error:
            return _error(error, media_type)
        return _message(exporter.response(signal, rejection), media_type)

    return export


def _media_type(request: Request) -> str:
    content_type: str = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in (PROTOBUF, JSON):
        raise UnsupportedMediaTypeError(f"Content-Type {content_type!r} is not supported: send {PROTOBUF} or {JSON}.")
    return media_type


async def _plain_body(request: Request, limit: int) -> bytes:
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
    body = b"".join(parts)
    encoding = request.headers.get("content-encoding", "")
    if not encoding or len(body) < _INLINE_BYTES:
        return decompress(body, encoding, limit)
    return await run_in_threadpool(decompress, body, encoding, limit)


def _message(message: Any, media_type: str) -> Response:
    content = json_format.MessageToJson(message, indent=None) if media_type == JSON else message.SerializeToString()
    return Response(content, media_type=media_type)


def _error(error: RequestError, media_type: str) -> Response:
    status = rpc_status(error)
    content = _status_json(status) if media_type == JSON else status.SerializeToString()
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return Response(content, status_of(error).http, headers, media_type)


def _status_json(status: Status) -> str:
    details = [{"@type": one.type_url, "value": base64.b64encode(one.value).decode()} for one in status.details]
    return json.dumps({"code": status.code, "message": status.message} | ({"details": details} if details else {}))


async def _not_routed(request: Request, error: Exception) -> Response:
    """404 and 405, with a body that names the right path: a common mistake is an endpoint without /v1/traces."""
    code = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    message = (
        f"{request.method} {request.url.path} is not an OTLP endpoint: POST to /v1/traces, /v1/metrics or /v1/logs "
        "(OTEL_EXPORTER_OTLP_ENDPOINT is the address without a path; exporters add it)."
    )
    return Response(json.dumps({"code": 5, "message": message}), code, headers, JSON)
