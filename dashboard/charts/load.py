"""How latency and throughput answer to load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from dashboard.theme import BLUE, MOST_ROWS, ORANGE, RED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, Any]

_HEIGHT = 220
_CURVE = 60  # points of a drawn law


def against_load(
    rows: Sequence[Row], load: str, figure: str, titles: tuple[str, str], knee: float | None
) -> alt.LayerChart:
    """Return a dot a row of this ``figure`` over its ``load``, both positive, and a line where the knee is known.

    Of too many rows, every second, third and so on is drawn.
    """
    known = [{load: row[load], figure: row[figure]} for row in rows if None not in (row[figure], row[load])]
    frame = pl.DataFrame(known, schema={load: pl.Float64, figure: pl.Float64})
    frame = frame.gather_every(-(-max(frame.height, 1) // MOST_ROWS))
    dots = alt.Chart(frame).mark_point(filled=True, size=60, color=BLUE, opacity=0.7)
    layers = [
        dots.encode(
            x=alt.X(f"{load}:Q", title=titles[0]),
            y=alt.Y(f"{figure}:Q", title=titles[1]),
            tooltip=[alt.Tooltip(f"{name}:Q", format=",.3~g") for name in (load, figure)],
        )
    ]
    if knee is not None:
        rule = alt.Chart(pl.DataFrame({load: [knee]})).mark_rule(color=RED, strokeWidth=2, strokeDash=[6, 4])
        layers.append(rule.encode(x=f"{load}:Q"))
    return alt.LayerChart(layer=layers, height=_HEIGHT)


def throughput_law(rows: Sequence[Row], law: Row) -> alt.LayerChart:
    """Return throughput over concurrency, and the curve of Gunther's law where it is known."""
    dots = against_load(rows, "concurrency", "calls_per_s", ("requests at once", "requests a second"), law["peak"])
    known = [row["concurrency"] for row in rows if row["concurrency"]]
    if law["rate"] is None or not known:
        return dots
    most = max(known) * 1.2
    points = [most * (place + 1) / _CURVE for place in range(_CURVE)]
    curve = pl.DataFrame({"concurrency": points, "calls_per_s": [_throughput(n, law) for n in points]})
    line = alt.Chart(curve).mark_line(color=ORANGE, strokeWidth=2).encode(x="concurrency:Q", y="calls_per_s:Q")
    return alt.LayerChart(layer=[*dots.layer, line], height=_HEIGHT)


def _throughput(concurrency: float, law: Row) -> float:
    slower = 1 + law["contention"] * (concurrency - 1) + law["crosstalk"] * concurrency * (concurrency - 1)
    return float(law["rate"] * concurrency / slower) if slower > 0 else 0.0
