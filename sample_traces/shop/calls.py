"""How a service calls another: over HTTP or gRPC, as protected or unprotected as the description of the system says."""

from __future__ import annotations

import json
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import grpc
import requests
from opentelemetry import trace

from sample_traces.shop.breaker import CircuitBreaker, CircuitOpenError
from sample_traces.shop.runtime import SERVICE, STATE, address

if TYPE_CHECKING:
    from collections.abc import Callable

    from sample_traces.shop.system import Edge

REFUSALS = {grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.CONFLICT}


class CallFailedError(Exception):
    """The callee, or something behind it, broke."""


class RefusedError(Exception):
    """The callee is well and says no."""

    def __init__(self, message: str, status: int = HTTPStatus.CONFLICT) -> None:
        super().__init__(message)
        self.status = status


def call_http(callee: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Return the JSON that another service answers."""
    edge = STATE.edge(SERVICE.name, callee)
    return _guard(edge, lambda: _request(edge, method, path, body))


def call_grpc(callee: str, method: str, body: dict[str, Any]) -> Any:
    """Return what another service's method answers; messages are JSON, so that there is no code to generate."""
    edge = STATE.edge(SERVICE.name, callee)
    return _guard(edge, lambda: _invoke(edge, method, body))


def _guard(edge: Edge, attempt: Callable[[], Any]) -> Any:
    if not edge.breaker:
        return _retry(edge, attempt)
    try:
        return _breaker(edge.callee).call(lambda: _retry(edge, attempt), CallFailedError)
    except CircuitOpenError as error:
        trace.get_current_span().record_exception(error)
        raise CallFailedError(str(error)) from error


def _retry(edge: Edge, attempt: Callable[[], Any]) -> Any:
    """Try again at once, as often as the edge allows: no pause, no budget."""
    for _ in range(edge.attempts - 1):
        try:
            return attempt()
        except CallFailedError:
            continue
    return attempt()


def _request(edge: Edge, method: str, path: str, body: dict[str, Any] | None) -> Any:
    url = f"{address(edge.callee)}{path}"
    try:
        response = requests.request(method, url, json=body, timeout=edge.timeout_s)
    except requests.RequestException as error:
        raise CallFailedError(f"{edge.callee} did not answer: {type(error).__name__}") from error
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise CallFailedError(f"{edge.callee} answered {response.status_code}")
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        raise RefusedError(f"{edge.callee} refused", response.status_code)
    return response.json()


def _invoke(edge: Edge, method: str, body: dict[str, Any]) -> Any:
    path = f"/{edge.callee}.{edge.callee.capitalize()}/{method}"
    call = _channel(address(edge.callee)).unary_unary(path, lambda message: json.dumps(message).encode(), json.loads)
    try:
        return call(body, timeout=edge.timeout_s)
    except grpc.RpcError as error:
        if error.code() in REFUSALS:
            raise RefusedError(error.details(), REFUSALS[error.code()]) from error
        raise CallFailedError(f"{edge.callee} answered {error.code().name}") from error


@cache
def _breaker(callee: str) -> CircuitBreaker:
    return CircuitBreaker(callee)


@cache
def _channel(target: str) -> Any:
    return grpc.insecure_channel(target)
