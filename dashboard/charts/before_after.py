"""What endpoints are, and what they would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from dashboard.theme import BLUE, GREY, RED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST = 15
_ROW = 30
_LABELS = 260
_AXIS = 50
_WORSE = 1.001  # less is rounding


def before_after(endpoints: Sequence[Mapping[str, Any]], figure: str, title: str, form: str) -> alt.LayerChart:
    """Return a line an ``endpoint`` from what a ``figure`` is, a grey dot, to what it would be; red when worse.

    ``figure`` names the keys: ``p99_{}_ms`` is ``p99_before_ms`` and ``p99_after_ms``. Endpoints without are left out.
    """
    before, after = figure.format("before"), figure.format("after")
    frame = pl.DataFrame(
        [{key: row[key] for key in ("endpoint", before, after)} for row in endpoints[:_MOST]],
        schema={"endpoint": pl.String, before: pl.Float64, after: pl.Float64},
    ).drop_nulls()
    axis = alt.Axis(labelLimit=_LABELS, title=None, ticks=False, domain=False)
    down = alt.Y("endpoint:N", sort=frame["endpoint"].to_list(), axis=axis)
    across = alt.X(f"{before}:Q", title=title, axis=alt.Axis(format=form, tickCount=5))
    colour = alt.condition(f"datum['{after}'] > datum['{before}'] * {_WORSE}", alt.value(RED), alt.value(BLUE))
    # A title `then` would be an illegal property of Vega's expressions.
    tips = [
        "endpoint",
        alt.Tooltip(before, title="now", format=form),
        alt.Tooltip(after, title="with the change", format=form),
    ]
    base = alt.Chart(frame).encode(y=down)
    line = base.mark_rule(strokeWidth=3, opacity=0.6).encode(x=across, x2=f"{after}:Q", color=colour)
    now = base.mark_point(filled=True, size=80, color=GREY, opacity=1).encode(x=across, tooltip=tips)
    then = base.mark_point(filled=True, size=110, opacity=1).encode(x=f"{after}:Q", color=colour, tooltip=tips)
    return alt.LayerChart(layer=[line, now, then], height=_ROW * frame.height + _AXIS)
