"""A soak: half the top rate for half an hour, with queries, retention and rollups. Prints figures and judges them.

Flat is: memory, the acknowledgement's p99 and the files of the last third no more than a little over those of the
second; the first third is for filling what retention keeps.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.overload import sustainable
from benchmarks.payloads import SPANS, templates
from benchmarks.running import Repeating, Samples, collector, metrics
from benchmarks.sender import Sender
from collector.client import connect

if TYPE_CHECKING:
    from analytics.arrays import Floats

_ACK_WINDOW_S = 10.0
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
            sender = Sender(addresses["grpc"], seconds, rate, templates(50))
            sender.run()
            counted = metrics(addresses["query"])
    answered = np.array(sorted(sender.answered))
    rows = [row | {"ack_p99_ms": _p99_ms(answered, row["at_s"])} for row in samples.rows if row["at_s"] < seconds]
    return {
        "rate": round(rate),
        "kept": keep,
        "sent_spans": len(answered) * SPANS,
        "refused": sender.refused,
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


def _p99_ms(answered: Floats, at_s: float) -> float:
    """Return the 99th percentile of the acknowledgements of the ten seconds before; 0 without any."""
    begin, end = np.searchsorted(answered[:, 0], [at_s - _ACK_WINDOW_S, at_s])
    return float(np.percentile(answered[begin:end, 1], 99) * 1000) if begin < end else 0.0


class Asking(Repeating):
    """Asks one query after the other, with a second between them."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._client = connect(url)
        self._queries = cycle(_QUERIES)
        self.answered = self.failed = 0

    def step(self) -> None:
        """Ask the next one."""
        try:
            self._client.sql(next(self._queries))
        except Exception:  # noqa: BLE001  (counted, and judged by whoever reads the figures)
            self.failed += 1
        else:
            self.answered += 1


if __name__ == "__main__":
    sys.exit(main())
