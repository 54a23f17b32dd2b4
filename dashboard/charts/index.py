"""What the coupling index consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from dashboard.theme import CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def index_parts(components: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Return one bar from 0 to 100, cut by what each component contributes."""
    rows = pl.DataFrame(
        [{key: part[key] for key in ("name", "contribution", "explanation")} for part in components],
        schema={"name": pl.String, "contribution": pl.Float64, "explanation": pl.String},
    )
    names = rows["name"].to_list()
    chart: alt.Chart = (
        alt.Chart(rows)
        .mark_bar(height=28)
        .encode(
            x=alt.X("contribution:Q", title=None, stack=True)
            .scale(alt.Scale(domain=[0, 100]))
            .axis(alt.Axis(tickCount=5)),
            color=alt.Color(
                "name:N",
                sort=names,
                title=None,
                scale=alt.Scale(domain=names, range=list(CATEGORIES[: len(names)])),
                legend=alt.Legend(orient="bottom", columns=3),
            ),
            order=alt.Order("contribution:Q", sort="descending"),
            tooltip=["name", alt.Tooltip("contribution", format=".1f"), "explanation"],
        )
        .properties(height=130)
    )
    return chart
