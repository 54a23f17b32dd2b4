"""Findings as cards: what is wrong, by which figures, where to look and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.components.plain import plain
from dashboard.state import link
from dashboard.theme import ICONS, SEVERITIES
from dashboard.views import page
from dashboard.what_if import remedy

_IN_A_ROW = 3

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def draw_findings(
    findings: Sequence[Mapping[str, Any]], lowers: Sequence[Mapping[str, Any]] = (), *, unknown_too: bool = False
) -> None:
    """Draw the worst findings in a row, the others folded away; ``lowers`` are the coupling index's.

    What rules have too little data for is folded away as well, unless ``unknown_too``.
    """
    found = [finding for finding in findings if finding["status"] == "found"]
    unknown = [finding for finding in findings if finding["status"] != "found"]
    if not found:
        told = "What could be judged shows nothing." if unknown else "The rules found nothing in these traces."
        st.info(told, icon=":material/check:")
    _draw_row(found[:_IN_A_ROW], lowers, min(len(found), _IN_A_ROW))
    more = found[_IN_A_ROW:]
    if more:
        with st.expander(f"{len(more)} more finding{'s' if len(more) > 1 else ''}"):
            for place in range(0, len(more), _IN_A_ROW):
                _draw_row(more[place : place + _IN_A_ROW], lowers, _IN_A_ROW)
    if unknown:
        label = f"{len(unknown)} rule{'s have' if len(unknown) > 1 else ' has'} too little data to tell"
        with st.expander(label, expanded=unknown_too):
            st.markdown("\n".join(f"- **{finding['rule']}** {plain(finding['title'])}" for finding in unknown))


def _draw_row(findings: Sequence[Mapping[str, Any]], lowers: Sequence[Mapping[str, Any]], columns: int) -> None:
    if findings:
        for column, finding in zip(st.columns(columns), findings, strict=False):
            with column:
                draw_finding(finding, lowers)


def draw_finding(finding: Mapping[str, Any], lowers: Sequence[Mapping[str, Any]] = ()) -> None:
    """Draw one finding, with the ways to its traces and to what would mend it."""
    severity = finding["severity"]
    with st.container(border=True, height="stretch"):
        st.badge(f"{severity} · {finding['rule']}", icon=ICONS[severity], color=SEVERITIES[severity])
        st.markdown(f"**{plain(finding['title'])}**")
        st.caption(plain(finding["advice"]))
        with st.container(horizontal=True, vertical_alignment="center"):
            _draw_links(finding, lowers)
            with st.popover("Evidence", type="tertiary"):
                evidence = finding["evidence"]
                st.table({"": list(evidence), " ": [str(value) for value in evidence.values()]}, border="horizontal")


def _draw_links(finding: Mapping[str, Any], lowers: Sequence[Mapping[str, Any]]) -> None:
    if finding["trace_ids"]:
        shown = link(trace=finding["trace_ids"][0], among=finding["trace_ids"])
        st.page_link(page("traces"), label="Show traces", query_params=shown)
    if mended := remedy(finding, lowers):
        parameters = link(part="What if", what=mended.change)
        st.page_link(page("coupling"), label=mended.label, icon=":material/science:", query_params=parameters)
