"""The dashboard in a real browser: every page with ten million stored spans of sixty services. Prints JSON."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from analytics.service import TraceAnalysis
from benchmarks.ingest import ANY_PORT, Behind, submit_all
from benchmarks.landscape import landscape_requests
from benchmarks.payloads import SPANS
from collector.client import connect
from collector.ingest.pipeline import Pipeline
from collector.log import log_folder
from collector.service import Service
from collector.settings import load_settings
from collector.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HOURS = 6
_ANALYSED_WITHIN_S = 3600.0


def fill(db: Path, spans: int) -> None:
    """Store about that many spans of the last hours, and let the analysis keep its minutes and hours."""
    end = time.time_ns() - 60 * 10**9
    store = open_store(db)
    pipeline = Pipeline(store, log_folder(db))
    count = spans // SPANS
    submit_all(pipeline, _told(landscape_requests(count, end - _HOURS * 3600 * 10**9, end), count))
    pipeline.close()
    store.close()
    settings = load_settings({"db": db, "grpc": ANY_PORT, "http": ANY_PORT, "query": ANY_PORT})
    with Service(settings, TraceAnalysis()) as service, Behind(f"http://{service.addresses['query']}") as behind:
        behind.wait(_ANALYSED_WITHIN_S)
        _say("minutes analysed")
        _wait_for_hours(f"http://{service.addresses['query']}")


def _wait_for_hours(url: str) -> None:
    client = connect(url)
    deadline = time.monotonic() + _ANALYSED_WITHIN_S
    while time.monotonic() < deadline and client.sql("SELECT count(*) FROM coupling_index").item() < _HOURS:
        time.sleep(1)


def _told(requests: Iterator[bytes], count: int) -> Iterator[bytes]:
    for number, request in enumerate(requests):
        if number % max(count // 10, 1) == 0:
            _say(f"{number:,} of {count:,} requests")
        yield request


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
