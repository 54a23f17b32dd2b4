"""The matrix of services with the cell that is picked in it, and the boundaries that it suggests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analytics.communities import matrix_order, service_calls
from dashboard.charts.matrix import MOST_BESIDE, dependency_matrix
from dashboard.components.details import draw_edge
from dashboard.components.finding_cards import draw_finding
from dashboard.components.plain import plain
from dashboard.state import is_dark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, Any]

_MATRIX_PX = 660
_SIDE_PX = 280


def draw_matrix(report: Row) -> None:
    """Draw the matrix of a ``report`` and what was picked in it."""
    calls = service_calls(report["services"], report["edges"])
    names = [service["name"] for service in report["services"] if service["type"] == "service"]
    communities = matrix_order(names, _weights(calls))
    beside = len(names) <= MOST_BESIDE
    row = st.container(horizontal=beside, gap="medium")  # which wraps where the window is narrow
    matrix = row.container(width=_MATRIX_PX if beside else "stretch")
    side = row.container(width=_SIDE_PX if beside else "stretch")
    with matrix:
        st.caption(
            "A row calls its columns. Coloured: it waits for the answer; orange dot: a message; red frame: it calls "
            "back, a cycle. Dashed: services that mostly call each other. Click a cell for its figures."
        )
        picked = st.altair_chart(
            dependency_matrix(communities, calls, dark=is_dark()),
            width="content",
            on_select="rerun",
            key="matrix",
            selection_mode="pick",
            alt="Which service calls which",
        )
    with side:
        _draw_picked(picked["selection"].get("pick", []), report)
        _draw_boundaries(communities, report["findings"])


def _weights(calls: Sequence[Row]) -> dict[tuple[str, str], float]:
    weights: dict[tuple[str, str], float] = {}
    for call in calls:
        pair = (call["caller"], call["callee"])
        weights[pair] = weights.get(pair, 0.0) + call["calls"]
    return weights


def _draw_picked(picked: Any, report: Row) -> None:
    """Draw the call that is picked in the matrix, or by its name, which needs no mouse."""
    names = {service["name"] for service in report["services"] if service["type"] == "service"}
    edges = {
        f"{edge['caller']} → {edge['callee']}, {edge['mode']}": edge
        for edge in report["edges"]
        if {edge["caller"], edge["callee"]} <= names
    }
    cells = [f"{cell['caller']} → {cell['callee']}, {cell['mode']}" for cell in picked]
    if not cells:
        named = st.selectbox(
            "Call", sorted(edges), index=None, placeholder="a call by its name", key="call", bind="query-params"
        )
        cells = [named] if named else []
    for cell in cells[:1]:
        if cell in edges:
            with st.container(border=True):
                draw_edge(edges[cell])


def _draw_boundaries(communities: Sequence[Sequence[str]], findings: Sequence[Row]) -> None:
    st.subheader("Suggested boundaries", anchor=False)
    boundaries = [finding for finding in findings if finding["rule"] == "boundary"]
    for finding in boundaries:
        if finding["status"] == "found":
            draw_finding(finding)
        else:
            st.info(plain(finding["title"]), icon=":material/help:")
    if not boundaries:
        st.caption("No two services should be one, and none should be two.")
    together = [members for members in communities if len(members) > 1]
    if together:
        st.markdown("**Mostly call each other**")
        st.markdown("\n".join(f"- {plain(', '.join(members))}" for members in together))
