"""A span that is picked in a waterfall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import streamlit as st

from dashboard import client
from dashboard.components.plain import plain
from dashboard.state import link
from dashboard.units import ms
from dashboard.views import page

if TYPE_CHECKING:
    from collections.abc import Mapping

_NS_PER_MS = 1e6
_FIGURES = {"Duration": "duration_ns", "Own work": "self_time_ns", "On the critical path": "critical_path_ns"}


def draw_span(trace_id: str, span: Mapping[str, Any], moments: pl.DataFrame, *, can_zoom: bool) -> None:
    """Draw a span's figures, attributes, events and links."""
    with st.container(border=True):
        st.markdown(f"**{plain(span['service'] or '?')}** {plain(span['name'])}")
        for column, (label, key) in zip(st.columns(len(_FIGURES)), _FIGURES.items(), strict=True):
            value = span.get(key)
            column.metric(label, ms(None if value is None else value / _NS_PER_MS))
        st.caption(f"{span['kind']}, {span['status']}, span {span['span_id']}")
        if can_zoom and st.button("Only this and what is below it", key="zoom", icon=":material/zoom_in:"):
            st.query_params["below"] = span["span_id"]
            st.rerun()
        for half in client.attributes(trace_id, span["span_id"]):
            _draw_attributes(half)
        of_span = moments.filter(pl.col("span_id") == span["span_id"])
        for row in of_span.iter_rows(named=True):
            _draw_events(row["events"] or ())
            _draw_links(row["links"] or ())


def _draw_attributes(half: Mapping[str, Any]) -> None:
    if half["status_message"]:
        st.markdown(plain(half["status_message"]))
    own, resource = st.columns(2)
    for column, label, key in ((own, "Attributes", "attributes"), (resource, "Resource", "resource_attributes")):
        found = half[key]
        if found:
            column.dataframe({label: list(found), "Value": list(found.values())}, hide_index=True, height=180)


def _draw_events(events: Any) -> None:
    for event in events:
        told = event["attributes"] or {}
        st.markdown(
            f":material/circle_notifications: **{plain(event['name'])}** {plain(told.get('exception.message', ''))}"
        )
        if "exception.stacktrace" in told:
            st.code(told["exception.stacktrace"], language=None, height=200)


def _draw_links(links: Any) -> None:
    with st.container(horizontal=True):
        for linked in links:
            other = linked["trace_id"]
            st.page_link(
                page("traces"),
                label=f"linked trace {other[:8]}",
                icon=":material/link:",
                query_params=link(trace=other),
            )
