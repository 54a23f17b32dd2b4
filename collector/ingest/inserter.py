"""From the durable log into the store: few large transactions, since durability no longer waits for them.

While the store fails, nothing is kept in memory for it: what is delivered is in the log, and is read from there once
the store works again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import structlog

from collector import tracing
from collector.decode.decoder import concatenate
from collector.errors import StoreError, UnstorableError
from collector.ingest.replay import GROUP_BYTES, replay
from collector.pauses import growing_pauses

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.ingest.budget import ByteBudget
    from collector.ingest.requests import Accepted
    from collector.log import DurableLog
    from collector.redaction import Redaction
    from collector.store.protocol import LogPosition, Store
    from collector.telemetry import Telemetry

_ROW_GROUP = 122_880  # DuckDB's: one thread fills one, so an insert of whole ones leaves no thread with a rest
_MOST_ROW_GROUPS = 4
_MOST_BYTES = 128 * 1024 * 1024  # of requests: a transaction must fit the store's memory, however long the values are
_LONGEST_WAIT_S = 0.5  # what a query may lag behind the acknowledgement, beside the insert itself
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0  # a disk that has room again is noticed within this
_LESS = 8  # a transaction that fails is tried with an eighth next: it may be its size that does not fit

log = structlog.get_logger(__name__)


class Inserter:
    """The thread that applies accepted requests to the store, in order, and frees the log behind them.

    ``failure`` is what keeps the store from being written, or None. ``forget`` hears the digest of each request that
    the store refuses for good.
    """

    def __init__(  # noqa: PLR0913  (what the pipeline has, by name)
        self,
        store: Store,
        durable_log: DurableLog,
        budget: ByteBudget,
        telemetry: Telemetry,
        *,
        keep_log: bool = False,
        forget: Callable[[bytes], None] | None = None,
        redaction: Redaction | None = None,
    ) -> None:
        self._store = store
        self._log = durable_log
        self._budget = budget
        self._telemetry = telemetry
        self._keep_log = keep_log
        self._forget = forget
        self._redaction = redaction
        self._waiting: deque[Accepted] = deque()
        self._changed = threading.Condition()
        self._rows = 0
        self._applied = self._delivered = store.log_position()
        self._stopping = False
        self._until = float("inf")
        self._thread = threading.Thread(target=self._run, name="insert", daemon=True)
        self.failure: str | None = None

    def start(self) -> None:
        """Begin to insert."""
        self._thread.start()

    def stop(self, timeout_s: float = float("inf")) -> None:
        """Insert what was delivered, unless the store fails or time runs out, and end; the log keeps the rest."""
        with self._changed:
            self._stopping = True
            self._until = time.monotonic() + timeout_s
            self._changed.notify_all()
        self._thread.join()

    def deliver(self, accepted: Accepted) -> None:
        """Take requests that are durable; calls come in the order of the log."""
        with self._changed:
            self._delivered = accepted.end
            if self.failure is None:
                self._waiting.append(accepted)
                self._rows += sum(batch.rows for batch in accepted.batches)
            else:
                self._budget.park(accepted.size)
            self._changed.notify_all()

    def wait_applied(self, position: LogPosition, timeout_s: float) -> bool:
        """Wait until the store has everything before a position; False when that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._applied >= position, timeout_s)

    def _run(self) -> None:
        while taken := self._take():
            try:
                with tracing.working("insert", (origin for accepted in taken for origin in accepted.origins)):
                    self._append(taken)
            except Exception as error:  # noqa: BLE001  (if this thread died, every request would be refused for ever)
                self._park(taken, error)
                if not self._recover(error):
                    return  # stopping: the log still has all of it

    def _take(self) -> list[Accepted]:
        """Wait for work, then a little longer for more of it; an empty list when stopping."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            self._changed.wait_for(lambda: self._rows >= _ROW_GROUP or self._stopping, _LONGEST_WAIT_S)
            most = max(min(self._rows // _ROW_GROUP, _MOST_ROW_GROUPS), 1) * _ROW_GROUP
            taken: list[Accepted] = []
            rows = size = 0
            while self._waiting and rows < most and size < _MOST_BYTES and time.monotonic() < self._until:
                taken.append(self._waiting.popleft())
                size += taken[-1].size
                rows += sum(batch.rows for batch in taken[-1].batches)
            self._rows -= rows
            return taken

    def _append(self, taken: list[Accepted]) -> None:
        with self._telemetry.insert_seconds.time():
            appended = self._store.append(
                concatenate([batch for accepted in taken for batch in accepted.batches]), taken[-1].end
            )
        self._telemetry.count(appended)
        self._budget.give_back(sum(accepted.size for accepted in taken))
        with self._changed:
            self._applied = taken[-1].end
            self._changed.notify_all()
        self._free_log(taken[-1].end)

    def _free_log(self, applied: LogPosition) -> None:
        if self._keep_log:
            return
        try:
            self._log.delete_before(applied)
        except OSError as error:  # tried again after the next insert; a replay skips what was applied
            log.warning("log segment not deleted", error=str(error))

    def _park(self, taken: list[Accepted], error: Exception) -> None:
        """Leave to the log what waits and what will come."""
        with self._changed:
            self.failure = str(error)
            self._budget.park(sum(accepted.size for accepted in (*taken, *self._waiting)))
            self._waiting.clear()
            self._rows = 0

    def _recover(self, error: Exception) -> bool:
        """Try until all that was delivered is stored, in pauses that grow; False when told to stop meanwhile.

        Always from the log on, and from the position in the store: only that says which transaction took place.
        """
        pauses, group_bytes = growing_pauses(_FIRST_PAUSE_S, _LONGEST_PAUSE_S), GROUP_BYTES
        while isinstance(error, UnstorableError) or not self._stops_within(self._note_failure(error, next(pauses))):
            try:
                while not self._is_caught_up(group_bytes):
                    pass
            except Exception as again:  # noqa: BLE001  (as above)
                error = again if not isinstance(again, UnstorableError) else StoreError(str(again))
                group_bytes = max(group_bytes // _LESS, 1)
            else:
                return True
        return False

    def _is_caught_up(self, group_bytes: int) -> bool:
        """Store what was delivered by now; whether nothing came meanwhile, and all is as usual again."""
        end = self._delivered
        options: Any = {"through": end, "group_bytes": group_bytes, "forget": self._forget}
        for step in replay(self._log.folder, self._store, self._telemetry, redaction=self._redaction, **options):
            self._budget.unpark(step.size)
            self._free_log(step.end)
            if time.monotonic() > self._until:
                raise TimeoutError("The collector stops; the next start stores the rest of its log.")
        with self._changed:
            self._applied = end
            if self._delivered == end:
                self.failure = None
                self._budget.unpark()
            self._changed.notify_all()
            return self.failure is None

    def _note_failure(self, error: Exception, pause: float) -> float:
        self.failure = str(error)
        self._telemetry.insert_failures.inc()
        log.error("insert failed, will be tried again", error=str(error), pause_s=pause)
        return pause

    def _stops_within(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._stopping, seconds)
