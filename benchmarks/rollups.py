"""A report and series over a day from rollups of every minute, through the query API: time, and rows kept. Prints JSON.

The day is made of a few minutes of traces of twelve services and twenty endpoints, rolled up as in a collector and
written again and again, as minute after minute, by the call that a collector writes them with.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.analysis import analyse
from analytics.rollups import roll_up
from analytics.schema import LINKS, ROLLUPS, conform, empty
from analytics.service import TraceAnalysis
from analytics.source import Traces
from benchmarks.traces import resources, traces
from collector.ingest.pipeline import Pipeline
from collector.log import log_folder
from collector.query.api import create_app
from collector.store import open_store
from collector.web import WebServer

if TYPE_CHECKING:
    from collector.store.protocol import Store

MINUTES = 1440
_ENDPOINTS = 20
_DIFFERENT = 6
_TRACES = 1_000
_FIRST = 29_833_334
_AT_ONCE = 60
_REPEATS = 5
_OVER_TIME = ("series", "series?bucket=15m", "series?of=endpoints", "series?of=edges", "saturation")


def main() -> None:
    """Write a day of rollups, then ask for the report over it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=MINUTES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder, "day.duckdb"), options.minutes), indent=2))


def measure(db: Path, minutes: int) -> dict[str, Any]:
    """Return how long a report over so many minutes takes, the first and the median of some more."""
    store = open_store(db)
    rows = write_day(store, minutes)
    pipeline = Pipeline(store, log_folder(db))
    try:
        server = WebServer(create_app(store, pipeline, analysis=TraceAnalysis()), "127.0.0.1", 0, option="--query")
        server.start()
        try:
            times = [_ask(server.port) for _ in range(_REPEATS + 1)]
            others = {path: [_ask(server.port, path) for _ in range(_REPEATS)] for path in _OVER_TIME}
        finally:
            server.stop()
    finally:
        pipeline.close()
        store.close()
    return {
        "minutes": minutes,
        "rows": rows,
        "file_bytes": db.stat().st_size,
        "first_ms": round(times[0] * 1000),
        "median_ms": round(statistics.median(times[1:]) * 1000),
        "over_time_ms": {path: round(statistics.median(taken) * 1000) for path, taken in others.items()},
    }


def _ask(port: int, path: str = "report") -> float:
    started = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/{path}") as answer:
        found = json.load(answer)
    seconds = time.perf_counter() - started
    assert len(found.get("endpoints", range(_ENDPOINTS))) == _ENDPOINTS
    return seconds


def write_day(store: Store, minutes: int) -> int:
    """Write rollups of so many minutes and return how many rows they are."""
    shapes = [minute_rollups(seed) for seed in range(_DIFFERENT)]
    rows = 0
    for begin in range(_FIRST, _FIRST + minutes, _AT_ONCE):
        numbers = list(range(begin, min(begin + _AT_ONCE, _FIRST + minutes)))
        tables = {}
        for name, columns in ROLLUPS.items():
            parts = [shapes[minute % _DIFFERENT][name].with_columns(minute=pl.lit(minute)) for minute in numbers]
            tables[name] = conform(pl.concat(parts), columns).to_arrow()
            rows += tables[name].num_rows
        store.finish_minutes(numbers, tables)
    return rows


def minute_rollups(seed: int, count: int = _TRACES) -> dict[str, pl.DataFrame]:
    """Return ROLLUPS of so many traces, as if all had begun in one minute; ``minute`` is to be set."""
    spans = traces(count, seed=seed).with_columns(pl.col("span_name").cast(pl.String))
    operation = pl.format("GET /{}", pl.col("trace_low") % _ENDPOINTS)
    spans = spans.with_columns(
        span_name=pl.when(pl.col("parent_span_id").is_null()).then(operation).otherwise("span_name"),
        start_unix_nano=pl.col("start_unix_nano") - pl.col("start_unix_nano").min() + _FIRST * 60 * 10**9,
    )
    first = pl.col("start_unix_nano").min().over("trace_high", "trace_low")
    within = first % (60 * 10**9) + _FIRST * 60 * 10**9
    moved = spans.with_columns(start_unix_nano=pl.col("start_unix_nano") - first + within)
    return roll_up(analyse(Traces(moved, resources(), empty(LINKS))))


if __name__ == "__main__":
    main()
