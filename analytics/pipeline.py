"""Analyses minutes as they settle, in a thread of the collector, and keeps what adds up."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl
import structlog
from prometheus_client import Counter, Histogram

from analytics.hours import HourKeeper
from analytics.options import Options
from analytics.rollups import merge_rollups
from analytics.windows import read_resources, roll_up_window
from collector import tracing
from collector.errors import StoreError
from collector.giving_way import give_way
from collector.store.protocol import HORIZON_NS, TraceWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from analytics.alerts.watch import AlertWatch
    from collector.store.protocol import Store, Touched

_TICK_S = 5.0
_SETTLE_S = 20.0  # SDKs export every 5 s, and their requests may be retried for 10
_LONGEST_S = 120.0  # a minute that never rests is analysed all the same; one that is live rests after some 90
_MINUTE_NS = 60 * 10**9
_MOST_SPANS = 400_000  # at once: 390 MB, measured from the store to the rollups
_MOST_LAG_S = 120.0
_LEAST_KEPT = 1 / 64
_AGAIN_S = 10.0  # of what is analysed again at a time: what has just settled does not wait longer
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_TOO_LATE = "Spans and points of minutes that are not analysed again: retention has deleted others of them."

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Minute:
    """When a waiting minute got its first and its last span since it was analysed; seconds of the clock."""

    since: float
    touched: float


class MinutePipeline:
    """Keeps the rollups of a store up to date, and the judgements of its hours.

    ``lag_s`` is how long the longest waiting minute could have been analysed, ``kept`` the share of traces looked at,
    ``too_late`` counts the spans and points of minutes that are not analysed again. ``first_waiting`` is the oldest
    minute (since 1970) that waits, None when none does.
    """

    def __init__(
        self,
        store: Store,
        options: Options | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        watch: AlertWatch | None = None,
    ) -> None:
        self._store = store
        self._options = options or Options()
        self._clock = clock
        self._watch = watch
        self._minutes: dict[int, _Minute] = {}
        self._hours = HourKeeper(store, self._options, clock=clock)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="analysis", daemon=True)
        self.lag_s = 0.0
        self.kept = 1.0
        self.first_waiting: int | None = None
        self._again: dict[int, int] = {}
        self._changing = threading.Lock()
        self.too_late = Counter("lithoscope_analysis_too_late", _TOO_LATE, registry=None)
        self.seconds = Histogram(
            "lithoscope_analysis_seconds", "Analysing minutes that follow each other.", buckets=_SECONDS, registry=None
        )

    def start(self) -> None:
        """Begin, with what waited when the collector stopped."""
        self._thread.start()

    def stop(self) -> None:
        """End after the running step."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        give_way()
        pl.DataFrame({"": [1]}).lazy().select(pl.col("").sum()).collect()  # Polars' threads, too, which it starts now
        while not self._stopping.is_set():
            try:
                done = self.step()
                if self.lag_s <= _MOST_LAG_S:  # what is behind comes first
                    done += self._hours.step(self._stopping.is_set)
                    done += self.step_again()
                self._tell(is_news=done > 0)
            except StoreError as error:
                log.error("analysis failed, will be tried again", error=str(error))  # noqa: TRY400
            self._stopping.wait(_TICK_S)

    def _tell(self, *, is_news: bool) -> None:
        if self._watch is None:
            return
        try:
            self._watch.step(is_news=is_news)
        except StoreError:
            raise
        except Exception:  # a defect of ours must not end the thread that keeps the rollups
            log.exception("alerts not looked at, will be tried again")

    def step(self) -> int:
        """Analyse the minutes that have settled; return how many."""
        touched = self._store.touch_minutes(HORIZON_NS)
        self._note(touched)
        self.too_late.inc(touched.too_late)
        self._adapt(touched.pending)
        self.first_waiting = min(touched.pending, default=None)
        done: set[int] = set()
        for batch in _batches(self._settled(touched.pending), touched.pending):
            if self._stopping.is_set():
                break
            done.update(self._try_analyse(batch, touched.pending))
            self.first_waiting = min(touched.pending.keys() - done, default=None)
        return len(done)

    def again(self, minutes: Mapping[int, int]) -> None:
        """Analyse minutes again as well, with about so many spans, when nothing else waits; from any thread."""
        with self._changing:
            self._again = dict(sorted((self._again | dict(minutes)).items()))

    @property
    def waiting_again(self) -> int:
        """How many minutes still wait for that."""
        return len(self._again)

    def step_again(self) -> int:
        """Analyse some of the minutes that are to be analysed again, for some seconds; return how many."""
        began, count = self._clock(), 0
        # What waits since spans came is analysed anyway, once it has settled.
        asked = {minute: spans for minute, spans in self._again.items() if minute not in self._minutes}
        for batch in _batches(list(asked), asked):
            if self._stopping.is_set() or self.kept < 1 or self._clock() - began >= _AGAIN_S:
                break
            count += len(self._try_analyse(batch, asked))
            self._forget(batch)
        self._forget(list(self._again.keys() & self._minutes.keys()))
        return count

    def _forget(self, minutes: Collection[int]) -> None:
        with self._changing:
            self._again = {minute: spans for minute, spans in self._again.items() if minute not in minutes}

    def _try_analyse(self, minutes: list[int], pending: Mapping[int, int]) -> list[int]:
        try:
            with self.seconds.time(), tracing.analysing(len(minutes)):
                self._analyse(minutes, pending)
        except StoreError:
            raise
        except Exception:  # a defect of ours must not keep the other minutes waiting
            log.exception("minutes not analysed, will be tried again", first=minutes[0], last=minutes[-1])
            self._minutes |= {minute: _Minute(self._clock(), self._clock()) for minute in minutes}
            return []
        return minutes

    def _note(self, touched: Touched) -> None:
        now = self._clock()
        for minute in touched.now:
            self._minutes.setdefault(minute, _Minute(now, now)).touched = now

    def _settled(self, pending: Mapping[int, int]) -> list[int]:
        """Those that rest, and those that have not rested for long; what waits from before a restart rests."""
        return [minute for minute in pending if self._is_settled(minute, self._clock())]

    def _is_settled(self, minute: int, now: float) -> bool:
        state = self._minutes.get(minute)
        return state is None or now - state.touched >= _SETTLE_S or now - state.since >= _LONGEST_S

    def _adapt(self, pending: Mapping[int, int]) -> None:
        """Look at fewer traces when the analysis falls behind, and at more when it has caught up.

        Behind is not old: what is imported, or waited through a restart, may be of any age.
        """
        touched = [self._minutes[minute].touched for minute in pending if minute in self._minutes]
        self.lag_s = max(0.0, self._clock() - min(touched, default=self._clock()) - _SETTLE_S)
        if self.lag_s > _MOST_LAG_S:
            self.kept = max(self.kept / 2, _LEAST_KEPT)
        elif self.lag_s < _MOST_LAG_S / 2:
            self.kept = min(self.kept * 2, 1.0)

    def _analyse(self, minutes: list[int], pending: Mapping[int, int]) -> None:
        spans = sum(pending[minute] for minute in minutes)
        window = TraceWindow(minutes[0] * _MINUTE_NS, (minutes[-1] + 1) * _MINUTE_NS)
        parts = max(-(-spans // _MOST_SPANS), round(1 / self.kept))
        taken = max(round(parts * self.kept), 1)
        rolled = [
            roll_up_window(self._store, replace(window, part=part, parts=parts), self._options, taken / parts)
            for part in range(taken)
        ]
        rollups = merge_rollups(rolled) | {"rollup_resources": read_resources(self._store, window, self._options)}
        self._store.finish_minutes(minutes, {name: frame.to_arrow() for name, frame in rollups.items()})
        for minute in minutes:
            self._minutes.pop(minute, None)


def _batches(minutes: list[int], pending: Mapping[int, int]) -> Iterator[list[int]]:
    """Minutes that follow each other and are not too much together: one read and one transaction for all."""
    batch: list[int] = []
    spans = 0
    for minute in minutes:
        if batch and (minute != batch[-1] + 1 or spans + pending[minute] > _MOST_SPANS):
            yield batch
            batch, spans = [], 0
        batch.append(minute)
        spans += pending[minute]
    if batch:
        yield batch
