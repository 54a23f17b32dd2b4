"""The overview: how coupled the system is, what is worst, and how each service and endpoint does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import client
from dashboard.charts.index import index_parts
from dashboard.components.attention import draw_attention
from dashboard.components.finding_cards import draw_findings
from dashboard.components.health import draw_health
from dashboard.components.overview_tables import draw_endpoints, draw_services
from dashboard.line_cells import lines_by_service
from dashboard.state import window
from dashboard.units import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def draw() -> None:
    """Draw the page."""
    report = client.report(**window())
    index = report["coupling_index"] or {"score": None, "grade": "unknown", "components": [], "lowers": []}
    draw_attention(report["environment"])
    score, parts, health = st.columns([1, 4, 1.4], vertical_alignment="center", gap="medium")
    with score:
        _draw_score(index, client.index_history(report["environment"]))
    if index["components"]:
        parts.altair_chart(index_parts(index["components"]))
    with health:
        draw_health(report["window"])
    st.subheader("Findings", anchor=False)
    draw_findings(report["findings"], index["lowers"])
    st.subheader("Services", anchor=False)
    draw_services(report["services"], lines_by_service(client.series(**window())))
    st.subheader("Endpoints", anchor=False)
    draw_endpoints(report["endpoints"])


def _draw_score(index: Mapping[str, Any], history: Sequence[float]) -> None:
    if index["score"] is None:
        st.metric("Coupling index", UNKNOWN, help="Too few traces to tell.")
        return
    several = len(history) > 1
    st.metric(
        "Coupling index",
        f"{index['score']:.0f}",
        help="0: free. 100: one monolith." + (" The line has a point an hour." if several else ""),
        chart_data=history if several else None,
    )
    st.caption(index["grade"])
