"""Which minutes the analysis has yet to look at, and what it keeps of each; a crash loses neither."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from collector.semconv import EVIDENCE, WELL_KNOWN
from collector.store.clock import storable
from collector.store.cursors import registered
from collector.store.hours import add_pending_hours
from collector.store.protocol import HORIZON_NS, RolledMinutes, Touched
from collector.store.sql import statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import duckdb

    from collector.store.protocol import Buckets, TraceWindow
    from collector.store.trace_minutes import TraceMinutes

ROLLUPS = (
    "rollup_windows",
    "rollup_endpoints",
    "rollup_latency",
    "rollup_paths",
    "rollup_nodes",
    "rollup_node_latency",
    "rollup_edges",
    "rollup_edge_latency",
    "rollup_resources",
)

HOURLY = {
    name: name.replace("rollup", "hourly")
    for name in ("rollup_latency", "rollup_paths", "rollup_node_latency", "rollup_edge_latency")
}
"""Where the sums of whole hours are kept, for the tables that have many rows a minute."""

_HOUR = 60  # minutes
_NO_SUMS = ("rollup_resources",)
_TOO_FINE = {"rollup_paths": ("namespace", "service", "operation", "bucket")}
"""Keys that rows of buckets do not have: with them those of a day's paths are millions."""
_TYPED = ("rollup_nodes", "rollup_node_latency")
_SAME = {"environment": "any_value({})"}
"""One environment is asked for: it need not be a key of every group."""
_COARSE = {"bucket": "(CASE WHEN {0} < 0 THEN {0} ELSE {0} // 4 * 4 + 1 END)::SMALLINT"}
"""Four buckets as their second one, which is 2.8 % off at most: a quarter of the rows, in half of the time."""
_SUMS = {"BIGINT": "sum({})::BIGINT", "DOUBLE": "sum({})"}
_MERGED_BY = {
    "kept": "min({})",
    "begin_unix_nano": "min({})",
    "end_unix_nano": "max({})",
    "protocol": "arg_max({}, calls)",
}
"""As ``analytics.schema.MERGED_BY`` has it."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """What arrived in (since, through]: its traces, and how much of it belongs to which minute."""

    through: datetime
    traces: dict[str, Any]
    late: dict[int, int]


def find_fresh(
    cursor: duckdb.DuckDBPyConnection, known: TraceMinutes, through: datetime, horizon_ns: int
) -> Fresh | None:
    """Return what arrived since the last call of ``touch_minutes``, all of it up to ``through``; None for nothing."""
    since = cursor.execute("SELECT received FROM store.analysed_through").fetchall()[0][0]
    if through <= since:
        return None
    window = {"since": since, "through": through}
    traces = cursor.execute(statement("fresh_traces"), window).fetchnumpy()
    late = Counter(known.find(cursor, since, traces, horizon_ns))
    late.update(dict(cursor.execute(statement("fresh_points"), window).fetchall()))
    return Fresh(through, traces, late)


def touch_minutes(cursor: duckdb.DuckDBPyConnection, fresh: Fresh | None, horizon_ns: int) -> Touched:
    """See ``Store.touch_minutes``; runs in a transaction of the caller's."""
    late = fresh.late if fresh else {}
    if fresh:
        cursor.execute("UPDATE store.analysed_through SET received = $through", {"through": fresh.through})
        given = {"minutes": list(late), "late": list(late.values())}
        cursor.execute(statement("add_pending_minutes"), given)
    pending = dict(cursor.execute("SELECT minute, spans FROM store.pending_minutes ORDER BY minute").fetchall())
    final = _final_minutes(cursor, list(pending), horizon_ns)
    return Touched(
        pending={minute: spans for minute, spans in pending.items() if minute not in final},
        now=frozenset(late) - final,
        too_late=_forget_minutes(cursor, final),
    )


def _final_minutes(cursor: duckdb.DuckDBPyConnection, numbers: list[int], horizon_ns: int) -> frozenset[int]:
    given = {"minutes": numbers, "horizon": horizon_ns}
    return frozenset(minute for (minute,) in cursor.execute(statement("final_minutes"), given).fetchall())


def _forget_minutes(cursor: duckdb.DuckDBPyConnection, numbers: frozenset[int]) -> int:
    """Return how many spans and points had come for them."""
    if not numbers:
        return 0
    minutes = {"minutes": list(numbers)}
    late: int = cursor.execute(statement("late_of_minutes"), minutes).fetchall()[0][0]
    cursor.execute(statement("delete_minutes", table="pending_minutes"), minutes)
    return late


def finish_minutes(cursor: duckdb.DuckDBPyConnection, numbers: Sequence[int], rollups: Mapping[str, pa.Table]) -> None:
    """See ``Store.finish_minutes``; runs in a transaction of the caller's."""
    final = _final_minutes(cursor, list(numbers), HORIZON_NS)
    numbers = [minute for minute in numbers if minute not in final]
    minutes = {"minutes": numbers}
    rollups = {name: _of_minutes(table, numbers) for name, table in rollups.items()} if final else rollups
    for name in ROLLUPS:
        cursor.execute(statement("delete_minutes", table=name), minutes)
        if name in rollups and rollups[name].num_rows:
            with registered(cursor, "incoming_rollup", rollups[name]):
                cursor.execute(statement("insert_rollup", table=name))
    _renew_hours(cursor, {minute // _HOUR * _HOUR for minute in numbers})
    cursor.execute(statement("delete_minutes", table="pending_minutes"), minutes)
    add_pending_hours(cursor, numbers)


def _of_minutes(table: pa.Table, numbers: Sequence[int]) -> pa.Table:
    return table.filter(pc.is_in(table.column("minute"), pa.array(numbers, pa.int64())))


def _renew_hours(cursor: duckdb.DuckDBPyConnection, touched: set[int]) -> None:
    """Add up the hours that are over by now, and again those that were and got other minutes."""
    latest = int(time.time() / 60) + _HOUR
    through, until = cursor.execute(statement("hours_through"), {"latest": latest}).fetchall()[0]
    again = sorted(hour for hour in touched if hour < through)
    if not again and until == through:
        return
    window = {"begin": min([through, *again]), "through": through, "until": until, "hours": again}
    for name, table in HOURLY.items():
        cursor.execute(statement("delete_minutes", table=table), {"minutes": again})
        columns = _merged_columns(cursor, name)
        cursor.execute(statement("fill_hours", table=name, hours=table, columns=columns), window)
    cursor.execute("UPDATE store.hours_through SET minute = $until", {"until": until})


def rolled_minutes(cursor: duckdb.DuckDBPyConnection, begin: int, end: int) -> RolledMinutes:
    """See ``Store.rolled_minutes``; runs in a transaction of the caller's."""
    window = {"begin": begin, "end": end}
    environments = cursor.sql(statement("rolled_environments"), params=window).to_arrow_table()
    pending, deleted_before = cursor.execute(statement("first_pending_minute"), window).fetchall()[0]
    return RolledMinutes(environments, pending, deleted_before)


def sum_rollups(cursor: duckdb.DuckDBPyConnection, begin: int, end: int, environment: str) -> dict[str, pa.Table]:
    """See ``Store.sum_rollups``; runs in a transaction of the caller's."""
    window = {"begin": begin, "end": end, "environment": environment} | _whole_hours(cursor, begin, end)
    tables = {}
    for name in ROLLUPS:
        # Tables without hours are read by minutes all the same: their rows of whole hours are the minutes'.
        hours, columns = HOURLY.get(name, name), _merged_columns(cursor, name)
        sql = statement("sum_rollup", table=name, hours=hours, columns=columns)
        tables[name] = cursor.sql(sql, params=window).to_arrow_table()
    return tables


def bucket_rollups(
    cursor: duckdb.DuckDBPyConnection, names: Sequence[str], buckets: Buckets, environment: str
) -> dict[str, pa.Table]:
    """See ``Store.bucket_rollups``; runs in a transaction of the caller's."""
    begin, end = buckets.begin, buckets.end
    by_hours = buckets.width % _HOUR == 0
    hours = _whole_hours(cursor, begin, end) if by_hours else {"first_hour": end, "last_hour": end}
    params = {"begin": begin, "end": end, "environment": environment} | hours
    tables = {}
    for name in names:
        how = _SAME | (_COARSE if buckets.coarse else {})
        columns = _merged_columns(cursor, name, ("minute", *_TOO_FINE.get(name, ())), how)
        typed = bool(buckets.types) and name in _TYPED
        sql = statement(
            "bucket_rollup",
            table=name,
            hours=HOURLY.get(name, name),
            columns=columns,
            condition="list_contains($types, type)" if typed else "true",
        )
        own = {"width": 1 if name in _NO_SUMS else buckets.width} | ({"types": list(buckets.types)} if typed else {})
        tables[name] = cursor.sql(sql, params=params | own).to_arrow_table()
    return tables


def _whole_hours(cursor: duckdb.DuckDBPyConnection, begin: int, end: int) -> dict[str, int]:
    """Return the hours between two minutes that are added up, from the first to the end of the last."""
    through = cursor.execute("SELECT minute FROM store.hours_through").fetchall()[0][0]
    first, last = -(-begin // _HOUR) * _HOUR, min(end // _HOUR * _HOUR, through)
    return {"first_hour": first, "last_hour": last} if first < last else {"first_hour": end, "last_hour": end}


def _merged_columns(
    cursor: duckdb.DuckDBPyConnection,
    table: str,
    without: Sequence[str] = (),
    coarse: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return how the columns of a rollup are merged over minutes: numbers add up, all else is a key."""
    found = cursor.execute(statement("rollup_columns", table=table)).fetchall()
    columns = [(name, kind) for name, kind in found if name not in without]
    if table in _NO_SUMS:
        return ", ".join(name for name, _ in columns)
    merged = {
        name: coarse.get(name) or _MERGED_BY.get(name, _SUMS.get(kind, "{}"))
        for name, kind in columns
        if name != "minute"
    }
    return ", ".join(f"{how.format(name)} AS {name}" for name, how in merged.items())


def trace_limits(window: TraceWindow) -> dict[str, int]:
    """Return the parameters of ``select_traces``."""
    times = {
        "begin": window.begin,
        "end": window.end,
        "first": window.begin - window.horizon,
        "last": window.end + window.horizon,
    }
    return {name: storable(time) for name, time in times.items()} | {"part": window.part, "parts": window.parts}


def select_traces() -> str:
    """Return the statement that reads the traces of a window, with the attributes that the analysis knows."""
    columns = ",\n    ".join(known.column for known in WELL_KNOWN)
    return statement("traces_within", well_known=columns, **{name: _first_of(keys) for name, keys in EVIDENCE.items()})


def _first_of(keys: tuple[str, ...]) -> str:
    found = ", ".join(f"attributes['{key}']" for key in keys)
    return f"coalesce({found})"
