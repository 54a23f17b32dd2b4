"""From the durable log into the store: few large transactions, since durability no longer waits for them."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import structlog

from collector import tracing
from collector.decode.decoder import concatenate
from collector.errors import UnstorableError
from collector.ingest.replay import replay

if TYPE_CHECKING:
    from collector.batch import Batch
    from collector.ingest.budget import ByteBudget
    from collector.ingest.requests import Accepted
    from collector.log import DurableLog
    from collector.store.protocol import LogPosition, Store
    from collector.telemetry import Telemetry

_ROW_GROUP = 122_880  # DuckDB's: one thread fills one, so an insert of whole ones leaves no thread with a rest
_MOST_ROW_GROUPS = 4
_MOST_BYTES = 128 * 1024 * 1024  # of requests: a transaction must fit the store's memory, however long the values are
_LONGEST_WAIT_S = 0.5  # what a query may lag behind the acknowledgement, beside the insert itself
_RETRY_S = 1.0

log = structlog.get_logger(__name__)


class Inserter:
    """The thread that applies accepted requests to the store, in order, and frees the log behind them."""

    def __init__(
        self, store: Store, durable_log: DurableLog, budget: ByteBudget, telemetry: Telemetry, *, keep_log: bool = False
    ) -> None:
        self._store = store
        self._log = durable_log
        self._budget = budget
        self._telemetry = telemetry
        self._keep_log = keep_log
        self._waiting: deque[Accepted] = deque()
        self._changed = threading.Condition()
        self._rows = 0
        self._applied = store.log_position()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="insert", daemon=True)
        self.failure: str | None = None

    def start(self) -> None:
        """Begin to insert."""
        self._thread.start()

    def stop(self) -> None:
        """Insert what was delivered, unless the store fails, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    def deliver(self, accepted: Accepted) -> None:
        """Take requests that are durable; calls come in the order of the log."""
        with self._changed:
            self._waiting.append(accepted)
            self._rows += sum(batch.rows for batch in accepted.batches)
            self._changed.notify_all()

    def wait_applied(self, position: LogPosition, timeout_s: float) -> bool:
        """Wait until the store has everything before a position; False when that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._applied >= position, timeout_s)

    def _run(self) -> None:
        while taken := self._take():
            with tracing.working("insert", (origin for accepted in taken for origin in accepted.origins)):
                stored = self._append([batch for accepted in taken for batch in accepted.batches], taken[-1].end)
            if not stored:
                return  # stopping with a store that fails: the log still has all of it
            self._budget.give_back(sum(accepted.size for accepted in taken))
            with self._changed:
                self._applied = taken[-1].end
                self._changed.notify_all()
            self._free_log(taken[-1].end)

    def _take(self) -> list[Accepted]:
        """Wait for work, then a little longer for more of it; an empty list when stopping."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            self._changed.wait_for(lambda: self._rows >= _ROW_GROUP or self._stopping, _LONGEST_WAIT_S)
            most = max(min(self._rows // _ROW_GROUP, _MOST_ROW_GROUPS), 1) * _ROW_GROUP
            taken: list[Accepted] = []
            rows = size = 0
            while self._waiting and rows < most and size < _MOST_BYTES:
                taken.append(self._waiting.popleft())
                size += taken[-1].size
                rows += sum(batch.rows for batch in taken[-1].batches)
            self._rows -= rows
            return taken

    def _free_log(self, applied: LogPosition) -> None:
        if self._keep_log:
            return
        try:
            self._log.delete_before(applied)
        except OSError as error:  # tried again after the next insert; a replay skips what was applied
            log.warning("log segment not deleted", error=str(error))

    def _append(self, batches: list[Batch], end: LogPosition) -> bool:
        """Append until it succeeds; False when told to stop meanwhile."""
        while True:
            try:
                self._try_append(batches, end)
            except Exception as error:  # noqa: BLE001  (if this thread died, every request would be refused for ever)
                if not self._wait_to_retry(error):
                    return False
            else:
                self.failure = None
                return True

    def _try_append(self, batches: list[Batch], end: LogPosition) -> None:
        try:
            with self._telemetry.insert_seconds.time():
                appended = self._store.append(concatenate(batches), end)
        except UnstorableError:
            replay(self._log.folder, self._store, self._telemetry, through=end)
        else:
            self._telemetry.count(appended)

    def _wait_to_retry(self, error: Exception) -> bool:
        self.failure = str(error)
        self._telemetry.insert_failures.inc()
        log.error("insert failed, will be tried again", error=str(error))
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, _RETRY_S)
            return not self._stopping
