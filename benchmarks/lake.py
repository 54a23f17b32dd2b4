"""Collectors on one lake beside one on a file: what a span takes of processors, disk and the catalog. Prints JSON.

Wants DuckDB 1.5.5 with its extensions and a PostgreSQL, as `make bench-lake` makes them. Rates of several collectors on
one machine say little, since they share its processors with the senders; what a span takes does not depend on that.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from benchmarks.running import collector, figures_of, metrics, resident_mib, start

_SERVER = os.environ.get("LITHOSCOPE_TEST_LAKE", "")
_TICKS = os.sysconf("SC_CLK_TCK")
_STORED_WITHIN_S = 120.0


def main() -> None:
    """Measure one collector on a file, and then one, two and three on a lake."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=20_000, help="spans a second, of all collectors together")
    parser.add_argument("--collectors", type=int, nargs="*", default=[0, 1, 2, 3], help="0: one, on a file")
    options = parser.parse_args()
    runs = {_name(count): measure(count, options.seconds, options.rate) for count in options.collectors}
    machine = {"processors": os.cpu_count(), "duckdb": duckdb.__version__, "load_1min": round(os.getloadavg()[0], 1)}
    print(json.dumps({**machine, "rate": options.rate, "runs": runs}, indent=2))


def _name(count: int) -> str:
    return f"lake, {count} collectors" if count else "file, 1 collector"


def measure(collectors: int, seconds: float, rate: float) -> dict[str, Any]:
    """Return what so many collectors on a lake of their own take for the spans of some seconds; 0: one on a file."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place, database = Path(folder), f"bench_{uuid.uuid4().hex}"
        settings = _lake(database, place / "data") if collectors else {}
        ran = [
            stack.enter_context(collector(place / f"{number}.duckdb", **settings))
            for number in range(max(collectors, 1))
        ]
        before = _Costs(database if collectors else None, [process.pid for process, _ in ran])
        senders = [
            start("sender", addresses["grpc"], seconds, rate / len(ran), number)
            for number, (_, addresses) in enumerate(ran)
        ]
        sent = [figures_of(sender) for sender in senders]
        spans = sum(one["spans"] for one in sent)
        _wait_until_stored([addresses["query"] for _, addresses in ran], spans)
        costs = before.since(spans)
        rss = max(resident_mib(process.pid) for process, _ in ran)
        stack.close()
        return {
            "spans": spans,
            "spans_per_s": round(spans / seconds),
            "ack_p99_ms": max(one["ack_p99_ms"] for one in sent),
            **costs,
            "rss_mib_most": round(rss),
            "data_bytes_per_span": round(_size(place, ".parquet", ".duckdb") / spans, 1),
        }


def _lake(database: str, data: Path) -> dict[str, str]:
    with psycopg.connect(f"{_SERVER} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}")
    return {"LITHOSCOPE_STORE": f"ducklake:postgres:{_SERVER} dbname={database}", "LITHOSCOPE_DATA": str(data)}


class _Costs:
    """What processes and the catalog have taken since it was made."""

    def __init__(self, database: str | None, pids: list[int]) -> None:
        self._database, self._pids = database, pids
        self._began = time.monotonic()
        self._cpu = [_cpu_s(pid) for pid in pids]
        self._catalog = self._read_catalog()

    def since(self, spans: int) -> dict[str, Any]:
        """Return it, by span where that is what grows."""
        cpu = sum(_cpu_s(pid) for pid in self._pids) - sum(self._cpu)
        taken = {"collector_cpu_us_per_span": round(cpu / spans * 1e6, 2)}
        if self._database is None:
            return taken
        seconds = time.monotonic() - self._began
        now = {name: value - self._catalog[name] for name, value in self._read_catalog().items()}
        return {
            **taken,
            "catalog_cpu_us_per_span": round(now["cpu_s"] / spans * 1e6, 2),
            "catalog_commits_per_s": round(now["commits"] / seconds, 1),
            "catalog_cpu_share": round(now["cpu_s"] / seconds, 3),
            "catalog_bytes_per_span": round(now["bytes"] / spans, 2),
        }

    def _read_catalog(self) -> dict[str, float]:
        if self._database is None:
            return {}
        with psycopg.connect(f"{_SERVER} dbname={self._database}") as connection:
            sql = (
                "SELECT xact_commit, pg_database_size(datname), pg_backend_pid() FROM pg_stat_database "
                "WHERE datname = current_database()"
            )
            ((commits, size, backend),) = connection.execute(sql).fetchall()
            postmaster = int(_stat(backend)[1])
        return {"commits": commits, "bytes": size, "cpu_s": _with_children_s(postmaster)}


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may have spaces."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()


def _cpu_s(pid: int, *, ended_children: bool = False) -> float:
    fields = _stat(pid)[11 : 15 if ended_children else 13]
    return sum(map(int, fields)) / _TICKS


def _with_children_s(parent: int) -> float:
    total = _cpu_s(parent, ended_children=True)
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int(_stat(int(entry.name))[1]) == parent:
                total += _cpu_s(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
    return total


def _wait_until_stored(query_addresses: list[str], spans: int) -> None:
    deadline = time.monotonic() + _STORED_WITHIN_S
    while sum(metrics(one)["lithoscope_records_stored_total"] for one in query_addresses) < spans:
        if time.monotonic() > deadline:
            raise SystemExit("Not all was stored in time: send less with --rate.")
        time.sleep(0.5)


def _size(folder: Path, *suffixes: str) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.suffix in suffixes)


if __name__ == "__main__":
    main()
