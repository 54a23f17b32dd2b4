"""How long an endpoint's requests take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from dashboard.theme import BLUE, ORANGE, PURPLE, RED
from dashboard.units import ms

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEIGHT = 220
_MARKS = {"p50": BLUE, "p95": ORANGE, "p99": RED}
_BARS = PURPLE
_ACROSS = alt.Scale(type="log", nice=False)


def distribution(buckets: pl.DataFrame, quantiles: Mapping[str, float | None]) -> alt.LayerChart:
    """Return a histogram over durations on a logarithmic axis, with a line for each known one of p50, p95 and p99.

    ``buckets`` have ``low_ms``, ``high_ms`` and ``traces``.
    """
    across = alt.X(
        "low_ms:Q", scale=_ACROSS, title="duration, ms", axis=alt.Axis(tickCount=8, format=",.3~f", grid=False)
    )
    tips = [
        alt.Tooltip("low_ms", title="from, ms", format=",.3~f"),
        alt.Tooltip("high_ms", title="to, ms", format=",.3~f"),
        alt.Tooltip("traces", format=","),
    ]
    bars = (
        alt.Chart(buckets)
        .mark_rect(color=_BARS, opacity=0.75)
        .encode(x=across, x2="high_ms:Q", y=alt.Y("traces:Q", title="requests"), y2=alt.datum(0), tooltip=tips)
    )
    known = [(name, value) for name, value in quantiles.items() if value is not None and value > 0]
    marks = [layer for place, (name, value) in enumerate(known) for layer in _mark(name, value, 8 + 15 * place)]
    return alt.LayerChart(layer=[bars, *marks], height=_HEIGHT)


def _mark(name: str, value: float, top: int) -> list[alt.Chart]:
    """Return a line with its label, which is left of it where the axis ends soon."""
    frame = pl.DataFrame({"ms": [value], "label": [f"{name} {ms(value)}"]})
    base = alt.Chart(frame).encode(x=alt.X("ms:Q", scale=_ACROSS))
    side: dict[str, Any] = {"align": "left", "dx": 5} if name == "p50" else {"align": "right", "dx": -5}
    text = base.mark_text(color=_MARKS[name], fontWeight="bold", fontSize=12, **side)
    return [base.mark_rule(color=_MARKS[name], strokeWidth=2), text.encode(y=alt.value(top), text="label")]
