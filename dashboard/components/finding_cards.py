"""Findings as cards: what is wrong, by which figures, where to look and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.state import link
from dashboard.theme import ICONS, SEVERITIES
from dashboard.views import page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def draw_findings(findings: Sequence[Mapping[str, Any]], most: int) -> None:
    """Draw the worst findings, and how many more there are."""
    found = [finding for finding in findings if finding["status"] == "found"]
    unknown = len(findings) - len(found)
    if not found:
        st.info("The rules found nothing in these traces.", icon=":material/check:")
    for finding in found[:most]:
        _draw_finding(finding)
    more = max(len(found) - most, 0)
    st.caption(f"{more} more; {unknown} rules have too little data to tell." if more or unknown else "")


def _draw_finding(finding: Mapping[str, Any]) -> None:
    severity = finding["severity"]
    with st.container(border=True):
        st.badge(f"{severity} · {finding['rule']}", icon=ICONS[severity], color=SEVERITIES[severity])
        st.markdown(f"**{_plain(finding['title'])}**")
        st.caption(_plain(finding["advice"]))
        with st.expander("Evidence"):
            st.table({"": list(finding["evidence"]), " ": [str(value) for value in finding["evidence"].values()]})
        links = st.container(horizontal=True)
        for number, trace_id in enumerate(finding["trace_ids"], start=1):
            label = f"trace {number}"
            links.page_link(page("traces"), label=label, query_params=link(trace=trace_id))


def _plain(text: str) -> str:
    """Text of telemetry is no Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+!|$~:" else letter for letter in text)
