"""A browser clicks through a real collector and its dashboard; what it saw is in build/screenshots."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
SIZE: ViewportSize = {"width": 1440, "height": 1000}
PATIENCE_MS = 30_000


@pytest.fixture(scope="module", params=["light", "dark"])
def browser(request: pytest.FixtureRequest, chromium: str, shop_system: dict[str, str]) -> Iterator[Page]:
    """A page in light and in dark, at the dashboard's address."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = opened.new_page(viewport=SIZE, color_scheme=request.param, base_url=f"http://{shop_system['dashboard']}")
        page.set_default_timeout(PATIENCE_MS)
        yield page
        opened.close()


@pytest.fixture
def outside(browser: Page) -> Iterator[list[str]]:
    """Addresses asked for that are not the dashboard's."""
    asked: list[str] = []
    browser.on("request", lambda request: asked.append(request.url))
    yield asked
    assert [url for url in asked if not re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:", url)] == []


def show(page: Page, path: str, heading: str) -> None:
    """Open an address and wait until it is drawn."""
    page.goto(path)
    expect(page.get_by_role("heading", name=heading, exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    settle(page)


def settle(page: Page) -> None:
    """Wait until Streamlit runs no more, and keep what is seen."""
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0, timeout=PATIENCE_MS)
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=PATIENCE_MS)


def keep(page: Page, name: str) -> None:
    """Write a screenshot."""
    scheme = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}.png", full_page=True)


def test_from_a_finding_to_the_waterfall(browser: Page, outside: list[str]) -> None:
    """A click on a finding's trace shows that trace with its critical path; nothing comes from elsewhere."""
    show(browser, "/?env=shop-monolith", "Overview")
    expect(browser.get_by_text("catalog calls inventory 10 times in a row").first).to_be_visible()
    keep(browser, "overview")
    browser.get_by_role("link", name="Show traces").first.click()
    expect(browser.get_by_role("heading", name=re.compile("^Trace [0-9a-f]{32}$"))).to_be_visible()
    expect(browser.locator(".st-key-waterfall canvas").first).to_be_visible()
    settle(browser)
    keep(browser, "trace")
    assert "env=shop-monolith" in browser.url
    assert outside


def test_a_node_of_the_map_shows_its_figures(browser: Page) -> None:
    """A click on it tells its calls, its latency and where its traces are."""
    show(browser, "/map?env=shop-monolith", "Map")
    expect(browser.get_by_text("Nothing picked yet.")).to_be_visible()
    name = browser.locator(".st-key-map svg").get_by_text("inventory", exact=True)
    expect(name).to_be_visible()
    keep(browser, "map")
    name.click(force=True)  # the chart listens, not its text
    expect(browser.get_by_role("heading", name="inventory")).to_be_visible()
    expect(browser.get_by_text("5,307", exact=True)).to_be_visible()
    keep(browser, "map-picked")


def test_the_latency_of_an_endpoint(browser: Page) -> None:
    """The middle and the tail stand side by side."""
    show(browser, "/latency?env=shop-incident", "Latency")
    expect(browser.get_by_role("heading", name="The tail").first).to_be_visible()
    keep(browser, "latency")


def test_an_answer_can_be_downloaded(browser: Page) -> None:
    """As CSV with the same figures."""
    show(browser, "/sql?query=SELECT+6+*+7+AS+answer", "SQL")
    with browser.expect_download() as download:
        browser.locator(".st-key-csv button").click()
    assert download.value.path().read_text() == "answer\n42\n"
    keep(browser, "sql")


def test_a_shared_link_restores_the_view(browser: Page) -> None:
    """Environment, lens and focus are in the address."""
    show(browser, "/map?env=shop-incident&lens=latency&focus=payment", "Map")
    for label, value in (("Environment", "shop-incident"), ("Colour by", "latency"), ("Focus on", "payment")):
        expect(browser.get_by_label(label, exact=True).first).to_have_value(value)
