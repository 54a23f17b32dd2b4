"""A figure of several instances over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt
import polars as pl

from dashboard.theme import CATEGORIES, MOST_ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEIGHT = 240
_MOST = len(CATEGORIES)


def over_time(points: pl.DataFrame, title: str, *, share: bool = False) -> alt.Chart:
    """Return a line an ``instance`` through its ``value`` at each ``time``; of many, those with the greatest values.

    A ``share`` is told as percent, on an axis from 0 to 100 %. Of too many points, every second, third and so on of
    each instance is drawn.
    """
    order = points.group_by("instance").agg(pl.col("value").max()).sort("value", "instance", descending=[True, False])
    shown: Sequence[str] = sorted(order["instance"].head(_MOST).to_list())
    colour = alt.Color(
        "instance:N",
        title=None,
        scale=alt.Scale(domain=list(shown), range=list(CATEGORIES[: len(shown)])),
        legend=alt.Legend(orient="bottom", columns=2, labelLimit=420),
    )
    scale = alt.Scale(domain=[0, 1]) if share else alt.Scale(zero=True)
    axis = alt.Axis(format="%") if share else alt.Axis()
    drawn = points.filter(pl.col("instance").is_in(list(shown))).select("instance", "time", "value")
    every = -(-max(drawn.height, 1) // (MOST_ROWS - _MOST))  # each instance may have one more
    chart: alt.Chart = (
        alt.Chart(drawn.filter(pl.int_range(pl.len()).over("instance") % every == 0))
        .mark_line(point=True)
        .encode(
            x=alt.X("time:T", title=None),
            y=alt.Y("value:Q", title=title, scale=scale, axis=axis),
            color=colour,
            tooltip=["instance", alt.Tooltip("time:T", format="%H:%M:%S"), alt.Tooltip("value", format=",.4~g")],
        )
        .properties(height=_HEIGHT)
    )
    return chart
