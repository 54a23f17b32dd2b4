"""The dashboard in a real browser: every page with ten million stored spans of sixty services. Prints JSON.

A page is there when its heading is, its script has run to its end, and nothing shown is of before. ``--db`` takes
a file that an earlier run has filled.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect, sync_playwright

from analytics.service import TraceAnalysis
from benchmarks.ingest import ANY_PORT, Behind, submit_all
from benchmarks.landscape import landscape_requests
from benchmarks.payloads import SPANS
from collector.client import connect
from collector.ingest.pipeline import Pipeline
from collector.log import log_folder
from collector.service import Service
from collector.settings import Address, load_settings
from collector.store import open_store
from dashboard.launch import running_dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

_HOURS = 6
_ANALYSED_WITHIN_S = 3600.0
_PAGES = ("Overview", "Map", "Coupling", "Latency", "Compare", "Saturation", "Traces", "SQL")
_REPEATS = 5
_PATIENCE_MS = 120_000
_SIZE = {"width": 1440, "height": 1000}
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Fill a database, then open each page several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--db", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = options.db or Path(folder, "pages.duckdb")
        if not db.exists():
            fill(db, options.spans)
        print(json.dumps(measure(db), indent=2))


def measure(db: Path) -> dict[str, Any]:
    """Return for each page how long it takes, in seconds: the first time, and the median of some more."""
    settings = load_settings({"db": db, "grpc": ANY_PORT, "http": ANY_PORT, "query": ANY_PORT})
    with Service(settings, TraceAnalysis()) as service:
        url = f"http://{service.addresses['query']}"
        spans = connect(url).sql("SELECT count(*) AS spans FROM spans").item()
        with running_dashboard(url, Address("127.0.0.1", 0)) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            page = browser.new_page(viewport=_SIZE, base_url=f"http://{address}")  # type: ignore[arg-type]
            times = {name: [_open(page, name) for _ in range(_REPEATS + 1)] for name in _PAGES}
            browser.close()
    pages = {name: {"first_s": took[0], "median_s": statistics.median(took[1:])} for name, took in times.items()}
    return {"spans": spans, "pages": pages}


def _open(page: Page, name: str) -> float:
    started = time.perf_counter()
    page.goto("/" if name == "Overview" else f"/{name.lower()}")
    expect(page.get_by_role("heading", name=name, exact=True).first).to_be_visible(timeout=_PATIENCE_MS)
    app = page.locator("[data-testid=stApp]")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=_PATIENCE_MS)
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=_PATIENCE_MS)
    return round(time.perf_counter() - started, 2)


def chromium() -> str:
    """Return where this machine has its browser."""
    return next(filter(None, map(shutil.which, _CHROMIUM)))


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


if __name__ == "__main__":
    main()
