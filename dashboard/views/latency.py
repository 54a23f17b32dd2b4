"""Latency: what each service and edge adds to an endpoint, in the middle and in the tail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import client
from dashboard.charts.contributions import contribution_bars
from dashboard.charts.distribution import distribution
from dashboard.components.plain import plain
from dashboard.state import link, window
from dashboard.tables import readable
from dashboard.units import UNKNOWN, count, ms, percent
from dashboard.views import page

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIGURE_PX = 140


def draw() -> None:
    """Draw the page."""
    report = client.report(**window())
    endpoints = {f"{one['service']} {one['operation']}": one for one in report["endpoints"]}
    if not endpoints:
        st.info("No trace here has exactly one root, so there is no endpoint to explain.")
        return
    name = st.selectbox("Endpoint", list(endpoints), key="endpoint", bind="query-params") or next(iter(endpoints))
    endpoint = endpoints[name]
    _draw_figures(endpoint)
    _draw_verdict(endpoint)
    _draw_distribution(endpoint, report)
    middle, tail = st.columns(2, gap="large")
    with middle:
        st.subheader("The middle", help="Traces between p40 and p60.", anchor=False)
        st.altair_chart(contribution_bars(endpoint["contributions"], "middle_share"))
    with tail:
        st.subheader("The tail", help="Traces at or above p95.", anchor=False)
        st.altair_chart(contribution_bars(endpoint["contributions"], "tail_share"))
    if not endpoint["tail_known"]:
        st.caption("Fewer than 30 traces are in the tail: its shares are a hint, no more.")
    _draw_table(endpoint)


def _draw_figures(endpoint: Mapping[str, Any]) -> None:
    figures = {
        "Traces": count(endpoint["traces"]),
        "Failed": percent(endpoint["error_rate"]),
        "Mean": ms(endpoint["mean_ms"]),
        "p50": ms(endpoint["p50_ms"]),
        "p95": ms(endpoint["p95_ms"]),
        "p99": ms(endpoint["p99_ms"]),
    }
    with st.container(horizontal=True):
        for label, value in figures.items():
            st.metric(label, value, width=_FIGURE_PX)


def _draw_verdict(endpoint: Mapping[str, Any]) -> None:
    """Say in a sentence what the charts show."""
    parts = endpoint["contributions"]
    most = max(parts, key=lambda part: part["critical_path_ms"], default=None)
    if most is None:
        return
    told = f"Mostly waits for **{plain(most['node'])}**: {percent(most['share'])} of the mean"
    slowest = max(parts, key=lambda part: part["tail_share"] or 0.0)
    if slowest["tail_share"]:
        whose = "it" if slowest is most else f"**{plain(slowest['node'])}**"
        told += f"; in the slowest requests {whose} is {percent(slowest['tail_share'])}"
    st.markdown(f"{told}.")


def _draw_distribution(endpoint: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    about = report["window"]
    buckets = client.durations(
        report["environment"], endpoint["service"], endpoint["operation"], about["from"] or 0, about["to"] or 0
    )
    quantiles = {name: endpoint[f"{name}_ms"] for name in ("p50", "p95", "p99")}
    st.altair_chart(distribution(buckets, quantiles), key="distribution", alt="How many requests take how long")


def _draw_table(endpoint: Mapping[str, Any]) -> None:
    st.subheader("Whose time it is", anchor=False)
    share = st.column_config.ProgressColumn("Share", format="percent", max_value=1)
    columns: dict[str, Any] = {
        "node": "Service or edge",
        "kind": "Kind",
        "critical_path_ms": st.column_config.NumberColumn("Adds"),
        "share": share,
        "excess_ms": st.column_config.NumberColumn("More in the tail"),
    }
    rows = readable(endpoint["contributions"], list(columns), signed=["excess_ms"])
    st.dataframe(rows, column_config=columns, hide_index=True, placeholder=UNKNOWN, height=320, key="contributions")
    st.caption("These times add up to the mean: what the request waited for, not what services did at the same time.")
    slow = f"{endpoint['p95_ms']:.0f}ms"
    parameters = link(service=endpoint["service"], operation=endpoint["operation"], min_duration=slow)
    st.page_link(page("traces"), label=f"Traces above p95 ({ms(endpoint['p95_ms'])})", query_params=parameters)
