"""How fresh the data is, and whether the collector keeps up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import streamlit as st

from analytics.words import counted
from dashboard import client
from dashboard.units import count, span_of_time

if TYPE_CHECKING:
    from collections.abc import Mapping

_NS_PER_S = 1e9


def draw_health(window: Mapping[str, Any]) -> None:
    """Draw how much a report's ``window`` has, how old its newest trace is, and what keeps data from being stored."""
    st.metric("Traces", count(window["traces"]))
    said = [counted(window["spans"], "span") + (", a sample" if window["sampled"] else "")]
    if window["incomplete_traces"]:
        said.append(f"{count(window['incomplete_traces'])} incomplete")
    if window["to"]:
        age_s = time.time() - window["to"] / _NS_PER_S
        said.append(f"newest {span_of_time(age_s)} ago" if age_s > 0 else "newest is from the future")
    st.caption(" · ".join(said))
    failure = client.status()["failure"]
    if failure:
        st.error(failure, icon=":material/error:")
    else:
        st.badge("storing", icon=":material/check:", color="green")
