"""Posts OTLP requests to a collector over one HTTP connection."""

from __future__ import annotations

import http.client
import os
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from collector.client import KEY_VARIABLE, client_context
from collector.errors import InvalidRequestError, LithoscopeError, PayloadTooLargeError, UnauthenticatedError
from collector.settings import Address
from collector.signals import PROTOCOL

if TYPE_CHECKING:
    from collector.signals import Signal

_TIMEOUT_S = 60.0
_MOST_TRIES = 60
_ANY_HOST = ("0.0.0.0", "::", "")  # noqa: S104  (what a collector says that listens everywhere)
_BUSY = (429, 502, 503, 504)
_TOO_LARGE = 413
_NOT_ADMITTED = (401, 403)
_OK = 200


class Upload:
    """A connection to the OTLP/HTTP ``address`` of the collector whose query API is ``query_url``."""

    def __init__(self, address: str, query_url: str) -> None:
        host, port = Address.parse(address)
        if host in _ANY_HOST:
            host = urlsplit(query_url).hostname or "127.0.0.1"
        self._address = Address(host, port)
        self._headers = {"Content-Type": "application/x-protobuf"}
        if key := os.environ.get(KEY_VARIABLE):
            self._headers["Authorization"] = f"Bearer {key}"
        self._connection = (
            http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=client_context())
            if urlsplit(query_url).scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def post(self, signal: Signal, body: bytes) -> tuple[int, str]:
        """Send a protobuf request; return how many records were refused and why.

        Waits while the collector is busy. Raises ``RequestError`` when the whole request is refused, and
        ``LithoscopeError`` when the collector does not answer.
        """
        for _ in range(_MOST_TRIES):
            status, retry_after_s, content = self._exchange(f"/v1/{signal.value}", body)
            if status == _OK:
                return _partial_success(signal, content)
            if status not in _BUSY:
                raise _refusal(status, content)
            time.sleep(retry_after_s)
        raise LithoscopeError(f"The collector at {self._address} has been busy for a minute: import again later.")

    def _exchange(self, path: str, body: bytes) -> tuple[int, float, bytes]:
        try:
            self._connection.request("POST", path, body, self._headers)
            answer = self._connection.getresponse()
            return answer.status, float(answer.headers.get("Retry-After", "1")), answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise LithoscopeError(
                f"The collector does not take OTLP/HTTP at {self._address} ({error}): can that address be reached?"
            ) from error


def _partial_success(signal: Signal, content: bytes) -> tuple[int, str]:
    protocol = PROTOCOL[signal]
    response: Any = protocol.response.FromString(content)
    return getattr(response.partial_success, protocol.rejected_field), response.partial_success.error_message


def _refusal(status: int, content: bytes) -> Exception:
    from google.rpc.status_pb2 import Status  # noqa: PLC0415  (only a refusal needs it)

    message = Status.FromString(content).message
    if status == _TOO_LARGE:
        return PayloadTooLargeError(message)
    return UnauthenticatedError(message) if status in _NOT_ADMITTED else InvalidRequestError(message)
