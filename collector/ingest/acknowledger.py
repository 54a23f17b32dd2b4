"""From request to acknowledgement: decode a group, write it durably with one sync, answer.

One thread does this for all transports. While it waits for the disk the next requests gather, and form the next group:
the busier, the larger the groups, and the cheaper each request (decoding eight together costs a third less each).
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import structlog

from collector.decode.decoder import Decoder
from collector.decode.validate import Rejection
from collector.errors import InvalidRequestError, OverloadedError, RequestError
from collector.ingest.retries import RecentRequests, request_digest
from collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.batch import Batch
    from collector.ingest.budget import ByteBudget
    from collector.log import DurableLog
    from collector.store.protocol import LogPosition
    from collector.telemetry import Telemetry

_GROUP_BYTES = 4 * 1024 * 1024  # some 10,000 spans: decoding them holds the interpreter for about 20 ms
_GROUP_REQUESTS = 64

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A request on its way; ``answer`` gets its ``Rejection`` once it is durable, or the error that refuses it."""

    signal: Signal
    body: bytes
    digest: bytes
    answer: Future[Rejection]


@dataclass(frozen=True, slots=True)
class Accepted:
    """Requests that one append made durable: decoded, their bytes, and the log position after the last of them."""

    batches: tuple[Batch, ...]
    size: int
    end: LogPosition


class Acknowledger:
    """The thread that makes requests durable and passes them on, in the order of the log."""

    def __init__(
        self, durable_log: DurableLog, budget: ByteBudget, deliver: Callable[[Accepted], None], telemetry: Telemetry
    ) -> None:
        self._log = durable_log
        self._budget = budget
        self._deliver = deliver
        self._telemetry = telemetry
        self._decoder = Decoder()
        self._inbox: SimpleQueue[Request | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="acknowledge", daemon=True)
        self.recent = RecentRequests()

    def start(self) -> None:
        """Begin to take requests."""
        self._thread.start()

    def stop(self) -> None:
        """Finish all requests that were submitted, and end."""
        self._inbox.put(None)
        self._thread.join()

    def submit(self, signal: Signal, body: bytes) -> Future[Rejection]:
        """Queue a request; raises ``OverloadedError`` at once when there is no room."""
        self._budget.take(len(body))
        request = Request(signal, body, request_digest(signal, body), Future())
        self._inbox.put(request)
        return request.answer

    def _run(self) -> None:
        while group := self._next_group():
            for signal in Signal:
                self._handle_safely([request for request in group if request.signal is signal])

    def _next_group(self) -> list[Request]:
        """Wait for a request and take what has gathered with it; an empty list at the end."""
        request = self._inbox.get()
        group: list[Request] = []
        size = 0
        while request is not None:
            group.append(request)
            size += len(request.body)
            if size >= _GROUP_BYTES or len(group) >= _GROUP_REQUESTS:
                return group
            try:
                request = self._inbox.get_nowait()
            except Empty:
                return group
        if group:
            self._inbox.put(None)  # the end comes after this group
        return group

    def _handle_safely(self, requests: list[Request]) -> None:
        """Whatever goes wrong with one group, its senders hear of it and the next group is handled."""
        try:
            self._handle(requests)
        except Exception:
            log.exception("a group of requests failed", requests=len(requests))
            for request in requests:
                if not request.answer.done():
                    self._refuse(request, OverloadedError("The request could not be handled; send it again."))

    def _handle(self, requests: list[Request]) -> None:
        fresh, retried = self._split_retries(requests)
        decoded = self._decode(fresh)
        if decoded:
            self._commit(decoded)
        for request in retried:
            self._answer_retry(request)

    def _answer_retry(self, request: Request) -> None:
        if request.digest not in self.recent:  # its twin in this group was refused
            self._refuse(request, OverloadedError("An equal request has just failed; send this one again."))
            return
        self._telemetry.retried.inc()
        self._budget.give_back(len(request.body))
        request.answer.set_result(Rejection())

    def _split_retries(self, requests: Sequence[Request]) -> tuple[list[Request], list[Request]]:
        distinct: dict[bytes, Request] = {}
        retried = []
        for request in requests:
            if request.digest in self.recent or request.digest in distinct:
                retried.append(request)
            else:
                distinct[request.digest] = request
        return list(distinct.values()), retried

    def _decode(self, requests: list[Request]) -> list[tuple[list[Request], Batch, list[Rejection]]]:
        """Decode requests of one signal together; if one is malformed, one by one, to refuse that one alone."""
        if not requests:
            return []
        try:
            with self._telemetry.decode_seconds.time():
                decoded = self._decoder.decode(requests[0].signal, [request.body for request in requests])
        except InvalidRequestError as error:
            if len(requests) > 1:
                return [part for request in requests for part in self._decode([request])]
            self._refuse(requests[0], error)
            return []
        return [(requests, decoded.batch, decoded.rejections)]

    def _commit(self, decoded: list[tuple[list[Request], Batch, list[Rejection]]]) -> None:
        requests = [request for group, _, _ in decoded for request in group]
        try:
            with self._telemetry.sync_seconds.time():
                end = self._log.append([(request.signal, request.body) for request in requests])
        except OSError as error:
            log.error("log not written", error=str(error))  # noqa: TRY400  (a full disk is no traceback)
            for request in requests:
                self._refuse(request, OverloadedError(f"The log cannot be written ({error.strerror}); send it again."))
            return
        self.recent.add(request.digest for request in requests)
        batches = tuple(
            replace(batch, requests=tuple(request.digest for request in group)) for group, batch, _ in decoded
        )
        self._deliver(Accepted(batches, sum(len(request.body) for request in requests), end))
        for group, _, rejections in decoded:
            for request, rejection in zip(group, rejections, strict=True):
                self._acknowledge(request, rejection)

    def _acknowledge(self, request: Request, rejection: Rejection) -> None:
        self._telemetry.requests.labels(request.signal.value).inc()
        self._telemetry.rejected.labels(request.signal.value).inc(rejection.count)
        request.answer.set_result(rejection)

    def _refuse(self, request: Request, error: RequestError) -> None:
        self._telemetry.refused.labels(error.code).inc()
        self._budget.give_back(len(request.body))
        request.answer.set_exception(error)
