"""The one table that turns an error into a gRPC and an HTTP status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from collector import errors

if TYPE_CHECKING:
    from typing import Any

_LONGEST_MESSAGE = 1000  # a parser's message may quote the request, and gRPC's trailers end at 8 KiB


@dataclass(frozen=True, slots=True)
class Status:
    """What a client is told: HTTP's number and gRPC's code."""

    http: int
    grpc: Any
    code: int


_STATUS = {
    errors.InvalidRequestError: Status(400, grpc.StatusCode.INVALID_ARGUMENT, code_pb2.INVALID_ARGUMENT),
    errors.UnauthenticatedError: Status(401, grpc.StatusCode.UNAUTHENTICATED, code_pb2.UNAUTHENTICATED),
    errors.ForbiddenError: Status(403, grpc.StatusCode.PERMISSION_DENIED, code_pb2.PERMISSION_DENIED),
    errors.PayloadTooLargeError: Status(413, grpc.StatusCode.RESOURCE_EXHAUSTED, code_pb2.RESOURCE_EXHAUSTED),
    errors.UnsupportedMediaTypeError: Status(415, grpc.StatusCode.INVALID_ARGUMENT, code_pb2.INVALID_ARGUMENT),
    errors.OverloadedError: Status(503, grpc.StatusCode.UNAVAILABLE, code_pb2.UNAVAILABLE),
}


def status_of(error: errors.RequestError) -> Status:
    """Return the status for an error of a request."""
    return _STATUS[type(error)]


def rpc_status(error: errors.RequestError) -> status_pb2.Status:
    """Return the ``google.rpc.Status`` of an error, with ``RetryInfo`` when the client may try again."""
    status = status_pb2.Status(code=status_of(error).code, message=_shorten(str(error)))
    if error.retry_after_s is not None:
        status.details.add().Pack(retry_info(error.retry_after_s))
    return status


def retry_info(seconds: int) -> error_details_pb2.RetryInfo:
    """Return the message that asks a client to wait and try again."""
    return error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds))


def _shorten(message: str) -> str:
    if len(message) <= _LONGEST_MESSAGE:
        return message
    half = _LONGEST_MESSAGE // 2
    return f"{message[:half]} … {message[-half:]}"
