"""One trace: its waterfall, and the span that is picked in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from collector.cli.waterfall import kept_rows, tree_rows
from dashboard.charts.waterfall import MOST_BARS, ROW_HEIGHT, waterfall
from dashboard.units import ms

if TYPE_CHECKING:
    from collections.abc import Mapping

_NS_PER_MS = 1e6


def draw_trace(trace: Mapping[str, Any]) -> None:
    """Draw the waterfall of a ``trace`` object and the figures of the picked span."""
    rows = kept_rows(tree_rows(trace["spans"]), MOST_BARS)
    spans = [row.span | {"depth": row.depth} for row in rows]
    st.subheader(f"Trace {trace['trace_id']}", anchor=False)
    st.caption(_about(trace, len(rows)))
    option = waterfall(spans, trace["critical_path"])
    picked = st.echarts_chart(
        option, height=60 + ROW_HEIGHT * len(spans), key="waterfall", on_select="rerun", alt="Spans of the trace"
    )
    chosen = picked["selection"]["selected"]
    if chosen and chosen[0]["data_indices"]:
        _draw_span(spans[min(chosen[0]["data_indices"][0], len(spans) - 1)])


def _about(trace: Mapping[str, Any], shown: int) -> str:
    spans = trace["spans"]
    said = [f"{len(spans):,} spans", f"{len({span['service'] for span in spans})} services"]
    said += [f"the {shown:,} most telling shown"] if shown < len(spans) else []
    said += [] if trace["complete"] else ["incomplete: spans are missing"]
    said += ["clocks were corrected"] if trace["skew_adjusted"] else []
    return " · ".join([*said, "the line is the critical path: what the request waited for"])


def _draw_span(span: Mapping[str, Any]) -> None:
    with st.container(border=True):
        st.markdown(f"**{span['service']}** {span['name']}")
        figures = {"Duration": "duration_ns", "Own work": "self_time_ns", "On the critical path": "critical_path_ns"}
        for column, (label, key) in zip(st.columns(len(figures)), figures.items(), strict=True):
            value = span.get(key)
            column.metric(label, ms(None if value is None else value / _NS_PER_MS))
        st.caption(f"{span['kind']}, {span['status']}, span {span['span_id']}")
