"""Which minutes' traces got spans: by the traces of each minute, kept in memory, so that only new spans are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from collector.store.clock import storable
from collector.store.sql import statement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import duckdb

_MINUTE_NS = 60 * 10**9
_MOST_TRACES = 8_000_000  # 64 MB; ten minutes of 70,000 spans a second, in traces of ten spans, are half of it
_OF_A_MINUTE = 40  # what an empty minute takes, as traces
_MOST_RUNS = 16  # of minutes in a row: of more, all between the first and the last is read at once


class TraceMinutes:
    """Knows the traces of the minutes that spans come for; of others it asks the store, once.

    A trace is known by 64 bits of its id. Two that share them, one in 10^7 days at 70,000 spans a second, may leave a
    minute unanalysed until its next span. ``sql`` is the statement that asks the store.
    """

    def __init__(self, sql: str | None = None) -> None:
        self._sql = sql or statement("traces_of_minutes")
        self._traces: dict[int, Any] = {}

    def find(
        self, cursor: duckdb.DuckDBPyConnection, since: datetime, fresh: dict[str, Any], horizon_ns: int
    ) -> dict[int, int]:
        """Return the minutes that the traces of ``fresh`` touch, and how many of its spans belong to each.

        ``fresh`` has arrays ``trace``, ``minute`` (of the earliest fresh span) and ``spans``; what was received until
        ``since`` is what a trace may have begun with. A fresh span before all that its trace had moves the trace to
        another minute: both are touched.
        """
        reach = -(-horizon_ns // _MINUTE_NS)
        self._load(cursor, np.unique(fresh["minute"]), reach, since)
        minutes, counts = [], []
        for minute, traces, spans in _by_minute(fresh):
            had = self._first_minutes(traces, minute, reach)
            minutes += [np.minimum(had, minute), had[had > minute]]
            counts += [spans, np.zeros((had > minute).sum(), np.int64)]
        if not minutes:
            return {}
        touched, place = np.unique(np.concatenate(minutes), return_inverse=True)
        sums = np.bincount(place, np.concatenate(counts), len(touched)).astype(np.int64)
        return dict(zip(touched.tolist(), sums.tolist(), strict=True))

    def _first_minutes(self, traces: Any, minute: int, reach: int) -> Any:
        """Return for each trace the first minute around this one in which it had a span; this one for none."""
        found = np.full(len(traces), minute, np.int64)
        unknown = np.arange(len(traces))
        for other in range(minute - reach, minute + reach + 1):
            known = self._traces[other]
            if len(known) and len(unknown):
                place = np.searchsorted(known, traces[unknown])
                has = known[np.minimum(place, len(known) - 1)] == traces[unknown]
                found[unknown[has]] = other
                unknown = unknown[~has]
        return found

    def _load(self, cursor: duckdb.DuckDBPyConnection, minutes: Any, reach: int, since: datetime) -> None:
        """Ask the store for what is around these minutes and not known, and make these the latest used."""
        needed = np.unique(minutes[:, None] + np.arange(-reach, reach + 1))
        none = np.empty(0, np.uint64)
        used = {minute: self._traces.pop(minute, none) for minute in needed.tolist() if minute in self._traces}
        missing = np.setdiff1d(needed, list(used))
        used |= dict.fromkeys(missing.tolist(), none)
        for begin, end in _runs(missing):
            limits = {"begin": storable(begin * _MINUTE_NS), "end": storable(end * _MINUTE_NS)}
            rows = cursor.execute(self._sql, limits | {"since": since}).fetchnumpy()
            stored = _by_minute(rows | {"spans": rows["trace"]})
            used |= {minute: traces for minute, traces, _ in stored if minute in used}
        self._traces |= used

    def add(self, fresh: dict[str, Any]) -> None:
        """Remember that these traces had spans in these minutes, and forget what was used longest ago."""
        for minute, traces, _ in _by_minute(fresh):
            self._traces[minute] = np.union1d(self._traces[minute], traces)
        size = sum(map(len, self._traces.values())) + _OF_A_MINUTE * len(self._traces)
        for minute in list(self._traces):
            if size <= _MOST_TRACES:
                return
            size -= len(self._traces.pop(minute)) + _OF_A_MINUTE


def _runs(minutes: Any) -> list[tuple[int, int]]:
    """Return the stretches of minutes that follow each other, as [begin, end)."""
    if not len(minutes):
        return []
    breaks = np.flatnonzero(np.diff(minutes) > 1)
    if len(breaks) >= _MOST_RUNS:
        return [(int(minutes[0]), int(minutes[-1]) + 1)]
    starts, ends = minutes[[0, *(breaks + 1)]], minutes[[*breaks, -1]] + 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _by_minute(rows: dict[str, Any]) -> Iterator[tuple[int, Any, Any]]:
    """Yield each minute with its traces, sorted, and their spans."""
    order = np.lexsort((rows["trace"], rows["minute"]))
    minutes, first = np.unique(rows["minute"][order], return_index=True)
    bounds = [*first.tolist(), len(order)]
    for minute, begin, end in zip(minutes.tolist(), bounds, bounds[1:], strict=False):
        yield minute, rows["trace"][order[begin:end]], rows["spans"][order[begin:end]]
