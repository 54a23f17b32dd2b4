"""Second stage: write decoded requests durably, with one sync for all that wait, and answer them."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import structlog

from collector import tracing
from collector.errors import OverloadedError
from collector.ingest.requests import Accepted, Group, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.decode.validate import Rejection
    from collector.ingest.intake import Intake
    from collector.log import DurableLog
    from collector.telemetry import Telemetry

log = structlog.get_logger(__name__)


_BELIEVED_S = 10.0  # without a request nothing is written: then whether the log can be is tried by the next one


class Committer:
    """The thread that makes groups durable and passes them on, in the order of the log."""

    def __init__(
        self, durable_log: DurableLog, intake: Intake, deliver: Callable[[Accepted], None], telemetry: Telemetry
    ) -> None:
        self._log = durable_log
        self._intake = intake
        self._deliver = deliver
        self._telemetry = telemetry
        self._inbox: SimpleQueue[Group | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._failed: tuple[float, str] | None = None

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def stop(self) -> None:
        """Commit what was taken, and end; after the intake has stopped."""
        self._inbox.put(None)
        self._thread.join()

    def take(self, group: Group) -> None:
        """Take a decoded group."""
        self._inbox.put(group)

    @property
    def failure(self) -> str | None:
        """Why the log could not be written the last time that it was tried, a moment ago; None when it could."""
        failed = self._failed
        return failed[1] if failed and time.monotonic() - failed[0] < _BELIEVED_S else None

    def _run(self) -> None:
        while groups := self._next_groups():
            try:
                self._commit(groups)
            except (OSError, MemoryError) as error:
                log.error("log not written", error=str(error))  # noqa: TRY400  (a full disk is no traceback)
                self._failed = time.monotonic(), f"The log cannot be written ({error})."
                self._refuse(groups, f"The log cannot be written ({error}); send the request again.")
            else:
                self._failed = None

    def _next_groups(self) -> list[Group]:
        """Wait for a group and take those that have gathered with it; an empty list at the end."""
        group = self._inbox.get()
        groups: list[Group] = []
        while group is not None:
            groups.append(group)
            try:
                group = self._inbox.get_nowait()
            except Empty:
                return groups
        if groups:
            self._inbox.put(None)  # the end comes after these
        return groups

    def _commit(self, groups: list[Group]) -> None:
        requests = [request for group in groups for request in group.requests]
        origins = tuple(request.origin for request in requests)
        with self._telemetry.sync_seconds.time(), tracing.working("write log", origins):
            end = self._log.append([(request.signal, request.body) for request in requests])
        for group in groups:
            self._intake.settle(group)
        batches = tuple(group.signed_batch() for group in groups)
        self._deliver(Accepted(batches, sum(group.size for group in groups), end, origins))
        for group in groups:
            for request, rejection in zip(group.requests, group.rejections, strict=True):
                self._acknowledge(request, rejection)

    def _acknowledge(self, request: Request, rejection: Rejection) -> None:
        self._telemetry.requests.labels(request.signal.value).inc()
        self._telemetry.rejected.labels(request.signal.value).inc(rejection.count)
        request.answer.set_result(rejection)

    def _refuse(self, groups: list[Group], message: str) -> None:
        for group in groups:
            for request in group.requests:
                self._intake.refuse(request, OverloadedError(message))
