"""Asks who looks before anything is drawn: a shared password, or a login by OpenID Connect."""

from __future__ import annotations

import os
import threading
import time

import streamlit as st

from collector.access.passwords import matches
from collector.settings import variable

PASSWORD_VARIABLE, LOGIN_VARIABLE = variable("dashboard_password"), variable("dashboard_login")
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
    if st.user.is_logged_in:
        return
    st.title("Lithoscope")
    st.button("Log in", on_click=st.login)
    st.stop()


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
