"""Some hours of traces analysed again in one process, and by workers of Ray: seconds, and whether all bits agree.

Wants Ray (`pip install 'lithoscope[ray]'`). Prints JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.options import Options
from analytics.pools import LOCAL, OneProcess, RayPool
from analytics.reanalysis import analyse_again
from analytics.sides import ALL_TIME
from benchmarks.landscape import landscape_requests
from collector.service import offline_pipeline
from collector.signals import Signal
from collector.store import open_store
from collector.store.hours import HOURS
from collector.store.minutes import ROLLUPS
from collector.store.protocol import QueryLimits

if TYPE_CHECKING:
    from analytics.pools import Pool

_BEGIN = 1_795_435_200_000_000_000  # 2026-11-23T12:00:00Z
_MINUTE_NS = 60 * 10**9


def main() -> None:
    """Store the traces, then analyse them in each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=240)
    parser.add_argument("--requests", type=int, default=2_000, help="of 512 spans")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder, "t.duckdb")
        fill(db, options.minutes, options.requests)
        pools: dict[str, Pool] = {"one process": OneProcess()}
        pools |= {f"ray, {count} workers": RayPool(LOCAL, workers=count) for count in options.workers}
        runs = {name: measure(db, pool) for name, pool in pools.items()}
    bits = {run.pop("bits") for run in runs.values()}
    machine = {"processors": os.cpu_count(), "load_1min": round(os.getloadavg()[0], 1)}
    print(json.dumps({**machine, "runs": runs, "same_bits": len(bits) == 1}, indent=2))


def fill(db: Path, minutes: int, requests: int) -> None:
    """Store so many requests over so many minutes."""
    with offline_pipeline(db) as pipeline:
        for body in landscape_requests(requests, _BEGIN, _BEGIN + minutes * _MINUTE_NS):
            pipeline.submit(Signal.TRACES, body).result()


def measure(db: Path, pool: Pool) -> dict[str, Any]:
    """Return how long it takes on a copy; starting and ending Ray is told apart."""
    copy = db.with_name("copy.duckdb")
    shutil.copy(db, copy)
    store = open_store(copy)
    begun = time.perf_counter()
    with pool:
        started = time.perf_counter()
        cpu = time.process_time()
        outcome = analyse_again(store, ALL_TIME, Options(), pool)
        seconds = time.perf_counter() - started
        cpu = time.process_time() - cpu
    rows = [
        pl.DataFrame(store.query(f"SELECT * FROM store.{name} ORDER BY ALL", QueryLimits(600, 10**9, 2**34)))
        for name in (*ROLLUPS, *HOURS)
    ]
    store.close()
    copy.unlink()
    return {
        "minutes": outcome.minutes,
        "hours": outcome.hours,
        "spans": outcome.spans,
        "seconds": round(seconds, 1),
        "owner_cpu_seconds": round(cpu, 1),
        "start_seconds": round(started - begun, 1),
        "bits": hashlib.sha256(b"".join(frame.write_json().encode() for frame in rows)).hexdigest(),
    }


if __name__ == "__main__":
    main()
