"""Who has not said the password sees nothing, and a wrong one takes time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from streamlit.testing.v1 import AppTest

from collector.access.passwords import hash_password
from dashboard import login

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "correct horse"


def _page() -> None:
    import streamlit as st  # noqa: PLC0415  (the function's text is what runs)

    from dashboard.login import require_login  # noqa: PLC0415

    require_login()
    st.write("secret")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """How long wrong passwords waited."""
    waited: list[float] = []
    lock = _Lock()
    monkeypatch.setattr("dashboard.login.time", SimpleNamespace(sleep=waited.append))
    monkeypatch.setattr("dashboard.login._one_at_a_time", lock)
    monkeypatch.setenv(login.PASSWORD_VARIABLE, hash_password(PASSWORD))
    monkeypatch.delenv(login.LOGIN_VARIABLE, raising=False)
    yield waited
    assert lock.entered >= len(waited)


class _Lock:
    """Counts who held it."""

    entered = 0

    def __enter__(self) -> None:
        self.entered += 1

    def __exit__(self, *_: object) -> None:
        pass


def _say(page: AppTest, password: str) -> AppTest:
    page.text_input[0].set_value(password)
    return page.button[0].click().run()


def _texts(page: AppTest) -> list[str]:
    assert not page.exception
    return [element.value for element in (*page.markdown, *page.error)]


def test_the_password_opens_the_page_and_a_wrong_one_waits(waits: list[float]) -> None:
    """A wrong one is told so; the right one is asked for once a session."""
    page = AppTest.from_function(_page, default_timeout=30).run()
    assert _texts(page) == []
    assert _texts(_say(page, "hunter2")) == ["That is not the password."]
    assert waits == [1.0]
    assert _texts(_say(page, PASSWORD)) == ["secret"]
    assert _texts(page.run()) == ["secret"]
    assert waits == [1.0]


def test_nothing_typed_opens_nothing(waits: list[float]) -> None:
    """An empty password is a wrong one."""
    page = AppTest.from_function(_page, default_timeout=30).run()
    assert _texts(_say(page, "")) == ["That is not the password."]
    assert waits == [1.0]


def test_without_a_password_everybody_sees_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a laptop."""
    monkeypatch.delenv(login.PASSWORD_VARIABLE, raising=False)
    monkeypatch.delenv(login.LOGIN_VARIABLE, raising=False)
    assert _texts(AppTest.from_function(_page, default_timeout=30).run()) == ["secret"]


@pytest.mark.parametrize("logged_in", [False, True])
def test_a_login_by_openid_connect_is_asked_for(monkeypatch: pytest.MonkeyPatch, *, logged_in: bool) -> None:
    """Whoever has no account sees a button and nothing else."""
    monkeypatch.setenv(login.LOGIN_VARIABLE, "secrets.toml")
    monkeypatch.delenv(login.USERS_VARIABLE, raising=False)
    monkeypatch.setattr("streamlit.user", SimpleNamespace(is_logged_in=logged_in, to_dict=dict))
    page = AppTest.from_function(_page, default_timeout=30).run()
    assert _texts(page) == (["secret"] if logged_in else [])
    assert [button.label for button in page.button] == (["Log out"] if logged_in else ["Log in"])


@pytest.mark.parametrize(
    ("users", "claims", "enters"),
    [
        ("", {}, True),
        ("@example.org", {"email": "ada@example.org"}, True),
        ("bob@b.org, @Example.org", {"email": "Ada@EXAMPLE.org", "email_verified": True}, True),
        ("ada@example.org", {"email": "ada@example.org"}, True),
        ("ada@example.org", {"email": "bob@example.org"}, False),
        ("@example.org", {"email": "ada@example.org.evil.com"}, False),
        ("@example.org", {"email": "ada@sub.example.org"}, False),
        ("@example.org", {"email": "ada@evil.com@example.org", "email_verified": False}, False),
        ("@example.org", {"email": "ada@example.org", "email_verified": "false"}, False),
        ("@example.org", {"email": "@example.org"}, False),
        ("@example.org", {"email": None}, False),
        ("@example.org", {}, False),
    ],
)
def test_who_may_enter(users: str, claims: dict[str, object], *, enters: bool) -> None:
    """Addresses and whole domains, in any case; an address that is not verified is nobody's."""
    assert login.may_enter(claims, users) is enters


def test_an_account_that_may_not_enter_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told so, and may log out."""
    monkeypatch.setenv(login.LOGIN_VARIABLE, "secrets.toml")
    monkeypatch.setenv(login.USERS_VARIABLE, "@example.org")
    claims = {"email": "eve@elsewhere.org"}
    monkeypatch.setattr("streamlit.user", SimpleNamespace(is_logged_in=True, to_dict=lambda: claims))
    page = AppTest.from_function(_page, default_timeout=30).run()
    assert [text[:29] for text in _texts(page)] == ["This account may not look at "]
    assert [button.label for button in page.button] == ["Log out"]
