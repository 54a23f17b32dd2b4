"""The one Export path: what gRPC and HTTP have in common."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from collector.access.gate import Gate
from collector.access.keys import Scope
from collector.errors import OverloadedError, RequestError
from collector.ingest.budget import DEFAULT_QUEUE_BYTES, ByteBudget
from collector.receiver.limits import too_large
from collector.signals import PROTOCOL, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from collector.access.keys import Key
    from collector.decode.validate import Rejection
    from collector.telemetry import Telemetry

ANSWER_LIMIT_S = 30.0
"""Far beyond any exporter's own patience: a bound for threads and connections, not a promise."""

log = structlog.get_logger(__name__)


class Submit(Protocol):
    """Takes a request on; the future resolves once it is durable."""

    def submit(self, signal: Signal, body: bytes) -> Future[Rejection]:
        """See ``collector.ingest.pipeline.Pipeline.submit``."""


class Exporter:
    """Checks the size of plain protobuf requests, passes them on, words the answers and counts them."""

    def __init__(
        self,
        pipeline: Submit,
        max_request_bytes: int,
        gate: Gate | None = None,
        telemetry: Telemetry | None = None,
        *,
        receiving_bytes: int = DEFAULT_QUEUE_BYTES,
    ) -> None:
        self._pipeline = pipeline
        self._gate = gate or Gate()
        self._telemetry = telemetry
        self._receiving = ByteBudget(receiving_bytes)
        self.max_request_bytes = max_request_bytes

    @contextmanager
    def room(self) -> Iterator[Callable[[int], None]]:
        """Count what comes in inside the block: yields what takes bytes, and raises ``OverloadedError`` for too many.

        For a transport that collects requests by itself: they are in memory before the pipeline hears of them.
        """
        taken = []

        def take(size: int) -> None:
            self._receiving.take(size)
            taken.append(size)

        try:
            yield take
        finally:
            self._receiving.give_back(sum(taken))

    def admit(self, headers: Mapping[str, str]) -> Key | None:
        """Return a sender's key when it may come in; ``headers`` have names in lower case; raises ``RequestError``."""
        return self._gate.admit(headers, Scope.INGEST)

    def submit(self, signal: Signal, body: bytes, key: Key | None = None) -> Future[Rejection]:
        """Take a protobuf request; raises ``RequestError`` when it is refused at once."""
        if len(body) > self.max_request_bytes:
            raise too_large(self.max_request_bytes)
        answer = self._pipeline.submit(signal, body)
        self._gate.usage.count_bytes(key, len(body))
        if self._telemetry is not None:
            self._telemetry.received_bytes.labels(signal.value).inc(len(body))
        return answer

    def response(self, signal: Signal, rejection: Rejection) -> Any:
        """Return the Export response: empty for success, ``partial_success`` when records were refused."""
        if self._telemetry is not None:
            self._telemetry.accepted.labels(signal.value).inc()
        protocol = PROTOCOL[signal]
        response = protocol.response()
        if rejection.count:
            setattr(response.partial_success, protocol.rejected_field, rejection.count)
            response.partial_success.error_message = rejection.message
        return response

    def refusal(self, signal: Signal, error: Exception) -> RequestError:
        """Return what the sender hears of an error: of one that nobody foresaw, that a retry keeps its data best."""
        refused = _refusal(error)
        if self._telemetry is not None:
            self._telemetry.refused.labels(signal.value, refused.code).inc()
        return refused


def _refusal(error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if isinstance(error, TimeoutError):
        return OverloadedError(f"The request was not stored within {ANSWER_LIMIT_S:.0f} s: send it again.")
    log.error("a request failed", error=str(error), exc_info=error)
    return OverloadedError("The collector failed to handle this request, and its log says why: send it again.")
