"""The line above every page: environment, range, refresh."""

from __future__ import annotations

import streamlit as st

from dashboard import client
from dashboard.components.empty import draw_empty
from dashboard.state import DEFAULT_RANGE, RANGES, REFRESH


def draw_header(title: str) -> None:
    """Draw the title and what limits the page; end the run when nothing is stored yet."""
    environments = client.report()["environments"]
    if not environments:
        draw_empty()
    name, environment, window, refresh = st.columns([5, 2, 2, 1], vertical_alignment="bottom")
    name.title(title, anchor=False)
    environment.selectbox("Environment", environments, key="env", bind="query-params")
    window.selectbox("Last", RANGES, key="range", bind="query-params", index=RANGES.index(DEFAULT_RANGE))
    refresh.selectbox("Refresh", list(REFRESH), key="refresh", bind="query-params")
    every = REFRESH[str(st.session_state["refresh"])]
    if every:
        st.fragment(_tick, run_every=every)(every)


def _tick(every: int) -> None:
    """Run the page again at every turn but the first, which the page itself has brought about."""
    turns = st.session_state.get("turns", 0)
    st.session_state["turns"] = turns + 1
    if turns % 2:
        st.rerun()
    st.caption(f"live, every {every} s")
