"""Saturation: which resource is fullest, which gives way under load, and what is not known for want of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import client
from dashboard.charts.over_time import over_time
from dashboard.components.capacity import draw_capacity
from dashboard.components.finding_cards import draw_findings
from dashboard.components.plain import plain
from dashboard.state import window
from dashboard.tables import readable
from dashboard.units import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

_RULES = ("saturated-resource", "throughput-knee", "hot-instance", "queueing")
_COLUMNS: dict[str, Any] = {
    "name": st.column_config.TextColumn("Service", pinned=True, width=190),
    "saturation": st.column_config.ProgressColumn("Fullest resource", format="percent", max_value=1),
    "source": st.column_config.TextColumn("Which", width=380),
    "concurrency": st.column_config.NumberColumn("Requests at once", format="%.2f", help="The mean over the time."),
    "p99_ms": st.column_config.NumberColumn("p99"),
}
_NO_LIMIT = "unknown, because no metric tells of a resource with a limit"


def draw() -> None:
    """Draw the page."""
    report = client.report(**window())
    services = [service for service in report["services"] if service["type"] == "service"]
    findings = [finding for finding in report["findings"] if finding["rule"] in _RULES]
    if findings:
        draw_findings(findings, unknown_too=True)
    st.subheader("How full services are", anchor=False)
    rows = [_row(service) for service in sorted(services, key=lambda one: -(one["saturation"] or 0.0))]
    st.dataframe(
        readable(rows, list(_COLUMNS)),
        column_config=_COLUMNS,
        hide_index=True,
        placeholder=UNKNOWN,
        height="content",
        key="full_services",
    )
    names = [row["name"] for row in rows]
    service = st.selectbox("Service", names, key="full_service", bind="query-params")
    if not service:
        return
    st.subheader(plain(service), anchor=False)
    answer = client.saturation(**window())
    if answer:
        draw_capacity(answer, service)
    st.markdown("**Any metric, as it arrived**")
    _draw_metric(report["environment"], service)


def _row(service: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: service[key] for key in ("name", "saturation", "concurrency", "p99_ms")}
    return kept | {"source": service["saturation_source"] or _NO_LIMIT}


def _draw_metric(environment: str, service: str) -> None:
    """Draw a metric of a service by instance."""
    names = client.metric_names(environment, service)
    if not names:
        st.info(f"Unknown, because no metrics of {plain(service)} have arrived.", icon=":material/help:")
        return
    name = st.selectbox("Metric", names, key="metric", bind="query-params")
    points = client.metric(environment, service, name)
    unit = points["unit"].drop_nulls().first()
    st.altair_chart(over_time(points, str(unit or "value")), alt=f"{name} of {service} over time")
