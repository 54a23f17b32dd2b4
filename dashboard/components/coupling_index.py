"""The coupling index in full: its parts with what causes them, and which calls to change to lower it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.charts.index import index_parts
from dashboard.components.plain import plain
from dashboard.state import link
from dashboard.units import UNKNOWN
from dashboard.views import page
from dashboard.what_if import change_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_CALLS = 10


def draw_coupling_index(index: Mapping[str, Any]) -> None:
    """Draw a report's ``coupling_index``."""
    score, parts = st.columns([1, 4], vertical_alignment="center", gap="large")
    known = index["score"] is not None
    score.metric(
        "Coupling index", f"{index['score']:.0f} of 100" if known else UNKNOWN, help="0: free. 100: one monolith."
    )
    score.caption(index["grade"])
    if index["missing"]:
        parts.info(f"Too little data: {plain(index['missing'])}.")
    if not known:
        return
    parts.altair_chart(index_parts(index["components"]))
    causes, remedies = st.columns([3, 2], gap="large")
    with causes:
        st.subheader("What it consists of", anchor=False)
        _draw_components(index["components"])
    with remedies:
        st.subheader("What would lower it", anchor=False)
        _draw_lowers(index["lowers"])


def _draw_components(components: Sequence[Mapping[str, Any]]) -> None:
    rows = sorted(components, key=lambda part: -part["contribution"])
    st.table(
        {
            "Part": [f"**{part['name']}**" for part in rows],
            "Points": [f"{part['contribution']:.1f}\u00a0of\u00a0{100 * part['weight']:.0f}" for part in rows],
            "Because": [plain(part["explanation"]) for part in rows],
        },
        border="horizontal",
    )


def _draw_lowers(lowers: Sequence[Mapping[str, Any]]) -> None:
    if not lowers:
        st.caption("No single call would.")
        return
    st.table(
        {
            "Call": [plain(row["edge"].replace("->", " → ")) for row in lowers[:_MOST_CALLS]],
            "As a message": [_points(row["if_async"]) for row in lowers[:_MOST_CALLS]],
            "Without it": [_points(row["if_removed"]) for row in lowers[:_MOST_CALLS]],
        },
        border="horizontal",
    )
    parameters = link(part="What if", what=change_name("async", lowers[0]["edge"]))
    st.page_link(
        page("coupling"), label="Simulate the first as a message", icon=":material/science:", query_params=parameters
    )


def _points(fall: float) -> str:
    return f"\u2212{fall:.1f}" if fall else UNKNOWN
