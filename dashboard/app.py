"""The entry that Streamlit runs: what is the same on every page, and which pages there are."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import client
from dashboard.components.header import draw_header
from dashboard.components.trouble import told_in_words
from dashboard.login import require_login
from dashboard.views import PAGES

st.set_page_config(page_title="Lithoscope", page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")


def main() -> None:
    """Draw the page that the URL names."""
    require_login()
    page = st.navigation({group: [entry.page() for entry in entries] for group, entries in PAGES.items()})
    with told_in_words():
        draw_header(page.title)
        page.run()
    st.sidebar.caption(f"Collector: {client.address()}")


main()
