"""A service's resources over time, its answer to load, and what waits before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import streamlit as st

from dashboard.charts.load import against_load, throughput_law
from dashboard.charts.over_time import over_time
from dashboard.components.plain import plain
from dashboard.tables import readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, Any]

_POINTS: dict[str, Any] = {"instance": pl.String, "time": pl.Datetime("ns"), "value": pl.Float64}
_HOT: dict[str, Any] = {
    "instance": st.column_config.TextColumn("Instance", pinned=True),
    "calls": st.column_config.NumberColumn("Calls", format="localized"),
    "load_share": st.column_config.ProgressColumn("Of the load", format="percent", max_value=1),
    "p50_ms": st.column_config.NumberColumn("p50"),
    "latency_ratio": st.column_config.NumberColumn("Against its peers", format="%.2f"),
    "reason": st.column_config.TextColumn("What is known", width=380),
}


def draw_capacity(answer: Row, service: str) -> None:
    """Draw what ``/v1/saturation`` says of one service; what is unknown is told with its reason."""
    st.markdown("**Utilisation over time**")
    _draw_resources([row for row in answer["resources"] if row["service"] == service])
    load = [row for row in answer["load"] if row["service"] == service]
    laws = [row for row in answer["laws"] if row["service"] == service]
    for law in laws[:1]:
        latency, throughput = st.columns(2, gap="large")
        with latency:
            _draw_knee(load, law)
        with throughput:
            _draw_law(load, law)
    if not laws:
        _unknown("how it answers to load", "no minute of its requests is known")
    _draw_gaps(answer, service)
    _draw_instances([row for row in answer["hot_instances"] if row["service"] == service])


def _unknown(what: str, why: str) -> None:
    st.caption(f":material/help: Unknown {what}, because {plain(why)}.")


def _draw_resources(rows: Sequence[Row]) -> None:
    points = [
        {
            "instance": _series_name(row),
            "time": row["start_unix_nano"],
            "value": row["utilisation"],
        }
        for row in rows
        if row["utilisation"] is not None
    ]
    if not points:
        _unknown("how full its resources are", "no metric tells of a resource with a limit")
        return
    st.altair_chart(over_time(pl.DataFrame(points, schema=_POINTS), "utilisation", share=True), alt="Utilisation")


def _series_name(row: Row) -> str:
    """Of what tells a resource from others, the values are enough."""
    parts = [pair.partition("=")[2] for pair in (row["part"] or "").split(",")]
    return " ".join(filter(None, (row["instance"], row["metric"], *parts)))


def _draw_knee(load: Sequence[Row], law: Row) -> None:
    st.markdown("**p99 against load**")
    titles = ("requests a second", "p99, ms")
    if any(row["p99_ms"] is not None for row in load):
        knee = law["knee_calls_per_s"]
        st.altair_chart(against_load(load, "calls_per_s", "p99_ms", titles, knee), alt="p99 against load")
    if law["knee_calls_per_s"] is None:
        _unknown("where latency turns up", law["knee_unknown"] or "too little is known")
    else:
        low, high = law["knee_low"], law["knee_high"]
        st.caption(f"Latency turns up at {law['knee_calls_per_s']:,.3g} a second (95 %: {low:,.3g} to {high:,.3g}).")


def _draw_law(load: Sequence[Row], law: Row) -> None:
    st.markdown("**Throughput against requests at once**")
    st.altair_chart(throughput_law(load, law), alt="Throughput against concurrency")
    if law["rate"] is None:
        _unknown("how it scales", law["law_unknown"] or "too little is known")
    elif law["peak"] is None:
        st.caption("Gunther's law, the line: no greatest throughput is in sight.")
    else:
        st.caption(f"Gunther's law, the line: throughput is greatest at {law['peak']:,.3g} requests at once.")


def _draw_gaps(answer: Row, service: str) -> None:
    st.markdown("**Waiting on the way to it**")
    judged = [row for row in answer["queueing"] if row["callee"] == service]
    if not judged:
        st.caption("No service waits for it.")
    for row in judged:
        points = [one for one in answer["gaps"] if (one["caller"], one["callee"]) == (row["caller"], service)]
        chart, words = st.columns([2, 1], vertical_alignment="center", gap="large")
        titles = ("requests a second", f"gap from {row['caller']}, ms")
        chart.altair_chart(against_load(points, "callee_calls_per_s", "gap_ms", titles, None), alt="Gap against load")
        with words:
            _draw_queueing(row)


def _draw_queueing(row: Row) -> None:
    st.markdown(f"{plain(row['caller'])} → {plain(row['callee'])}")
    if row["status"] == "unknown":
        _unknown("whether it queues", row["reason"] or "too little is known")
    else:
        queues = "It queues" if row["status"] == "found" else "It does not queue"
        st.caption(
            f"{queues}: the gap is {row['gap_low_ms']:,.3g} ms at {row['load_low']:,.3g} a second, "
            f"{row['gap_high_ms']:,.3g} ms at {row['load_high']:,.3g}."
        )


def _draw_instances(rows: Sequence[Row]) -> None:
    if not rows:
        st.caption("It has one instance, so there is none to be hotter than others.")
        return
    st.markdown("**Instances**")
    shown = readable(rows, list(_HOT))
    st.dataframe(shown, column_config=_HOT, hide_index=True, height="content", key="instances")
