"""The figures of one node or one edge of the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.components.plain import plain
from dashboard.state import link
from dashboard.units import UNKNOWN, count, ms, percent
from dashboard.views import page
from dashboard.what_if import change_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def draw_node(node: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> None:
    """Draw a node's figures, what the rules say of it, and the way to its traces."""
    st.subheader(plain(node["name"]), anchor=False)
    st.caption(node["type"])
    _figures(
        {
            "Calls": count(node["calls"]),
            "Failed": percent(node["error_rate"]),
            "p50": ms(node["p50_ms"]),
            "p99": ms(node["p99_ms"]),
            "Of all latency": percent(node["critical_path_share"]),
            "Needed by": f"{percent(node['blast_radius'])} of requests",
            "Fullest resource": percent(node["saturation"]),
        }
    )
    if node["saturation_source"]:
        st.caption(node["saturation_source"])
    for finding in findings:
        if node["name"] in finding["services"] and finding["status"] == "found":
            st.markdown(f"**{finding['rule']}** {plain(finding['title'])}")
    if node["type"] == "service":
        st.page_link(page("traces"), label="Its traces", query_params=link(service=node["name"]))
    if node["type"] != "user":
        draw_what_ifs(node["name"])


def draw_what_ifs(name: str) -> None:
    """Draw the ways to what would happen without a node, and with a slower one."""
    for change, label in (("fail", "What if it fails"), ("slow", "What if it is slower")):
        parameters = link(part="What if", what=change_name(change, name))
        st.page_link(page("coupling"), label=label, icon=":material/science:", query_params=parameters)


def draw_edge(edge: Mapping[str, Any]) -> None:
    """Draw an edge's figures."""
    st.subheader(f"{plain(edge['caller'])} → {plain(edge['callee'])}", anchor=False)
    st.caption(f"{edge['mode']}, {plain(edge['protocol'] or 'protocol unknown')}")
    _figures(
        {
            "Calls": count(edge["calls"]),
            "Calls a trace": f"{edge['calls_per_trace']:.2f}" if edge["calls_per_trace"] is not None else UNKNOWN,
            "Failed": percent(edge["error_rate"]),
            "p99": ms(edge["p99_ms"]),
            "Waiting on the way": ms(edge["gap_ms"]),
            "Of all latency": percent(edge["critical_path_share"]),
            "Failures that climb": percent(edge["failure_propagation"]),
            "Attempts a call": f"{edge['retry_amplification']:.2f}" if edge["retry_amplification"] else UNKNOWN,
        }
    )


def _figures(figures: Mapping[str, str]) -> None:
    st.table({"": list(figures), " ": list(figures.values())}, border="horizontal")
