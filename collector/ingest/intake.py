"""First stage: take requests from all transports, recognise retries and decode what is new.

The requests that gather while one group is decoded form the next: the busier, the larger the groups, and the cheaper
each request (eight together cost a third less each). One thread decodes, since ptars holds the interpreter meanwhile.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import structlog

from collector import tracing
from collector.decode.decoder import Decoder
from collector.errors import OverloadedError, RequestError
from collector.ingest.requests import Group, Request
from collector.ingest.retries import RecentRequests, request_digest
from collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.decode.validate import Rejection
    from collector.ingest.budget import ByteBudget
    from collector.redaction import Redaction
    from collector.telemetry import Telemetry

_GROUP_BYTES = 4 * 1024 * 1024  # some 10,000 spans: decoding them holds the interpreter for about 20 ms
_GROUP_REQUESTS = 64

log = structlog.get_logger(__name__)


class Intake:
    """The thread that decodes requests and passes them on in groups of one signal, in order of arrival."""

    def __init__(
        self,
        budget: ByteBudget,
        deliver: Callable[[Group], None],
        telemetry: Telemetry,
        redaction: Redaction | None = None,
    ) -> None:
        self._budget = budget
        self._deliver = deliver
        self._telemetry = telemetry
        self._decoder = Decoder(redaction)
        self._inbox: SimpleQueue[Request | None] = SimpleQueue()
        self._under_way: dict[bytes, Request] = {}
        self._open = True
        self._opening = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self.recent = RecentRequests()

    def start(self) -> None:
        """Begin to take requests."""
        self._thread.start()

    def stop(self) -> None:
        """Decode all requests that were submitted, and end; later ones are refused."""
        with self._opening:
            self._open = False
            self._inbox.put(None)
        self._thread.join()

    def submit(self, signal: Signal, body: bytes) -> Future[Rejection]:
        """Queue a request; raises ``OverloadedError`` at once when there is no room, and after ``stop``."""
        request = Request(signal, body, request_digest(signal, body), Future(), tracing.origin())
        request.answer.set_running_or_notify_cancel()  # a client that goes away cannot cancel what is under way
        with self._opening:
            if not self._open:
                raise OverloadedError("The collector is stopping; send the request again.")
            self._budget.take(len(body))
            self._inbox.put(request)
        return request.answer

    def settle(self, group: Group) -> None:
        """Hear from the next stage, before it answers them, that requests are durable: a retry may come at any time."""
        digests = [request.digest for request in group.requests]
        self.recent.add(zip(digests, group.rejections, strict=True))
        for digest in digests:
            self._under_way.pop(digest, None)

    def _run(self) -> None:
        while group := self._next_group():
            fresh = [request for request in group if self._is_new(request)]
            for signal in Signal:
                for decoded in self._decode([request for request in fresh if request.signal is signal]):
                    self._deliver(decoded)

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

    def _is_new(self, request: Request) -> bool:
        """Say whether a request must be handled; a retry is answered like the one it repeats."""
        twin = self._under_way.get(request.digest)  # before `recent`: a request leaves here only after it is there
        if twin is not None:
            twin.answer.add_done_callback(lambda answer: self._answer_like(request, answer))
            return False
        answered = self.recent.answer(request.digest)
        if answered is not None:
            self._count_retry(request)
            request.answer.set_result(answered)
            return False
        self._under_way[request.digest] = request
        return True

    def _answer_like(self, request: Request, twin: Future[Rejection]) -> None:
        self._count_retry(request)
        error = twin.exception()
        if error is not None:
            request.answer.set_exception(error)
        else:
            request.answer.set_result(twin.result())

    def _count_retry(self, request: Request) -> None:
        self._telemetry.retried.inc()
        self._budget.give_back(len(request.body))

    def _decode(self, requests: list[Request]) -> list[Group]:
        """Decode requests of one signal together; if that fails, one by one, to refuse the culprit alone."""
        if not requests:
            return []
        try:
            with self._telemetry.decode_seconds.time():
                decoded = self._decoder.decode(requests[0].signal, [request.body for request in requests])
        except Exception as error:  # noqa: BLE001  (if this thread died, no request would be answered again)
            if len(requests) > 1:
                return [group for request in requests for group in self._decode([request])]
            self.refuse(requests[0], _refusal(error))
            return []
        return [Group(tuple(requests), decoded.batch, tuple(decoded.rejections))]

    def refuse(self, request: Request, error: RequestError) -> None:
        """Answer a request with an error, and give its room back."""
        self._under_way.pop(request.digest, None)
        self._budget.give_back(len(request.body))
        request.answer.set_exception(error)


def _refusal(error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    log.error("a request could not be decoded", exc_info=error)
    return OverloadedError("The request could not be handled; send it again.")
