"""One trace: its waterfall, the span that is picked in it, its links and its log lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analytics.words import counted
from dashboard import client
from dashboard.charts.waterfall import ROW_HEIGHT, waterfall
from dashboard.components.plain import plain
from dashboard.components.span_detail import draw_span
from dashboard.span_rows import events_of, links_by_span, other_traces, span_rows
from dashboard.state import link
from dashboard.units import ms
from dashboard.views import page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NS_PER_MS = 1e6
_MOST_LINKS = 8
_MOST_ROWS, _TALLEST = 45, 960  # rows, pixels: taller ones scroll inside the page
_LABELS = {True: 200, False: 380}  # pixels, in half the width and in all of it
_LOG: dict[str, Any] = {
    "time": st.column_config.DatetimeColumn("Time", format="HH:mm:ss.SSS"),
    "severity_text": "Severity",
    "service_name": "Service",
    "body": st.column_config.TextColumn("Message", width="large"),
    "span_id": "Span",
}


def draw_traces(trace_ids: Sequence[str]) -> None:
    """Draw a trace, or several side by side, whose axes are then as long as that of the longest."""
    several = len(trace_ids) > 1
    until_ms = max(_duration_ms(client.trace(trace_id)["spans"]) for trace_id in trace_ids) if several else None
    for column, trace_id in zip(st.columns(max(len(trace_ids), 1), gap="medium"), trace_ids, strict=True):
        with column:
            _draw_trace(trace_id, until_ms, half=several)


def _duration_ms(spans: Sequence[Mapping[str, Any]]) -> float:
    begin = min(span["start_unix_nano"] for span in spans)
    end = max(span["start_unix_nano"] + span["duration_ns"] for span in spans)
    return float(end - begin) / _NS_PER_MS


def _draw_trace(trace_id: str, until_ms: float | None, *, half: bool) -> None:
    trace = client.trace(trace_id)
    moments = client.moments(trace_id)
    links = links_by_span(moments)
    below = None if half else st.query_params.get("below")
    spans, number = span_rows(trace, links, below)
    st.subheader(f"Trace {trace_id}" if not half else f"Trace {trace_id[:8]}…", anchor=False)
    st.caption(_about(trace, len(spans), number))
    if number < len(trace["spans"]) and st.button("Show the whole trace", key="whole", icon=":material/zoom_out_map:"):
        del st.query_params["below"]
        st.rerun()
    _draw_links(other_traces(links, trace_id))
    with st.container(height=_TALLEST if len(spans) > _MOST_ROWS else "content", border=False):
        picked = st.echarts_chart(
            waterfall(spans, trace["critical_path"], events_of(moments), _LABELS[half], until_ms),
            height=60 + ROW_HEIGHT * len(spans),
            key=f"waterfall-{trace_id}" if half else "waterfall",
            on_select="rerun",
            alt="Spans of the trace",
        )
    st.caption(
        "Red lines are the critical path: what the request waited for. Diamonds are events. Click a bar for more."
    )
    span = _picked_span(picked, spans) or (None if half else _found_span(spans))
    if span:
        draw_span(trace_id, span, moments, can_zoom=not half)
    _draw_logs(trace_id)


def _picked_span(picked: Any, spans: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    chosen = picked["selection"]["selected"]
    places = chosen[0]["data_indices"] if chosen else []
    return spans[places[0]] if places and places[0] < len(spans) else None


def _found_span(spans: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the span that is chosen by its name: bars can be clicked, but not reached by the keyboard."""
    names = [f"{span['service']} {span['name']} · {ms(span['duration_ns'] / _NS_PER_MS)}" for span in spans]
    place = st.selectbox(
        "Span",
        range(len(spans)),
        index=None,
        format_func=lambda place: names[place],
        placeholder="find a span by its name",
        key="span",
        label_visibility="collapsed",
    )
    return None if place is None else spans[place]


def _about(trace: Mapping[str, Any], shown: int, number: int) -> str:
    spans = trace["spans"]
    said = [
        ms(_duration_ms(spans)),
        counted(len(spans), "span"),
        counted(len({span["service"] for span in spans}), "service"),
    ]
    failed = sum(span["status"] == "error" for span in spans)
    said += [f"{failed} failed"] if failed else []
    said += [f"the {shown:,} most telling of {number:,} shown"] if shown < number else []
    said += [] if trace["complete"] else ["incomplete: spans are missing"]
    said += ["clocks were corrected"] if trace["skew_adjusted"] else []
    return " · ".join(said)


def _draw_links(others: list[str]) -> None:
    if not others:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Linked to", width="content")
        for other in others[:_MOST_LINKS]:
            label = f"trace {other[:8]}"
            st.page_link(page("traces"), label=label, icon=":material/link:", query_params=link(trace=other))
        if len(others) > _MOST_LINKS:
            st.caption(f"and {len(others) - _MOST_LINKS} more", width="content")


def _draw_logs(trace_id: str) -> None:
    lines = client.logs(trace_id)
    if lines.is_empty():
        st.caption("No log line names this trace.")
        return
    with st.expander(counted(lines.height, "log line"), icon=":material/notes:"):
        st.dataframe(lines, column_config=_LOG, column_order=list(_LOG), hide_index=True, key=f"logs-{plain(trace_id)}")
