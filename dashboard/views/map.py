"""The map: who calls whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import client
from dashboard.charts.service_map import HEIGHT, LENSES, service_map
from dashboard.components.details import draw_edge, draw_node
from dashboard.filters import focused, framed_nodes, without_externals
from dashboard.state import window

if TYPE_CHECKING:
    from collections.abc import Sequence


def draw() -> None:
    """Draw the page."""
    report = client.report(**window())
    lens, focus, externals = _choices([service["name"] for service in report["services"]])
    services = report["services"] if externals else without_externals(report["services"])
    services = focused(services, report["edges"], focus)
    names = {service["name"] for service in services}
    edges = [edge for edge in report["edges"] if edge["caller"] in names and edge["callee"] in names]
    option = service_map(services, edges, lens, framed_nodes(report["findings"]))
    picked = st.echarts_chart(option, height=HEIGHT, key="map", on_select="rerun", renderer="svg", alt="Who calls whom")
    st.caption(
        "Solid lines wait for the answer, dashed ones are messages; wider means more calls. "
        "A dashed frame marks a cycle or a shared database. Click a node or a line for its figures, on the left."
    )
    with st.sidebar, st.container(border=True):
        _draw_picked(picked, services, edges, report["findings"], focus)


def _choices(names: Sequence[str]) -> tuple[str, str | None, bool]:
    lens, focus, externals = st.columns([2, 2, 1], vertical_alignment="bottom")
    chosen = lens.selectbox("Colour by", list(LENSES), key="lens", bind="query-params")
    near = focus.selectbox(
        "Focus on", sorted(names), index=None, placeholder="all services", key="focus", bind="query-params"
    )
    shown = externals.toggle("Externals", value=True, key="externals", bind="query-params")
    return chosen or "kind", near, shown


def _draw_picked(
    picked: Any, services: Sequence[Any], edges: Sequence[Any], findings: Sequence[Any], focus: str | None
) -> None:
    """Draw what is picked, else what the map is focused on: that can be reached without a mouse."""
    chosen = picked["selection"]["selected"]
    places = chosen[0]["data_indices"][:1] if chosen else []
    if places and chosen[0].get("data_type") == "edge":
        for edge in edges[places[0] : places[0] + 1]:
            draw_edge(edge)
        return
    nodes = services[places[0] : places[0] + 1] if places else [node for node in services if node["name"] == focus]
    for node in nodes:
        draw_node(node, findings)
    if not nodes:
        st.caption("Nothing picked yet.")
