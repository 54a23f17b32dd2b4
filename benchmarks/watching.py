"""Half the top rate while three browsers look at the dashboard, renewed every five seconds. Prints JSON.

Collector, dashboard and sender share the machine; the browsers, which elsewhere run on other machines, give way to
them. The goal: the p99 of the acknowledgements stays under 250 ms; it is told beside that of a run without anybody
looking, since machines differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from benchmarks.dashboard import chromium
from benchmarks.overload import sustainable
from benchmarks.running import collector, figures_of, metrics, start
from collector.settings import Address
from dashboard.launch import running_dashboard

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_GOAL_MS = 250.0
_PAGES = ("/?refresh=5s", "/map?refresh=5s", "/latency?refresh=5s")
_LOOK_EVERY_MS = 2000
_ALONE_S = 60.0
_TROUBLE = "[data-testid=stException]"
# Playwright gives each browser a session of its own, and Linux may share the processor out among sessions first
# (autogroup): a nice value counts within a session only. And where Chromium may, as root can, it raises its own again.
_GIVING_WAY = """#!/bin/sh
[ -w /proc/self/autogroup ] && echo 19 > /proc/self/autogroup
[ "$(id -u)" = 0 ] && exec setpriv --bounding-set=-sys_nice nice -n 19 "{0}" "$@"
exec nice -n 19 "{0}" "$@"
"""


def main() -> int:
    """Run, print, and return 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--rate", type=float, help="spans a second; without it, half of what can be sustained")
    options = parser.parse_args()
    rate = options.rate or sustainable() / 2
    alone, watched = run(_ALONE_S, rate, pages=()), run(options.seconds, rate, _PAGES)
    goals = {"acknowledged_in_time": watched["ack_p99_ms"] < _GOAL_MS, "pages_work": not watched["troubles"]}
    print(json.dumps({"rate": round(rate), "alone": alone, "watched": watched, "goals": goals}, indent=2))
    return 0 if all(goals.values()) else 1


def run(seconds: float, rate: float, pages: tuple[str, ...]) -> dict[str, Any]:
    """Send at a rate with these pages open; return what the sender saw, and what the pages asked for."""
    with tempfile.TemporaryDirectory() as folder, collector(Path(folder, "t.duckdb")) as (_, addresses):
        url = f"http://{addresses['query']}"
        browser_path = _giving_way(Path(folder, "browser"))
        with running_dashboard(url, Address("127.0.0.1", 0)) as address, sync_playwright() as playwright:
            browsers = [playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"]) for _ in pages]
            sending = start("sender", addresses["grpc"], seconds, rate)
            open_pages = [
                _open(browser, f"http://{address}{path}") for browser, path in zip(browsers, pages, strict=True)
            ]
            troubles = _look(open_pages, seconds)
            sent = figures_of(sending)
            for browser in browsers:
                browser.close()
        counted = metrics(addresses["query"])
    return {
        "spans_per_s": round(sent["spans"] / seconds),  # eight senders that wait for each answer may fall behind
        "ack_p50_ms": sent["ack_p50_ms"],
        "ack_p99_ms": sent["ack_p99_ms"],
        "refused_requests": sent["refused_requests"],
        "analysis_lag_s": counted["lithoscope_analysis_lag_seconds"],
        "queries": counted.get("lithoscope_query_seconds_count", 0),
        "troubles": troubles,
    }


def _giving_way(script: Path) -> Path:
    """Write a script that starts the browser at the lowest priority."""
    script.write_text(_GIVING_WAY.format(chromium()), encoding="ascii")
    script.chmod(0o755)
    return script


def _open(browser: Browser, url: str) -> Page:
    page = browser.new_page()
    page.goto(url)
    return page


def _look(pages: list[Page], seconds: float) -> int:
    """Wait while pages renew themselves; return how often one of them showed an error."""
    until = time.monotonic() + seconds
    troubles = 0
    while pages and time.monotonic() < until:
        for page in pages:
            page.wait_for_timeout(_LOOK_EVERY_MS / len(pages))  # lets the browser's events through
            troubles += page.locator(_TROUBLE).count()
    return troubles


if __name__ == "__main__":
    sys.exit(main())
