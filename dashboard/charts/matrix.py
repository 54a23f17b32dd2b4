"""The design structure matrix: who waits for whom, services that belong together side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from dashboard.theme import GREY, ORANGE, RED, amounts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_BESIDE = 16
"""Services up to which the matrix leaves room beside it; of more it is as wide as the page."""
_ROOM, _WHOLE_ROOM = 520, 800  # pixels
_SMALLEST, _LARGEST = 12, 56
_WRITTEN_FROM = 30  # pixels: a smaller cell has no room for a figure
_STRONG = 0.55  # share of the scale from which figures are written in the other colour
_CELL = {"caller": pl.String, "callee": pl.String, "mode": pl.String, "calls": pl.Int64, "via": pl.String}
_PICKED = ["caller", "callee", "mode"]


def dependency_matrix(
    communities: Sequence[Sequence[str]], calls: Sequence[Mapping[str, Any]], *, dark: bool = False
) -> alt.LayerChart:
    """Return the matrix: callers down, callees across, as ``matrix_order`` has them; ``pick`` selects a cell.

    ``calls`` are those of ``service_calls``. Colour is how often a caller waits, a dot is a message; what lies below
    the diagonal calls back, and has a red frame. Communities of several services are framed.
    """
    order = [name for members in communities for name in members]
    cells = _cells(order, calls)
    room = _ROOM if len(order) <= MOST_BESIDE else _WHOLE_ROOM
    step = min(max(room / max(len(order), 1), _SMALLEST), _LARGEST)
    size = 9 if step < 16 else 10 if step < 24 else 12  # noqa: PLR2004  (as much as fits a row)
    axis: dict[str, Any] = {
        "labelFontSize": size,
        "labelLimit": 170,
        "grid": False,
        "domain": False,
        "ticks": False,
        "title": None,
        "labelOverlap": False,
    }
    across = alt.X(
        "callee:N", sort=order, scale=alt.Scale(domain=order), axis=alt.Axis(orient="top", labelAngle=-50, **axis)
    )
    down = alt.Y("caller:N", sort=order, scale=alt.Scale(domain=order), axis=alt.Axis(**axis))
    layers = [
        _diagonal(order).encode(x=across, y=down),
        _waits(cells, dark=dark).encode(x=across, y=down),
        _messages(cells, step).encode(x=across, y=down),
        *([_figures(cells, dark=dark).encode(x=across, y=down)] if step >= _WRITTEN_FROM else []),
        _frames(communities),
    ]
    side = step * len(order)
    return alt.LayerChart(layer=layers, width=side, height=side, autosize=alt.AutoSizeParams(type="pad"))


def _cells(order: Sequence[str], calls: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    place = {name: number for number, name in enumerate(order)}
    rows = [call for call in calls if call["caller"] in place and call["callee"] in place]
    frame = pl.DataFrame([{key: call[key] for key in _CELL} for call in rows], schema=_CELL)
    summed = frame.group_by(_PICKED, maintain_order=True).agg(
        pl.col("calls").sum(), pl.col("via").drop_nulls().unique().sort().str.join(", ")
    )
    back = [place[caller] > place[callee] for caller, callee in summed.select("caller", "callee").iter_rows()]
    return summed.with_columns(back=pl.Series(back, dtype=pl.Boolean))


def _diagonal(order: Sequence[str]) -> alt.Chart:
    own = pl.DataFrame({"caller": order, "callee": order}, schema={"caller": pl.String, "callee": pl.String})
    chart: alt.Chart = alt.Chart(own).mark_rect(color=GREY, opacity=0.25)
    return chart


def _waits(cells: pl.DataFrame, *, dark: bool) -> alt.Chart:
    pick = alt.selection_point(name="pick", fields=_PICKED)
    sync = cells.filter(pl.col("mode") == "sync")
    scale = alt.Scale(type="log", range=amounts(dark=dark), domain=_domain(sync))
    chart: alt.Chart = (
        alt.Chart(sync)
        .mark_rect(cursor="pointer", cornerRadius=2)
        .encode(
            color=alt.Color(
                "calls:Q",
                scale=scale,
                legend=alt.Legend(
                    title="calls that are waited for", orient="bottom", gradientLength=200, tickCount=3, format=",.0f"
                ),
            ),
            stroke=alt.condition("datum.back", alt.value(RED), alt.value("transparent")),
            strokeWidth=alt.condition("datum.back", alt.value(2.5), alt.value(0)),
            opacity=alt.condition(pick, alt.value(1.0), alt.value(0.35)),
            tooltip=["caller", "callee", alt.Tooltip("calls", format=",")],
        )
        .add_params(pick)
    )
    return chart


def _domain(sync: pl.DataFrame) -> list[float]:
    low, high = (sync["calls"].min(), sync["calls"].max()) if sync.height else (1, 10)
    return [float(str(low)), max(float(str(high)), float(str(low)) + 1)]


def _messages(cells: pl.DataFrame, step: float) -> alt.Chart:
    chart: alt.Chart = alt.Chart(cells.filter(pl.col("mode") == "async")).mark_point(
        filled=True, color=ORANGE, size=max(step * step / 6, 20), opacity=0.95
    )
    return chart.encode(tooltip=["caller", "callee", "via", alt.Tooltip("calls", title="messages", format=",")])


def _figures(cells: pl.DataFrame, *, dark: bool) -> alt.Chart:
    sync = cells.filter(pl.col("mode") == "sync")
    low, high = _domain(sync)
    strong = low * (high / low) ** _STRONG
    chart: alt.Chart = alt.Chart(sync).mark_text(fontSize=10)
    weak_colour, strong_colour = ("white", "#111") if dark else ("#111", "white")
    return chart.encode(
        text=alt.Text("calls:Q", format=".3~s"),
        color=alt.condition(f"datum.calls > {strong}", alt.value(strong_colour), alt.value(weak_colour)),
    )


def _frames(communities: Sequence[Sequence[str]]) -> alt.Chart:
    rows = [{"first": members[0], "last": members[-1]} for members in communities if len(members) > 1]
    frame = pl.DataFrame(rows, schema={"first": pl.String, "last": pl.String})
    chart: alt.Chart = alt.Chart(frame).mark_rect(filled=False, stroke=GREY, strokeWidth=1.5, strokeDash=[5, 3])
    return chart.encode(
        x=alt.X("first:N", bandPosition=0),
        x2=alt.X2("last:N", bandPosition=1),
        y=alt.Y("first:N", bandPosition=0),
        y2=alt.Y2("last:N", bandPosition=1),
    )
