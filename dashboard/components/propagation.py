"""What each service's slowness does to the endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.components.plain import plain
from dashboard.state import link
from dashboard.tables import readable
from dashboard.units import TIMES, UNKNOWN
from dashboard.views import page
from dashboard.what_if import change_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLUMNS: dict[str, Any] = {
    "name": st.column_config.TextColumn("If this is slower", pinned=True, width=190),
    "type": "Type",
    "blast_radius": st.column_config.ProgressColumn("Requests slower", format="percent", max_value=1),
    "amplification": st.column_config.NumberColumn(
        "Amplification", format=f"%.1f {TIMES}", help="How much the worst p99 grows, for what was added"
    ),
    "slowed_endpoints": st.column_config.NumberColumn("Endpoints slower"),
    "worst": "Slows most",
    "grows_ms": st.column_config.NumberColumn("Its p99 grows by"),
}
_ENDPOINT: dict[str, Any] = {
    "endpoint": st.column_config.TextColumn("Endpoint", pinned=True, width=240),
    "affected_share": st.column_config.ProgressColumn("Requests slower", format="percent", max_value=1),
    "p50_before_ms": st.column_config.NumberColumn("p50 now"),
    "p50_after_ms": st.column_config.NumberColumn("p50 then"),
    "p99_before_ms": st.column_config.NumberColumn("p99 now"),
    "p99_after_ms": st.column_config.NumberColumn("p99 then"),
}


def draw_propagation(propagation: Mapping[str, Any] | None) -> None:
    """Draw a report's ``propagation``, and the endpoints of the service that is picked."""
    if not propagation or not propagation["services"]:
        st.info("No trace here has exactly one root, so there is no request to replay.")
        return
    delta = f"{propagation['delta_ms']:.0f} ms"
    st.caption(f"If one of these took {delta} more for each request: what a replay of the traces says. Pick a row.")
    services = propagation["services"]
    table = st.dataframe(
        readable([_row(service) for service in services], list(_COLUMNS)),
        column_config=_COLUMNS,
        hide_index=True,
        placeholder=UNKNOWN,
        height="content",
        key="propagation",
        on_select="rerun",
        selection_mode="single-row",
    )
    rows = table["selection"]["rows"]
    _draw_endpoints(services[min(rows[0], len(services) - 1) if rows else 0], delta)
    if propagation["based_on"]:
        st.caption("Replayed is a part of the requests.")


def _row(service: Mapping[str, Any]) -> dict[str, Any]:
    row = {key: service.get(key) for key in _COLUMNS} | {"worst": "", "grows_ms": None}
    for endpoint in service["endpoints"][:1]:
        row["worst"] = f"{endpoint['service']} {endpoint['operation']}"
        if endpoint["p99_known"]:
            row["grows_ms"] = endpoint["p99_after_ms"] - endpoint["p99_before_ms"]
    return row


def _draw_endpoints(service: Mapping[str, Any], delta: str) -> None:
    st.subheader(f"{plain(service['name'])} takes {delta} more", anchor=False)
    if not service["endpoints"]:
        st.caption("No request is slower.")
        return
    rows = [
        {"endpoint": f"{one['service']} {one['operation']}"} | {key: one[key] for key in list(_ENDPOINT)[1:]}
        for one in service["endpoints"]
    ]
    shown = readable(rows, list(_ENDPOINT))
    st.dataframe(shown, column_config=_ENDPOINT, hide_index=True, placeholder=UNKNOWN, height="content", key="slowed")
    parameters = link(part="What if", what=change_name("slow", service["name"]))
    st.page_link(
        page("coupling"),
        label=plain(f"Try other figures for {service['name']}"),
        icon=":material/science:",
        query_params=parameters,
    )
