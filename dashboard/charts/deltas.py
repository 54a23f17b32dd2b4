"""What became slower and what faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from dashboard.theme import BLUE, RED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST = 12
_ROW = 26


def delta_bars(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Return a bar for each of the ``name``s whose ``delta_ms`` is greatest either way: red slower, blue faster."""
    shown = sorted(rows, key=lambda row: -abs(row["delta_ms"]))[:_MOST]
    frame = pl.DataFrame(
        [{"name": row["name"], "delta_ms": row["delta_ms"]} for row in shown],
        schema={"name": pl.String, "delta_ms": pl.Float64},
    ).sort("delta_ms", descending=True)
    chart: alt.Chart = (
        alt.Chart(frame)
        .mark_bar(height=16)
        .encode(
            x=alt.X("delta_ms:Q", title="change of the time a request waits for it, ms"),
            y=alt.Y("name:N", sort=frame["name"].to_list(), title=None, axis=alt.Axis(labelLimit=220)),
            color=alt.condition("datum.delta_ms > 0", alt.value(RED), alt.value(BLUE)),
            tooltip=["name", alt.Tooltip("delta_ms", format="+,.2f")],
        )
        .properties(height=_ROW * frame.height + 50)
    )
    return chart
