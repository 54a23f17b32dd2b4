"""Coupling: what the index consists of, who waits for whom, how slowness spreads, and what a change would do."""

from __future__ import annotations

import streamlit as st

from dashboard import client
from dashboard.components.coupling_index import draw_coupling_index
from dashboard.components.matrix import draw_matrix
from dashboard.components.propagation import draw_propagation
from dashboard.components.what_if import draw_what_if
from dashboard.state import window

_PARTS = ("Matrix", "Index", "Propagation", "What if")


def draw() -> None:
    """Draw the page."""
    report = client.report(**window())
    part = st.segmented_control(
        "Part", _PARTS, default=_PARTS[0], required=True, key="part", bind="query-params", label_visibility="collapsed"
    )
    match part:
        case "Index":
            draw_coupling_index(report["coupling_index"])
        case "Propagation":
            draw_propagation(report["propagation"])
        case "What if":
            draw_what_if(report)
        case _:
            draw_matrix(report)
