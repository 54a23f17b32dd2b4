"""Findings as cards: what is wrong, by which figures, where to look and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.components.plain import plain
from dashboard.state import link
from dashboard.theme import ICONS, SEVERITIES
from dashboard.views import page
from dashboard.what_if import remedy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def draw_findings(findings: Sequence[Mapping[str, Any]], most: int, lowers: Sequence[Mapping[str, Any]] = ()) -> None:
    """Draw the worst findings, and how many more there are; ``lowers`` are the coupling index's."""
    found = [finding for finding in findings if finding["status"] == "found"]
    unknown = len(findings) - len(found)
    if not found:
        st.info("The rules found nothing in these traces.", icon=":material/check:")
    for finding in found[:most]:
        draw_finding(finding, lowers)
    more = max(len(found) - most, 0)
    st.caption(f"{more} more; {unknown} rules have too little data to tell." if more or unknown else "")


def draw_finding(finding: Mapping[str, Any], lowers: Sequence[Mapping[str, Any]] = ()) -> None:
    """Draw one finding, with the ways to its traces and to what would mend it."""
    severity = finding["severity"]
    with st.container(border=True):
        st.badge(f"{severity} · {finding['rule']}", icon=ICONS[severity], color=SEVERITIES[severity])
        st.markdown(f"**{plain(finding['title'])}**")
        st.caption(plain(finding["advice"]))
        with st.expander("Evidence"):
            st.table({"": list(finding["evidence"]), " ": [str(value) for value in finding["evidence"].values()]})
        links = st.container(horizontal=True)
        for number, trace_id in enumerate(finding["trace_ids"], start=1):
            links.page_link(page("traces"), label=f"trace {number}", query_params=link(trace=trace_id))
        if mended := remedy(finding, lowers):
            parameters = link(part="What if", what=mended.change)
            links.page_link(page("coupling"), label=mended.label, icon=":material/science:", query_params=parameters)
