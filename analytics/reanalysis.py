"""Stored minutes and hours analysed again, by the functions of the pipeline: a task a minute, wherever it runs.

The process that holds the store reads, and replaces what is kept; only what lies between goes to workers. All rows of a
table are sorted, so what is kept does not depend on who worked when.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.hours import HOUR_NS, judge_read, keep_hour, read_hour
from analytics.pools import OneProcess, Task
from analytics.rollups import merge_rollups
from analytics.source import stored_minutes, traces_of
from analytics.windows import MINUTE_NS, read_resources, roll_up_traces
from collector.store.protocol import HORIZON_NS, TraceWindow
from collector.units import format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from analytics.hours import Hour
    from analytics.options import Options
    from analytics.pools import Pool
    from collector.store.protocol import Store

MOST_SPANS = 400_000
"""Read at once, as in the pipeline; a minute of more is analysed in parts."""
_HOUR_MINUTES = HOUR_NS // MINUTE_NS


@dataclass(slots=True)
class Outcome:
    """What was done, and in words what was not: what is kept of that is as it was."""

    minutes: int = 0
    spans: int = 0
    hours: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Common:
    """What all tasks need: sent to each worker once."""

    resources: pa.Table
    options: Options


@dataclass(frozen=True, slots=True)
class _Batch:
    """Minutes of an hour that follow each other, read together and replaced in one transaction."""

    minutes: tuple[int, ...]
    spans: int

    @property
    def parts(self) -> int:
        """How many tasks a minute is; more than one only when the batch is a single minute."""
        return max(-(-self.spans // MOST_SPANS), 1)

    @property
    def window(self) -> TraceWindow:
        """The time it is about."""
        return TraceWindow(self.minutes[0] * MINUTE_NS, (self.minutes[-1] + 1) * MINUTE_NS)


def analyse_again(
    store: Store, window: TraceWindow, options: Options, pool: Pool, tell: Callable[[int, int], None] | None = None
) -> Outcome:
    """Replace what is kept of a window's minutes, and of their hours, by what their spans and metrics say now.

    The store must be this process's alone. Minutes of which retention has deleted stay as they are. ``tell`` hears how
    many of how many minutes are done.
    """
    store.touch_minutes(HORIZON_NS)  # what came last is no longer new once it is analysed
    return _analyse(store, stored_minutes(store, window), options, pool, tell)


def analyse_waiting(store: Store, options: Options, tell: Callable[[int, int], None] | None = None) -> Outcome:
    """Analyse the minutes that got spans or points since they were analysed, and their hours; else as above."""
    pending = store.touch_minutes(HORIZON_NS).pending
    return _analyse(store, dict(sorted(pending.items())), options, OneProcess(), tell)


def _analyse(
    store: Store, counts: dict[int, int], options: Options, pool: Pool, tell: Callable[[int, int], None] | None
) -> Outcome:
    """Analyse minutes with about so many spans each."""
    batches = list(_batches(counts))
    common = _Common(store.resources(), replace(options, alerts=()))
    outcome = Outcome(spans=sum(counts.values()))
    kept = _Keeper(store, options, batches, outcome)
    for done in pool.run(_minute_tasks(store, batches), common):
        kept.take(done.key, done.result, done.failure)
        if tell is not None:
            tell(outcome.minutes, len(counts))
    hours = sorted({minute // _HOUR_MINUTES for minute in counts} & set(store.pending_hours()))
    for done in pool.run(_hour_tasks(store, hours, options), common):
        if done.failure is None:
            keep_hour(store, done.key, done.result)
            outcome.hours += 1
        else:
            outcome.failures.append(f"hour {_time(done.key * _HOUR_MINUTES)}: {done.failure}")
    return outcome


def _batches(counts: dict[int, int]) -> Iterator[_Batch]:
    minutes: list[int] = []
    spans = 0
    for minute, count in counts.items():
        is_other = minutes and (minute != minutes[-1] + 1 or minute % _HOUR_MINUTES == 0)
        if minutes and (is_other or spans + count > MOST_SPANS):
            yield _Batch(tuple(minutes), spans)
            minutes, spans = [], 0
        minutes.append(minute)
        spans += count
    if minutes:
        yield _Batch(tuple(minutes), spans)


def _minute_tasks(store: Store, batches: Sequence[_Batch]) -> Iterator[Task]:
    """A task for each minute of a batch, keyed by the batch's place and the minute; for a long minute one each part.

    What comes next is read meanwhile, so that workers do not wait for the store.
    """
    reads = [
        (place, batch.minutes, replace(batch.window, part=part, parts=batch.parts))
        for place, batch in enumerate(batches)
        for part in range(batch.parts)
    ]
    with ThreadPoolExecutor(1, thread_name_prefix="reading") as reader:
        following = reader.submit(store.traces_within, reads[0][2]) if reads else None
        for number, (place, minutes, _) in enumerate(reads, start=1):
            rows = following.result() if following else None
            following = reader.submit(store.traces_within, reads[number][2]) if number < len(reads) else None
            for minute, of_minute in _by_minute(rows, minutes):
                yield Task((place, minute), roll_up_rows, (of_minute,))


def _by_minute(rows: pa.Table, minutes: Sequence[int]) -> Iterator[tuple[int, pa.Table]]:
    """Split the rows of traces by the minutes in which they begin."""
    frame = pl.DataFrame(
        {
            "trace": pl.Series(pl.from_arrow(rows.column("trace_id"))),
            "start": pl.from_arrow(rows.column("start_unix_nano")),
        }
    )
    minute = frame.select(pl.col("start").min().over("trace") // MINUTE_NS).to_series()
    for number in minutes:
        # Filtered, not sliced: a slice is sent with all that it is a slice of.
        yield number, rows.filter((minute == number).to_arrow())


def roll_up_rows(common: _Common, rows: pa.Table) -> dict[str, pa.Table]:
    """Return ROLLUPS of one minute's traces, sorted."""
    rollups = roll_up_traces(traces_of(rows, common.resources), common.options)
    return {name: _sorted(frame).to_arrow() for name, frame in rollups.items()}


def judge_hour_read(common: _Common, hour: Hour) -> dict[str, pl.DataFrame]:
    """Return HOUR_INDEX and HOUR_FINDINGS of an hour."""
    return judge_read(hour, common.resources, common.options)


def _hour_tasks(store: Store, hours: Sequence[int], options: Options) -> Iterator[Task]:
    for number in hours:
        yield Task(number, judge_hour_read, (read_hour(store, number, options),))


class _Keeper:
    """Gathers what the minutes of a batch come to, and replaces what is kept of them when all are there."""

    def __init__(self, store: Store, options: Options, batches: Sequence[_Batch], outcome: Outcome) -> None:
        self._store = store
        self._options = options
        self._batches = batches
        self._outcome = outcome
        self._missing = Counter({place: len(batch.minutes) * batch.parts for place, batch in enumerate(batches)})
        self._found: dict[int, dict[int, list[dict[str, pl.DataFrame]]]] = {}

    def take(self, key: tuple[int, int], tables: dict[str, pa.Table] | None, failure: str | None) -> None:
        """Take what one task came to."""
        place, minute = key
        found = self._found.setdefault(place, {}).setdefault(minute, [])
        if tables is None:
            self._outcome.failures.append(f"minute {_time(minute)}: {failure}")
        else:
            found.append({name: pl.DataFrame(pl.from_arrow(table)) for name, table in tables.items()})
        self._missing[place] -= 1
        if not self._missing[place]:
            self._keep(self._batches[place], self._found.pop(place))

    def _keep(self, batch: _Batch, found: dict[int, list[dict[str, pl.DataFrame]]]) -> None:
        whole = {minute: parts for minute, parts in found.items() if len(parts) == batch.parts}
        if not whole:
            return
        minutes = sorted(whole)
        # Parts come in any order, in which floats would add up differently.
        merged = [merge_rollups(sorted(whole[minute], key=_order)) for minute in minutes]
        tables: dict[str, Any] = {
            name: _sorted(pl.concat([rollups[name] for rollups in merged])).to_arrow() for name in merged[0]
        }
        use = read_resources(self._store, batch.window, self._options)
        tables["rollup_resources"] = _sorted(use.filter(pl.col("minute").is_in(minutes))).to_arrow()
        self._store.finish_minutes(minutes, tables)
        self._outcome.minutes += len(minutes)


def _order(rollups: dict[str, pl.DataFrame]) -> Any:
    """Something that tells the parts of a minute apart: which traces they are of."""
    windows = rollups["rollup_windows"]
    return windows.select("traces", "spans", "begin_unix_nano", "end_unix_nano").rows()


def _sorted(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort(frame.columns, nulls_last=True, maintain_order=True)


def _time(minute: int) -> str:
    return f"{format_time(minute * MINUTE_NS)[:16]}Z"
