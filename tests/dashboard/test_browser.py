"""A browser clicks through a real collector and its dashboard; what it saw is in build/screenshots."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Page, ViewportSize, WebSocket, expect, sync_playwright

from collector.client import connect
from collector.settings import Address
from dashboard.launch import running_dashboard
from tests.dashboard.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Shop

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
SIZE: ViewportSize = {"width": 1440, "height": 1000}
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)
SCHEMES: tuple[Literal["dark", "light"], ...] = ("light", "dark")


@pytest.fixture(scope="module")
def browser(chromium: str, shop_system: dict[str, str]) -> Iterator[Page]:
    """A page at the dashboard's address."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = opened.new_page(viewport=SIZE, base_url=f"http://{shop_system['dashboard']}")
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
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0)
    expect(page.locator("[data-stale=true]")).to_have_count(0)


def keep(page: Page, name: str) -> None:
    """Write a screenshot in light and one in dark."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("[data-testid=stApp]")).to_have_css("color-scheme", scheme)
        settle(page)
        page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")


def pick_row(page: Page, table: str, place: int) -> None:
    """Click on a row of a table, which is a canvas under what scrolls it."""
    page.locator(f".st-key-{table} canvas").first.click(position={"x": 18, "y": 35 * (place + 1) + 17}, force=True)


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


def test_the_matrix_of_the_monolith(browser: Page) -> None:
    """Shows a call's figures when its cell is picked by name."""
    show(browser, "/coupling?env=shop-monolith", "Coupling")
    expect(browser.get_by_role("heading", name="Suggested boundaries")).to_be_visible()
    expect(browser.locator(".st-key-matrix canvas, .st-key-matrix svg").first).to_be_visible()
    keep(browser, "coupling")
    browser.get_by_label("Call", exact=True).fill("checkout → payment")
    browser.keyboard.press("Enter")
    expect(browser.get_by_role("heading", name="checkout → payment")).to_be_visible()
    assert "call=" in browser.url


@pytest.mark.parametrize("part", ["Index", "Propagation"])
def test_parts_of_coupling(browser: Page, part: str) -> None:
    """Each has an address of its own."""
    show(browser, f"/coupling?env=shop-monolith&part={part}", "Coupling")
    keep(browser, f"coupling-{part.lower()}")


def test_the_pool_that_ran_empty(browser: Page) -> None:
    """Is seen on the page of saturation."""
    show(browser, "/saturation?env=shop-incident&full_service=payment&metric=db.client.connection.count", "Saturation")
    expect(browser.get_by_text("payment-1 shop used").first).to_be_visible()
    keep(browser, "saturation")


def test_two_traces_side_by_side(browser: Page) -> None:
    """Two of a finding's traces are chosen by two clicks."""
    show(browser, "/?env=shop-monolith", "Overview")
    browser.get_by_role("link", name="Show traces").first.click()
    settle(browser)
    browser.get_by_role("button", name="2", exact=True).click()
    expect(browser.get_by_role("heading", name=re.compile("^Trace [0-9a-f]{8}…$"))).to_have_count(2)
    assert browser.url.count("trace=") == 2
    keep(browser, "traces-side-by-side")


def test_a_newcomer_finds_what_makes_the_checkout_slow(browser: Page, shop_system: dict[str, str]) -> None:
    """In two clicks from the overview: the endpoint, and why."""
    endpoints = connect(shop_system["query"]).report(env="shop-incident")["endpoints"]
    show(browser, "/?env=shop-incident", "Overview")
    pick_row(browser, "endpoints", [one["operation"] for one in endpoints].index("POST /orders"))
    browser.get_by_role("link", name="What makes it slow").click()
    expect(browser.get_by_text("Mostly waits for payment: 95% of the mean")).to_be_visible()
    keep(browser, "newcomer-slow")


def test_a_newcomer_finds_which_services_share_a_database(browser: Page) -> None:
    """In one click: it is among the findings."""
    show(browser, "/?env=shop-monolith", "Overview")
    browser.get_by_text("more findings").click()
    expect(browser.get_by_text("8 services use the database postgresql 127.0.0.1/shop")).to_be_visible()


def test_a_newcomer_finds_what_happens_if_payment_fails(browser: Page, shop_system: dict[str, str]) -> None:
    """In two clicks: the service, and what if."""
    services = connect(shop_system["query"]).report(env="shop-monolith")["services"]
    show(browser, "/?env=shop-monolith", "Overview")
    shown = [service["name"] for service in services if service["type"] != "user"]
    pick_row(browser, "services", shown.index("payment"))
    browser.get_by_role("link", name="What if it fails").click()
    expect(browser.get_by_text("Requests failed")).to_be_visible()
    expect(browser.get_by_test_id("stMetricValue").get_by_text("15%").first).to_be_visible()
    keep(browser, "what-if")


def test_a_newcomer_finds_what_changed(browser: Page) -> None:
    """In one click: the other environment is compared with."""
    show(browser, "/?env=shop-monolith", "Overview")
    browser.get_by_role("link", name="Compare").click()
    expect(browser.get_by_label("Before", exact=True).first).to_have_value("shop-decoupled")
    expect(browser.get_by_text("+51.0 from 22")).to_be_visible()
    expect(browser.get_by_text("cart, catalog, checkout, inventory, payment, shipping", exact=True)).to_be_visible()
    keep(browser, "compare")


def test_a_hidden_tab_asks_nothing(browser: Page) -> None:
    """It catches up as soon as it is looked at."""
    asked: list[str] = []
    sockets: list[WebSocket] = []

    def listen(socket: WebSocket) -> None:
        sockets.append(socket)
        socket.on("framesent", lambda _: asked.append(""))

    browser.on("websocket", listen)
    browser.clock.install()
    show(browser, "/map?env=shop-monolith&refresh=5s", "Map")
    expect(browser.get_by_text("live, every 5 s")).to_be_visible()
    browser.evaluate("Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true})")
    browser.evaluate("window.away = true")
    before = len(asked)
    browser.clock.run_for(60_000)
    assert len(asked) == before
    with sockets[-1].expect_event("framesent"):
        browser.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(browser.get_by_text("live, every 5 s")).to_be_visible()


def test_the_first_span_is_noticed(browser: Page, shop: Shop, tmp_path: Path) -> None:
    """By a page that says how to send one; nobody needs to load it again."""
    with served(tmp_path, "--dashboard", "127.0.0.1:0") as addresses:
        browser.goto(f"http://{addresses['dashboard']}")
        expect(browser.get_by_role("heading", name="Waiting for the first span")).to_be_visible()
        expect(browser.get_by_text(f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{addresses['http']}")).to_be_visible()
        keep(browser, "empty")
        headers = {"Content-Type": "application/x-protobuf"}
        url = f"http://{addresses['http']}/v1/traces"
        with urlopen(Request(url, shop.request(), headers)) as answer:
            assert answer.status == 200
        expect(browser.get_by_role("heading", name="Overview")).to_be_visible()
        browser.goto("about:blank")


def test_a_collector_that_starts_again_is_noticed(browser: Page, tmp_path: Path) -> None:
    """By a page that says that nothing answers; nobody needs to press anything."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        query = f"127.0.0.1:{probe.getsockname()[1]}"
    with running_dashboard(f"http://{query}", Address("127.0.0.1", 0)) as address:
        browser.goto(f"http://{address}")
        expect(browser.get_by_text(f"Nothing answers at http://{query}")).to_be_visible()
        with served(tmp_path, "--query", query):
            expect(browser.get_by_role("heading", name="Waiting for the first span")).to_be_visible()
            browser.goto("about:blank")
