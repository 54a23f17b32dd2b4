"""The pages, each a module with a function ``draw``: layout only.

The folder is not named ``pages``: Streamlit runs the files of one of that name by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the navigation; ``name`` is its module and its address."""

    name: str
    title: str
    icon: str

    def page(self) -> StreamlitPage:
        """Return what Streamlit shows; the module is loaded when the page is opened."""
        return st.Page(
            lambda: import_module(f"dashboard.views.{self.name}").draw(),
            title=self.title,
            icon=f":material/{self.icon}:",
            url_path=self.name,
            default=self.name == "overview",
        )


PAGES: dict[str, list[Entry]] = {
    "System": [
        Entry("overview", "Overview", "dashboard"),
        Entry("map", "Map", "hub"),
        Entry("coupling", "Coupling", "grid_on"),
    ],
    "Performance": [
        Entry("latency", "Latency", "timer"),
        Entry("compare", "Compare", "compare_arrows"),
        Entry("saturation", "Saturation", "speed"),
        Entry("traces", "Traces", "account_tree"),
    ],
    "Data": [Entry("sql", "SQL", "database")],
}


def page(name: str) -> StreamlitPage:
    """Return the page of this name, for links."""
    return next(entry.page() for entries in PAGES.values() for entry in entries if entry.name == name)
