"""The path of a request as one object: submit, and it is durable; a moment later, it is in the store."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

from collector.decode.validate import Rejection
from collector.ingest.budget import DEFAULT_QUEUE_BYTES, ByteBudget
from collector.ingest.committer import Committer
from collector.ingest.inserter import Inserter
from collector.ingest.intake import Intake
from collector.ingest.replay import replay
from collector.log import DurableLog
from collector.telemetry import Telemetry

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from collector.ingest.requests import Group
    from collector.redaction import Redaction
    from collector.signals import Signal
    from collector.store.protocol import Store

# The three stages hand over to each other, and each handover waits for the interpreter; with Python's own 5 ms a core
# idles meanwhile (233,000 against 252,000 spans/s, medians of three in one run; 0.5 ms brings no more).
_SWITCH_S = 0.002


class Pipeline:
    """Owns the log folder and is the store's only writer; replays the log before it takes requests."""

    def __init__(  # noqa: PLR0913  (what the service hands over, by name)
        self,
        store: Store,
        folder: Path,
        *,
        queue_bytes: int = DEFAULT_QUEUE_BYTES,
        log_bytes: int | None = None,
        keep_log: bool = False,
        telemetry: Telemetry | None = None,
        redaction: Redaction | None = None,
    ) -> None:
        sys.setswitchinterval(_SWITCH_S)
        self.telemetry = telemetry or Telemetry()
        self._log = DurableLog(folder, after=store.log_position().segment)
        self._budget = ByteBudget(queue_bytes, log_bytes)
        steps = replay(folder, store, self.telemetry, redaction=redaction)
        self.replayed = sum(step.requests for step in steps)
        self._intake = Intake(self._budget, self._pass_on, self.telemetry, redaction)
        rest: Any = {"keep_log": keep_log, "forget": self._intake.recent.forget, "redaction": redaction}
        self._inserter = Inserter(store, self._log, self._budget, self.telemetry, **rest)
        self._committer = Committer(self._log, self._intake, self._inserter.deliver, self.telemetry)
        self._intake.recent.add((digest, Rejection()) for digest in store.recent_requests())
        self.telemetry.queued_bytes.set_function(lambda: self._budget.used)
        self.telemetry.log_waiting_bytes.set_function(lambda: self._budget.parked)
        self.telemetry.degraded.set_function(lambda: self.failure is not None)
        for stage in (self._inserter, self._committer, self._intake):
            stage.start()

    def _pass_on(self, group: Group) -> None:
        self._committer.take(group)

    def submit(self, signal: Signal, body: bytes) -> Future[Rejection]:
        """Take a request; the future resolves once it is durable.

        Raises ``OverloadedError`` when the queue is full; the future carries the error when the request is refused.
        """
        return self._intake.submit(signal, body)

    @property
    def failure(self) -> str | None:
        """What keeps requests from being logged, or else the store from being written, or None."""
        return self._committer.failure or self._inserter.failure

    @property
    def is_refusing(self) -> bool:
        """Whether a request that comes now would be refused because of that failure."""
        return self._committer.failure is not None or self._budget.is_log_full

    def flush(self, timeout_s: float = 60.0) -> bool:
        """Wait until all that is durable by now is in the store too; False when that took too long."""
        return self._inserter.wait_applied(self._log.position, timeout_s)

    def close(self, timeout_s: float = math.inf) -> None:
        """Finish what was submitted, insert it, and close the log; the store stays open.

        After ``timeout_s`` the rest stays in the log, for the next start to insert.
        """
        until = time.monotonic() + timeout_s
        self._intake.stop()
        self._committer.stop()
        self._inserter.stop(until - time.monotonic())
        self._log.close()
