"""Which hours the analysis has yet to judge, and what it keeps of each; a crash loses neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.store.cursors import registered
from collector.store.sql import statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb
    import pyarrow as pa

HOURS = ("hour_index", "hour_findings")


def add_pending_hours(cursor: duckdb.DuckDBPyConnection, minutes: Sequence[int]) -> None:
    """Remember the hours of these minutes; runs in a transaction of the caller's."""
    cursor.execute(statement("add_pending_hours"), {"minutes": list(minutes)})


def pending_hours(cursor: duckdb.DuckDBPyConnection) -> list[int]:
    """See ``Store.pending_hours``."""
    return [hour for (hour,) in cursor.execute("SELECT hour FROM store.pending_hours ORDER BY hour DESC").fetchall()]


def finish_hour(cursor: duckdb.DuckDBPyConnection, hour: int, judged: Mapping[str, pa.Table] | None) -> None:
    """See ``Store.finish_hour``; runs in a transaction of the caller's."""
    number = {"hour": hour}
    if judged and _says_less(cursor, hour, judged["hour_index"]):
        judged = None
    for name in HOURS if judged is not None else ():
        cursor.execute(statement("delete_hour", table=name), number)
        if judged and judged[name].num_rows:
            with registered(cursor, "incoming_rollup", judged[name]):
                cursor.execute(statement("insert_rollup", table=name))
    cursor.execute(statement("delete_hour", table="pending_hours"), number)


def _says_less(cursor: duckdb.DuckDBPyConnection, hour: int, index: pa.Table) -> bool:
    traces = sum(row["traces"] / row["share"] for row in index.select(["traces", "share"]).to_pylist())
    says_less: bool = cursor.execute(statement("hour_says_less"), {"hour": hour, "traces": traces}).fetchall()[0][0]
    return says_less


def judged_hours(cursor: duckdb.DuckDBPyConnection, begin: int, end: int, environment: str) -> dict[str, pa.Table]:
    """See ``Store.judged_hours``; runs in a transaction of the caller's."""
    window = {"begin": begin, "end": end, "environment": environment}
    return {name: cursor.sql(statement("judged_hours", table=name), params=window).to_arrow_table() for name in HOURS}
