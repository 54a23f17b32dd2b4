"""A soak: half the top rate for half an hour, with queries, retention and rollups. Prints figures and judges them.

Flat is: memory, the acknowledgement's p99 and the files of the last third no more than a little over those of the
second; the first third is for filling what retention keeps.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Self

import grpc
import numpy as np

from benchmarks.overload import sustainable
from benchmarks.payloads import SPANS, templates
from benchmarks.running import Samples, collector, metrics
from collector.client import connect

_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_SENDERS = 8
_SHOWN = 12
_KEPT_SHARE = 1 / 6  # of the time: retention has deleted for long when the second third begins
_ALLOWED = {"rss_mib": 1.15, "ack_p99_ms": 1.5, "db_mib": 1.15}  # last third against second: noise of a shared machine
_LEAST_P99_MS = 50.0  # below this, a factor says nothing
_QUERIES = (
    "SELECT service_name, count(*), quantile_cont(duration_ns, 0.99) FROM spans GROUP BY ALL",
    "SELECT * FROM traces ORDER BY start_time DESC LIMIT 100",
    "SELECT * FROM services",
)


def main() -> int:
    """Run, print, and return 1 when something is not flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--rate", type=float, help="spans a second; without it, half of what can be sustained")
    options = parser.parse_args()
    report = soak(options.seconds, options.rate or sustainable() / 2)
    print(json.dumps(report, indent=2))
    return 0 if all(report["flat"].values()) else 1


def soak(seconds: float, rate: float) -> dict[str, Any]:
    """Return figures over time, and which of them stayed flat."""
    keep = f"{max(round(seconds * _KEPT_SHARE), 1)}s"
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder, "t.duckdb")
        with (
            collector(db, LITHOSCOPE_RETAIN=keep) as (process, addresses),
            Samples(process.pid, db, addresses["query"]) as samples,
            Asking(f"http://{addresses['query']}") as asking,
        ):
            sending = Sending(addresses["grpc"], seconds, rate)
            sending.run()
            counted = metrics(addresses["query"])
    rows = [row | {"ack_p99_ms": sending.p99_ms(row["at_s"])} for row in samples.rows if row["at_s"] < seconds]
    return {
        "rate": round(rate),
        "kept": keep,
        "sent_spans": len(sending.latencies) * SPANS,
        "refused": sending.refused,
        "queries": asking.answered,
        "failed_queries": asking.failed,
        "analysis_lag_s": counted.get("lithoscope_analysis_lag_seconds"),
        "over_time": [{name: round(value, 1) for name, value in row.items()} for row in rows[:: len(rows) // _SHOWN]],
        "thirds": {name: [round(value, 1) for value in _thirds(rows, name)] for name in _ALLOWED},
        "flat": {name: _is_flat(rows, name, most) for name, most in _ALLOWED.items()},
    }


def _thirds(rows: list[dict[str, float]], name: str) -> list[float]:
    part = len(rows) // 3
    return [median(row[name] for row in rows[start : start + part]) for start in (0, part, 2 * part)]


def _is_flat(rows: list[dict[str, float]], name: str, most: float) -> bool:
    _, second, last = _thirds(rows, name)
    return last <= max(second, _LEAST_P99_MS if name == "ack_p99_ms" else 0.0) * most


class Sending:
    """Eight connections that keep a rate together; a refused request is sent again."""

    def __init__(self, address: str, seconds: float, rate: float) -> None:
        self._address = address
        self._interval = SPANS / rate
        self._templates = templates(50)
        self._numbers = count()
        self._lock = threading.Lock()
        self._started = time.perf_counter()
        self._until = self._started + seconds
        self.latencies: list[tuple[float, float]] = []
        self.refused = 0

    def run(self) -> None:
        """Send until the time is up."""
        threads = [threading.Thread(target=self._send_all) for _ in range(_SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _send_all(self) -> None:
        with grpc.insecure_channel(self._address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            export = channel.unary_unary(_METHOD)
            while time.perf_counter() < self._until:
                with self._lock:
                    number = next(self._numbers)
                due = number * self._interval
                time.sleep(max(0.0, self._started + due - time.perf_counter()))
                template = self._templates[number % len(self._templates)]
                self._send(export, template.renew(number, int(due * 1e9)))

    def _send(self, export: grpc.UnaryUnaryMultiCallable, body: bytes) -> None:
        while True:
            started = time.perf_counter()
            try:
                export(body, timeout=10)
            except grpc.RpcError:
                with self._lock:
                    self.refused += 1
                time.sleep(1)
                continue
            now = time.perf_counter()
            with self._lock:
                self.latencies.append((now - self._started, now - started))
            return

    def p99_ms(self, at_s: float, width_s: float = 10.0) -> float:
        """Return the 99th percentile of the acknowledgements of the ten seconds before."""
        if not hasattr(self, "_sorted"):
            self._sorted = np.array(sorted(self.latencies))
        begin, end = np.searchsorted(self._sorted[:, 0], [at_s - width_s, at_s])
        found = self._sorted[begin:end, 1]
        return float(np.percentile(found, 99) * 1000) if len(found) else 0.0


class Asking:
    """Asks one query after the other, with a second between them."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answered = self.failed = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        for number in count():
            if self._done.wait(1.0):
                return
            try:
                self._client.sql(_QUERIES[number % len(_QUERIES)])
            except Exception:  # noqa: BLE001  (counted, and judged by whoever reads the figures)
                self.failed += 1
            else:
                self.answered += 1


if __name__ == "__main__":
    sys.exit(main())
