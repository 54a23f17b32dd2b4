"""Shares of an endpoint's latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from dashboard.theme import BLUE, KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST = 12
_BAR = 26
_AXIS_AND_LEGEND = 80


def contribution_bars(contributions: Sequence[Mapping[str, Any]], share: str) -> alt.Chart:
    """Return a bar a node with this share, the same nodes in the same order for every share; the rest is one bar."""
    rows = [
        {"node": part["node"], "kind": part["kind"] if part["kind"] == "edge" else part["type"], "share": part[share]}
        for part in contributions
        if part[share] is not None
    ]
    shown, rest = rows[:_MOST], rows[_MOST:]
    if rest:
        shown.append({"node": f"{len(rest)} others", "kind": "edge", "share": sum(row["share"] for row in rest)})
    frame = pl.DataFrame(shown, schema={"node": pl.String, "kind": pl.String, "share": pl.Float64})
    kinds = sorted(set(frame["kind"]))
    chart: alt.Chart = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title=None, axis=alt.Axis(format="%")),
            y=alt.Y("node:N", title=None, sort=None, axis=alt.Axis(labelLimit=260)),
            color=alt.Color(
                "kind:N",
                title=None,
                scale=alt.Scale(domain=kinds, range=[KINDS.get(kind, BLUE) for kind in kinds]),
                legend=alt.Legend(orient="bottom"),
            ),
            tooltip=["node", "kind", alt.Tooltip("share", format=".1%")],
        )
        .properties(height=_BAR * len(shown) + _AXIS_AND_LEGEND)
    )
    return chart
