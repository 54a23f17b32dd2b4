"""What a store must do; the conformance suite in ``tests/collector/store`` runs on every implementation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from collector.position import LogPosition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from threading import Event

    import pyarrow as pa

    from collector.batch import Batch

__all__ = ["Appended", "LogPosition", "QueryLimits", "Snapshot", "Store", "Usage"]


@dataclass(frozen=True, slots=True)
class Appended:
    """What one append did: rows that are new, and spans that were already stored."""

    stored: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Bounds of one query; a query that goes over one ends with ``QueryError`` and leaves the store as it was."""

    seconds: float = 30.0
    rows: int = 1_000_000
    bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """What the store takes on disk, and how much of it is free for new rows, in bytes.

    ``live_bytes`` are those of ``used_bytes`` that rows take which are not deleted, about. Deleted rows give their
    space back in steps of about ``step_bytes``; 0 when that would be all there is.
    """

    used_bytes: int
    free_bytes: int
    live_bytes: int
    step_bytes: int


HORIZON_NS = 10 * 60 * 10**9
"""How far a trace may reach from its earliest span: ten minutes bound what one minute's analysis reads."""


@dataclass(frozen=True, slots=True)
class TraceWindow:
    """The traces whose earliest span starts in [begin, end), Unix nanoseconds.

    A trace is looked for within ``horizon`` around that: what starts earlier or later is not part of it. ``part`` of
    ``parts`` takes a share of the traces, by a hash of their ids, for when all are too many at once.
    """

    begin: int
    end: int
    horizon: int = HORIZON_NS
    part: int = 0
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Touched:
    """Minutes (since 1970) that wait to be analysed.

    ``pending`` has about how much there is to read for each: the spans of its traces, those in later minutes included,
    and the points of metrics that came; oldest minute first. ``now`` are the ones that got any since last asked for,
    ``too_late`` is how many spans and points have come since then for minutes that do not wait, being final.
    """

    pending: dict[int, int]
    now: frozenset[int]
    too_late: int = 0


@dataclass(frozen=True, slots=True)
class RolledMinutes:
    """What is kept of some minutes.

    ``environments`` has ``environment`` ("" for none), ``traces``, ``spans``, ``first_minute`` and ``last_minute``,
    those with most traces first. ``first_pending`` is the first of the minutes that waits to be analysed (again), None
    when none does. Spans that started before ``deleted_before``, Unix nanoseconds, may be gone; 0 when none is.
    """

    environments: pa.Table
    first_pending: int | None
    deleted_before: int = 0


@dataclass(frozen=True, slots=True)
class Buckets:
    """The minutes (since 1970) in [begin, end) in buckets of ``width`` minutes, from whole multiples of that on.

    ``types`` are those of nodes that are wanted, none means all. ``coarse``: of four buckets of latency one is made,
    which is 2.8 % off at most.
    """

    begin: int
    end: int
    width: int
    types: tuple[str, ...] = ()
    coarse: bool = False


class Snapshot(Protocol):
    """All that a store keeps, as of one moment."""

    @property
    def schema_version(self) -> int:
        """The version of the schema that the tables have."""

    def tables(self) -> Iterator[tuple[str, pa.RecordBatchReader]]:
        """Yield each table's name and rows, in no order; a table's rows must be read before the next."""


class Store(Protocol):
    """Keeps telemetry; safe to call from any thread, with one writer at a time.

    Durability: what ``append`` has returned survives a crash of the process; an append is visible as a whole, together
    with its log position, or not at all. Ownership: a store holds its file until ``close``; no connection leaves it.
    Emptiness: every view exists and every question has an answer (zero rows) before the first append.
    """

    def append(self, batch: Batch, through: LogPosition) -> Appended:
        """Store a batch once, and remember that the log is applied up to ``through``.

        A span that equals one of the last ten minutes in ids, kind, resource, start and duration is counted as a
        duplicate and left out. Raises ``StoreError`` when nothing of the batch was stored; the same call may then be
        made again, but for ``UnstorableError``: something in the batch is at fault, and it would fail again.
        """

    def log_position(self) -> LogPosition:
        """Return where the log must be read from after a restart."""

    def recent_requests(self) -> list[bytes]:
        """Return the digests of the requests that were appended within the last ten minutes, in no order."""

    def query(self, sql: str, limits: QueryLimits, stop: Event | None = None) -> pa.Table:
        """Answer one reading statement, in the statement's own order.

        Raises ``QueryError`` for anything but one SELECT, EXPLAIN or DESCRIBE, for wrong SQL, for a limit exceeded, and
        soon after somebody sets ``stop``. Never waits for ``append`` and never makes it wait.
        """

    def trace(self, trace_id: str) -> pa.Table:
        """Return the rows of the ``spans`` view of one trace by start time; no rows when it is unknown.

        ``trace_id`` is 32 hex digits in either case; anything else raises ``QueryError``.
        """

    def traces_within(self, window: TraceWindow) -> pa.Table:
        """Return the spans of a window's traces for the analysis, in no order.

        Columns: ``trace_id`` (16 bytes), ``span_id`` and ``parent_span_id`` (numbers, null at a root), ``resource_id``,
        ``span_name``, ``kind``, ``start_unix_nano``, ``duration_ns``, ``status_code``, ``trace_state``, the well-known
        attributes, and ``links`` (list of structs of ``trace_id`` and ``span_id`` as text; null for none).
        """

    def count_spans(self, begin: int, end: int) -> int:
        """Return how many spans start in [begin, end), Unix nanoseconds."""

    def points_within(self, begin: int, end: int, names: Sequence[str]) -> pa.Table:
        """Return the points of [begin, end), Unix nanoseconds, of metrics with these names, in no order.

        Columns of the view ``metrics``: ``time``, ``start_time``, ``service_name``, ``service_instance_id``,
        ``metric_name``, ``unit``, ``value``, ``aggregation_temporality``, ``is_monotonic``, ``attributes`` and
        ``resource_attributes``. Points without a value are left out.
        """

    def resources(self) -> pa.Table:
        """Return the view ``resources``: what describes each sender of telemetry, once."""

    def touch_minutes(self, horizon: int) -> Touched:
        """Find the minutes that got spans or points since the last call, and remember them until they are finished.

        ``horizon`` bounds a trace as in ``TraceWindow``. What is remembered survives a crash. A minute is final, and no
        longer waits, when something is kept of it and ``delete_before`` has been where its analysis would read.
        """

    def finish_minutes(self, minutes: Sequence[int], rollups: Mapping[str, pa.Table]) -> None:
        """Replace what is kept of these minutes by the rows of ``rollups`` and forget that they wait; all or nothing.

        ``rollups`` has a table for a ``rollup_`` table, with its columns; none means no rows. Minutes that are final by
        now stay as they are.
        """

    def rolled_minutes(self, begin: int, end: int) -> RolledMinutes:
        """Return what is kept of the minutes in [begin, end)."""

    def sum_rollups(self, begin: int, end: int, environment: str) -> Mapping[str, pa.Table]:
        """Return the ``rollup_`` tables of one environment ("" for none), added up over the minutes in [begin, end).

        All tables are of one moment. They have no column ``minute``, but for ``rollup_resources``, which does not add
        up. ``kept`` is the least, ``begin_unix_nano`` the first, ``end_unix_nano`` the last, ``protocol`` that of the
        minute with most calls.
        """

    def bucket_rollups(self, names: Sequence[str], buckets: Buckets, environment: str) -> Mapping[str, pa.Table]:
        """Return these ``rollup_`` tables as ``sum_rollups`` does, but added up by bucket.

        ``minute`` is the bucket's first; of ``rollup_resources``, which does not add up, it is the minute itself.
        ``rollup_paths`` has neither endpoints nor latency buckets: its columns ``namespace``, ``service``,
        ``operation`` and ``bucket`` are left out.
        """

    def pending_hours(self) -> list[int]:
        """Return the hours (since 1970) of which minutes were finished since they were judged, the latest first."""

    def finish_hour(self, hour: int, judged: Mapping[str, pa.Table] | None) -> None:
        """Replace what is kept of an hour by these rows and forget that it waits; all or nothing.

        ``judged`` has the tables ``hour_index`` and ``hour_findings``, with their columns; None keeps what there is. So
        does an hour of which ``delete_before`` has deleted, when what there is comes of more traces.
        """

    def judged_hours(self, begin: int, end: int, environment: str) -> Mapping[str, pa.Table]:
        """Return ``hour_index`` and ``hour_findings`` of the hours in [begin, end) of one environment ("" for none).

        Both are of one moment, in no order.
        """

    def delete_before(self, unix_nano: int, *, rows: int) -> int:
        """Delete at most about ``rows`` of the oldest spans, logs and points that started before a time.

        Returns how many were deleted; call again until it returns 0. Each call happens as a whole or not at all, and is
        remembered, so that what is kept of minutes outlives their spans. ``compact`` frees the space for new rows.
        """

    def delete_unused(self) -> None:
        """Delete the resources and scopes that no span, log or point refers to."""

    def compact(self) -> None:
        """Write everything to the file and free the space of deleted rows, but for those that a running query reads."""

    def time_at(self, share: float) -> int | None:
        """Return the time, in Unix nanoseconds, before which a share (0..1) of the rows lies; None when empty."""

    def usage(self) -> Usage:
        """Return what the store takes on disk."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Return all that is kept as of now, to be read inside the ``with`` block; nobody waits for that.

        ``collector.store.fill_store`` makes a store of it. What is deleted meanwhile takes its space until the end.
        """

    def close(self) -> None:
        """Finish the running append, write everything to the file and release it."""
