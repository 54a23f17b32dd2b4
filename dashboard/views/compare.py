"""Compare: what got slower or more coupled between two environments, times or versions, and who is to blame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import client
from dashboard.charts.deltas import delta_bars
from dashboard.components.coupling_changes import draw_coupling_changes
from dashboard.components.plain import plain
from dashboard.components.sides import draw_sides
from dashboard.filters import beyond_noise
from dashboard.tables import readable
from dashboard.units import UNKNOWN, count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_CULPRITS = 5
_WORTH_SAYING = 0.01  # of all that grew, or of the greatest change
_SAME = 0.05  # less is written as 0.0
_COLUMNS: dict[str, Any] = {
    "name": st.column_config.TextColumn("Service", pinned=True, width=190),
    "delta_ms": st.column_config.NumberColumn("Adds to a request"),
    "p99_before_ms": st.column_config.NumberColumn("p99 before"),
    "p99_after_ms": st.column_config.NumberColumn("p99 after"),
    "error_rate_before": st.column_config.NumberColumn("Failed before", format="percent"),
    "error_rate_after": st.column_config.NumberColumn("Failed after", format="percent"),
}


def draw() -> None:
    """Draw the page."""
    sides = draw_sides(str(st.session_state["env"]))
    if sides is None:
        return
    before, after, options = sides
    diff = client.diff(before, after, **options)
    empty = [side for side in ("before", "after") if not diff[side]["traces"]]
    if empty:
        st.info(f"There are no traces {' and none '.join(empty)}: choose another side.")
        return
    _draw_figures(diff)
    changed = beyond_noise(diff["services"])
    latency, coupling = st.columns(2, gap="large")
    with latency:
        st.subheader("Who is to blame for latency", anchor=False)
        _draw_culprits(diff["culprits"])
        st.altair_chart(delta_bars(changed), key="deltas", alt="Which service takes more time, and which less")
    with coupling:
        st.subheader("What changed in the coupling", anchor=False)
        draw_coupling_changes(diff["coupling"])
    st.subheader("Services", anchor=False)
    rows = readable(changed, list(_COLUMNS), signed=["delta_ms"])
    st.dataframe(rows, column_config=_COLUMNS, hide_index=True, placeholder=UNKNOWN, height="content", key="changed")
    if still := len(diff["services"]) - len(changed):
        st.caption(f"{still} more changed by less than what two looks at the same system differ by.")


def _draw_figures(diff: Mapping[str, Any]) -> None:
    coupling = diff["coupling"]
    old, new = coupling["index_before"], coupling["index_after"]
    index, before, after, _ = st.columns([1.2, 1, 1, 1])
    change = f"{new - old:+.1f} from {old:.0f}" if None not in (old, new) and abs(new - old) >= _SAME else None
    index.metric("Coupling index", UNKNOWN if new is None else f"{new:.0f}", change, delta_color="inverse")
    before.metric("Traces before", count(diff["before"]["traces"]))
    after.metric("Traces after", count(diff["after"]["traces"]))


def _draw_culprits(culprits: Sequence[Mapping[str, Any]]) -> None:
    least = _WORTH_SAYING * sum(row["delta_ms"] for row in culprits)
    slower = [row for row in culprits if row["delta_ms"] > max(least, 0)][:_MOST_CULPRITS]
    if not slower:
        st.caption("Nothing got slower.")
        return
    lines = [f"1. **{row['delta_ms']:+,.1f} ms** {plain(row['explanation'])}" for row in slower]
    st.markdown("\n".join(lines))
