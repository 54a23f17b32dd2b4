"""A browser logs in by OpenID Connect, as people do: who may enter sees the data, and nobody else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from collector.errors import ConfigurationError
from collector.settings import Address, load_settings
from dashboard.launch import running_dashboard
from tests.dashboard.conftest import served
from tests.dashboard.oidc import CLIENT, SECRET, Provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_MS = 30_000
ADA = {"email": "ada@example.org", "email_verified": True, "name": "Ada"}
EVE = {"email": "eve@elsewhere.org", "email_verified": True}
INSIDE = "Waiting for the first span"
REFUSED = "This account may not look at this"
FILE = """
[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "not for the eyes of others"
client_id = "{client}"
client_secret = "{secret}"
server_metadata_url = "{url}/.well-known/openid-configuration"
"""


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Somebody who knows Ada."""
    provider = Provider(dict(ADA))
    provider.server.start()
    yield provider
    provider.server.stop()


@pytest.fixture(scope="module")
def chromium_browser(chromium: str) -> Iterator[Browser]:
    """A browser, in which each test has a window without anybody's cookies."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(
    provider: Provider, chromium_browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Page]:
    """The dashboard of a collector that lets in who is of example.org."""
    login = tmp_path / "login.toml"
    login.write_text(FILE.format(client=CLIENT, secret=SECRET, url=provider.url))
    monkeypatch.setenv("LITHOSCOPE_DASHBOARD_LOGIN", str(login))
    monkeypatch.setenv("LITHOSCOPE_DASHBOARD_USERS", "bob@elsewhere.org,@example.org")
    with served(tmp_path, "--dashboard", "127.0.0.1:0") as addresses:
        context = chromium_browser.new_context(base_url=f"http://{addresses['dashboard']}")
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        yield page
        context.close()


def log_in(page: Page) -> None:
    """Open the dashboard and ask to be let in."""
    page.goto("/")
    page.get_by_role("button", name="Log in").click()


def expect_text(page: Page, text: str) -> None:
    """Wait until it is seen."""
    expect(page.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)


def test_who_may_enter_does_and_others_do_not(page: Page, provider: Provider) -> None:
    """Ada sees the page and stays logged in; once out, she is asked again; Eve is told why not; a forger is nobody."""
    page.goto("/")
    expect_text(page, "Log in")
    assert page.get_by_text(INSIDE).count() == 0
    log_in(page)
    expect_text(page, INSIDE)
    page.reload()
    expect_text(page, INSIDE)
    assert len(provider.asked) == 1
    page.get_by_role("button", name="Log out").click()
    expect_text(page, "Log in")
    provider.claims = dict(EVE)
    log_in(page)
    expect_text(page, REFUSED)
    assert page.get_by_text(INSIDE).count() == 0
    page.get_by_role("button", name="Log out").click()
    expect_text(page, "Log in")
    provider.claims = dict(ADA)
    provider.forge()
    with page.expect_response(lambda answer: "/oauth2callback" in answer.url):
        log_in(page)
    expect_text(page, "Log in")
    assert len(provider.asked) == 3
    assert page.get_by_text(INSIDE).count() == 0


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read as TOML"), ("a = 1", "has no [auth] table")])
def test_a_login_that_cannot_work_is_told_at_the_start(tmp_path: Path, content: str | None, message: str) -> None:
    """In words, and without a line of the file."""
    file = tmp_path / "login.toml"
    if content:
        file.write_text(content)
    _refused(file, message)


def test_what_is_not_installed_is_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that brings it."""
    monkeypatch.setattr("dashboard.launch.find_spec", lambda _: None)
    _refused(tmp_path / "login.toml", "pip install lithoscope[oidc]")


def _refused(file: Path, message: str) -> None:
    settings = load_settings({"dashboard_login": file})
    address = Address("127.0.0.1", 0)
    with (
        pytest.raises(ConfigurationError) as caught,
        running_dashboard("http://127.0.0.1:1", address, settings=settings),
    ):
        pass
    assert message in str(caught.value)
