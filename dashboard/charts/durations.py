"""Durations of traces over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from dashboard.theme import BLUE, RED

if TYPE_CHECKING:
    import polars as pl

_HEIGHT = 220


def duration_scatter(traces: pl.DataFrame) -> alt.Chart:
    """Return a dot a trace over its start; failed ones are crosses; ``pick`` is the selection of a dot."""
    pick = alt.selection_point(name="pick", fields=["trace_id"])
    failed = traces["errors"] > 0
    rows = traces.with_columns(outcome=failed.replace_strict({True: "failed", False: "ok"}))
    scale = alt.Scale(domain=["ok", "failed"], range=[BLUE, RED])
    chart: alt.Chart = (
        alt.Chart(rows.select("trace_id", "start_time", "duration_ms", "outcome", "service", "operation", "spans"))
        .mark_point(filled=True, size=45)
        .encode(
            x=alt.X("start_time:T", title=None),
            y=alt.Y("duration_ms:Q", title="ms", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=4)),
            color=alt.Color("outcome:N", scale=scale, legend=alt.Legend(title=None, orient="top")),
            shape=alt.Shape("outcome:N", scale=alt.Scale(domain=["ok", "failed"], range=["circle", "cross"])),
            opacity=alt.condition(pick, alt.value(0.75), alt.value(0.2)),
            tooltip=["service", "operation", alt.Tooltip("duration_ms", format=",.1f"), "spans", "trace_id"],
        )
        .add_params(pick)
        .properties(height=_HEIGHT)
    )
    return chart
