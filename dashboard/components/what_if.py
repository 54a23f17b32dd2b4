"""The what-if panel: changes to services and calls, and what each endpoint would be after them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import client
from dashboard.charts.before_after import before_after
from dashboard.components.plain import plain
from dashboard.state import window
from dashboard.tables import readable
from dashboard.units import TIMES, UNKNOWN, percent
from dashboard.what_if import (
    DEFAULT_DELAY_MS,
    DEFAULT_SHARE,
    DELAYS_MS,
    SHARES,
    possible_changes,
    simulate_options,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLUMNS: dict[str, Any] = {
    "endpoint": st.column_config.TextColumn("Endpoint", pinned=True, width=240),
    "affected_share": st.column_config.ProgressColumn("Requests changed", format="percent", max_value=1),
    **{
        f"p{rank}_{side}_ms": st.column_config.NumberColumn(f"p{rank} {word}")
        for rank in (50, 99)
        for side, word in (("before", "now"), ("after", "then"))
    },
    "error_rate_before": st.column_config.NumberColumn("Failed now", format="percent"),
    "error_rate_after": st.column_config.NumberColumn("Failed then", format="percent"),
}


def draw_what_if(report: Mapping[str, Any]) -> None:
    """Draw the choice of changes, out of what a ``report`` knows, and the simulation of those that are chosen."""
    possible = possible_changes(report["services"], report["edges"])
    if not possible:
        st.info("There is no service to change.")
        return
    what, delay, share = st.columns([4, 1, 1], gap="medium")
    chosen = what.multiselect(
        "What if …",
        list(possible),
        key="what",
        bind="query-params",
        placeholder="type a service: payment fails, cart is slower, checkout->payment becomes a message",
    )
    kinds = {possible[name][0] for name in chosen}
    delay_ms = delay.select_slider(
        "Slower by",
        DELAYS_MS,
        DEFAULT_DELAY_MS,
        key="delay",
        bind="query-params",
        format_func=_delay,
        disabled="slow" not in kinds,
    )
    failing = share.select_slider(
        "Fails in",
        SHARES,
        DEFAULT_SHARE,
        key="share",
        bind="query-params",
        format_func=percent,
        disabled="fail" not in kinds,
    )
    if not chosen:
        st.info(
            "Choose one or more changes: the stored traces are replayed with them. Nothing is deployed.",
            icon=":material/science:",
        )
        return
    options = simulate_options([possible[name] for name in chosen], delay_ms, failing)
    _draw_answer(client.simulate({**{name: [value] for name, value in window().items()}, **options}))


def _draw_answer(answer: Mapping[str, Any]) -> None:
    before, after = (_failed(answer["endpoints"], side) for side in ("before", "after"))
    radius, errors, amplification, _ = st.columns([1, 1, 1, 2])
    radius.metric("Requests changed", percent(answer["blast_radius"]), help="Another time, or failed that did not.")
    errors.metric("Requests failed", percent(after), delta=_change(before, after), delta_color="inverse")
    if answer["amplification"] is not None:
        told = f"{answer['amplification']:.1f} {TIMES}"
        amplification.metric("Amplification", told, help="How much the worst p99 grows, for what was added.")
    rows = [{"endpoint": f"{one['service']} {one['operation']}"} | one for one in answer["endpoints"]]
    st.caption("Grey is now; blue and red is with the change, red where it is worse.")
    latency, failed = st.columns(2, gap="large")
    latency.altair_chart(before_after(rows, "p99_{}_ms", "p99, ms", ",.0f"), key="latency", alt="p99")
    failed.altair_chart(
        before_after(rows, "error_rate_{}", "failed requests", ".0%"),
        key="failed",
        alt="failed",
    )
    st.dataframe(
        readable(rows, list(_COLUMNS)),
        column_config=_COLUMNS,
        hide_index=True,
        placeholder=UNKNOWN,
        height="content",
        key="simulated",
    )
    with st.expander("What this rests on"):
        st.markdown("\n".join(f"- {plain(line)}" for line in answer["assumptions"]))


def _failed(endpoints: Sequence[Mapping[str, Any]], side: str) -> float | None:
    known = [one for one in endpoints if one[f"error_rate_{side}"] is not None]
    traces = sum(one["traces"] for one in known)
    return sum(one[f"error_rate_{side}"] * one["traces"] for one in known) / traces if traces else None


def _change(before: float | None, after: float | None) -> str | None:
    if before is None or after is None:
        return None
    return f"{100 * (after - before):+.1f} points"


def _delay(value: int) -> str:
    return f"{value} ms"
