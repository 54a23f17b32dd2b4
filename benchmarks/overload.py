"""Overload: several times what can be sustained, for minutes. Prints JSON, and fails when something is lost.

The goals at four times for five minutes: memory stays bounded, accepted and refused add up to what was sent, exactly
what was accepted is stored, the lag is gone within a minute, and an SDK beside the flood loses nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.payloads import SPANS
from benchmarks.running import Samples, collector, figures_of, metrics, start
from benchmarks.stock import SERVICE
from collector.client import connect

_LAG_GOAL_S = 60.0
_GIVE_UP_S = 300.0
_MOST_RSS_MIB = 4096  # a GB of DuckDB's, the queue of 256 MiB decoded, and what is between
_COUNT = f"SELECT count(*) FILTER (service_name <> '{SERVICE}') AS flood, count(*) FILTER (service_name = '{SERVICE}') "
_COUNT += "AS stock FROM spans"


def main() -> int:
    """Run, print, and return 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--times", type=float, default=4, help="of the sustainable rate")
    parser.add_argument("--rate", type=float, help="the sustainable rate; without it, it is measured")
    options = parser.parse_args()
    rate = options.rate or sustainable()
    report = overload(options.seconds, rate, options.times)
    print(json.dumps(report, indent=2))
    return 0 if all(report["goals"].values()) else 1


def sustainable(seconds: float = 20) -> float:
    """Return the spans a second that are stored when senders wait for each answer."""
    with tempfile.TemporaryDirectory() as folder, collector(Path(folder, "t.duckdb")) as (_, addresses):
        started = time.monotonic()
        sent = figures_of(start("sender", addresses["grpc"], seconds, 0))
        wait_until_stored(addresses["query"], sent["spans"])
        spans: float = sent["spans"] / (time.monotonic() - started - sent["preparing_s"])
        return spans


def overload(seconds: float, rate: float, times: float) -> dict[str, Any]:
    """Return the figures of a flood at so many times a rate, and which goals they meet."""
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder, "t.duckdb")
        with collector(db) as (process, addresses), Samples(process.pid, db, addresses["query"]) as samples:
            flooding = start("flood", addresses["grpc"], seconds, rate * times)
            stock = figures_of(start("stock", addresses["grpc"], seconds * 0.9))
            answers = figures_of(flooding)
            lag_s = wait_until_stored(addresses["query"], answers["answers"].get("OK", 0) * SPANS + stock["made"])
            counted = metrics(addresses["query"])
            stored = connect(f"http://{addresses['query']}").sql(_COUNT).to_dicts()[0]
            is_alive = process.poll() is None
    report = judge(answers, stock, stored, counted, samples)
    report["goals"] |= {"lag_is_gone_in_time": lag_s < _LAG_GOAL_S, "no_crash": is_alive}
    return report | {
        "sustainable_spans_per_s": round(rate),
        "offered_spans_per_s": round(sum(answers["answers"].values()) * SPANS / seconds),
        "lag_gone_after_s": round(lag_s, 1),
    }


def judge(
    answers: dict[str, Any],
    stock: dict[str, int],
    stored: dict[str, int],
    counted: dict[str, float],
    samples: Samples,
) -> dict[str, Any]:
    """Hold the figures against the goals."""
    found = answers["answers"]
    accepted, refused = found.get("OK", 0), found.get("UNAVAILABLE", 0)
    rss = max(row["rss_mib"] for row in samples.rows)
    return {
        **answers,
        "stock": stock,
        "stored": stored,
        "counted_refused": counted.get("lithoscope_requests_refused_total", 0.0),
        "rss_mib_most": round(rss),
        "rss_mib_by_minute": [round(row["rss_mib"]) for row in samples.rows[::60]],
        "queued_mib_most": round(max(row["queued_mib"] for row in samples.rows)),
        "goals": {
            "accepted_and_refused_are_sent": accepted + refused == sum(found.values()),
            "stored_is_accepted": stored["flood"] == accepted * SPANS,
            "stock_exporter_lost_nothing": stored["stock"] == stock["made"] and not stock["given_up"],
            "memory_is_bounded": rss < _MOST_RSS_MIB,
        },
    }


def wait_until_stored(query_address: str, spans: int) -> float:
    """Wait until so many spans are stored, or nothing waits any more; return the seconds that took."""
    started = time.monotonic()
    while time.monotonic() - started < _GIVE_UP_S:
        now = metrics(query_address)
        if now["lithoscope_records_stored_total"] >= spans or not now["lithoscope_queued_bytes"]:
            break
        time.sleep(0.2)
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
