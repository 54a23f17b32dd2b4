"""What came and went between two sides of a comparison: edges, cycles and findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.components.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, Any]

_MOST = 8
_UNCERTAIN = " *(or too little data on the other side)*"


def draw_coupling_changes(coupling: Row) -> None:
    """Draw the ``coupling`` object of a ``diff``."""
    told = [
        ("New circle", [plain(", ".join(circle)) for circle in coupling["new_cycles"]]),
        ("New findings", [_finding(finding) for finding in coupling["new_findings"]]),
        ("Findings that have changed", [_became(change) for change in coupling["changed_findings"]]),
        ("Findings that are gone", [_finding(finding) for finding in coupling["gone_findings"]]),
        ("New calls", [_edge(edge) for edge in coupling["new_edges"]]),
        ("Calls that are gone", [_edge(edge) for edge in coupling["gone_edges"]]),
    ]
    if not any(lines for _, lines in told):
        st.caption("No call, circle or finding came or went.")
    for place, (label, lines) in enumerate(told):
        if lines:
            with st.expander(f"{label} ({len(lines)})", expanded=place < 2):  # noqa: PLR2004  (the worst)
                _draw_lines(lines)


def _draw_lines(lines: Sequence[str]) -> None:
    st.markdown(_listed(lines[:_MOST]))
    if len(lines) > _MOST:
        with st.popover(f"{len(lines) - _MOST} more", type="tertiary"):
            st.markdown(_listed(lines[_MOST:]))


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _finding(finding: Row) -> str:
    return f"**{finding['rule']}** {plain(finding['title'])}" + ("" if finding["certain"] else _UNCERTAIN)


def _became(change: Row) -> str:
    return f"{_finding(change['after'])}  \nbefore: {plain(change['before']['title'])}"


def _edge(edge: Row) -> str:
    told = f"{plain(edge['caller'])} → {plain(edge['callee'])}, {edge['mode']}, {edge['calls']:,} calls"
    return told + ("" if edge["certain"] else _UNCERTAIN)
