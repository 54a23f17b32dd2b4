"""The line above every page: environment, range, refresh."""

from __future__ import annotations

import streamlit as st

from dashboard import client
from dashboard.components.empty import draw_empty
from dashboard.components.live import draw_live
from dashboard.state import DEFAULT_RANGE, RANGES, REFRESH, env_label


def draw_header(title: str) -> None:
    """Draw the title and what limits the page; end the run when nothing is stored yet."""
    environments = client.environments()
    if not environments:
        draw_empty()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        st.title(title, anchor=False)
        st.selectbox("Environment", environments, key="env", bind="query-params", format_func=env_label, width=150)
        st.selectbox("Last", RANGES, key="range", bind="query-params", index=RANGES.index(DEFAULT_RANGE), width=90)
        st.selectbox("Refresh", list(REFRESH), key="refresh", bind="query-params", width=80)
    every_s = REFRESH[str(st.session_state["refresh"])]
    if every_s:
        draw_live(every_s)
