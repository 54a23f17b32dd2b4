"""Asks who looks before anything is drawn: a shared password, or a login by OpenID Connect."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import streamlit as st

from collector.access.passwords import matches
from collector.settings import variable

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSWORD_VARIABLE, LOGIN_VARIABLE = variable("dashboard_password"), variable("dashboard_login")
USERS_VARIABLE = variable("dashboard_users")
_WRONG_WAITS_S = 1.0
_ADMITTED = "admitted"

_one_at_a_time = threading.Lock()  # guesses on many connections take as long as guesses on one


def require_login() -> None:
    """Return for those who may look; for others draw the question and end the run of the page."""
    if os.environ.get(LOGIN_VARIABLE):
        _require_account()
    elif hashed := os.environ.get(PASSWORD_VARIABLE):
        _require_password(hashed)


def _require_account() -> None:
    if not st.user.is_logged_in:
        st.title("Lithoscope")
        st.button("Log in", on_click=st.login)
        st.stop()
    claims = st.user.to_dict()
    if may_enter(claims, os.environ.get(USERS_VARIABLE, "")):
        st.sidebar.button("Log out", on_click=st.logout, help=str(claims.get("email") or ""))
        return
    st.title("Lithoscope")
    st.error("This account may not look at this: ask whoever runs Lithoscope to add its address to dashboard_users.")
    st.text(f"Logged in as {claims.get('email') or 'somebody without an address'}.")  # plain: it is the provider's text
    st.button("Log out", on_click=st.logout)
    st.stop()


def may_enter(claims: Mapping[str, object], users: str) -> bool:
    """Whether an account is one of these addresses and domains, with commas between them; none means any account.

    An address that its provider says is not verified is nobody's.
    """
    allowed = {user.strip().lower() for user in users.split(",") if user.strip()}
    if not allowed:
        return True
    address = str(claims.get("email") or "").lower()
    name, at, domain = address.rpartition("@")
    is_verified = str(claims.get("email_verified", True)).lower() != "false"
    return bool(name and at and is_verified) and not allowed.isdisjoint((address, f"@{domain}"))


def _require_password(hashed: str) -> None:
    if st.session_state.get(_ADMITTED) == hashed:
        return
    st.title("Lithoscope")
    with st.form("login"):
        password = st.text_input("Password", type="password")
        asked = st.form_submit_button("Log in")
    if asked and _is_right(password, hashed):
        st.session_state[_ADMITTED] = hashed
        st.rerun()
    if asked:
        st.error("That is not the password.")
    st.stop()


def _is_right(password: str, hashed: str) -> bool:
    with _one_at_a_time:
        if matches(password, hashed):
            return True
        time.sleep(_WRONG_WAITS_S)
        return False
