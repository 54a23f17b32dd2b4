"""Which other environments need somebody's attention more than the one that is looked at."""

from __future__ import annotations

import streamlit as st

from dashboard import client
from dashboard.components.plain import plain
from dashboard.state import env_label, link
from dashboard.views import page

_MOST = 3


def draw_attention(environment: str) -> None:
    """Draw a way to each environment with more critical findings than this one has, the worst first."""
    critical = client.critical_findings()
    here = critical.get(environment, 0)
    worse = [(name, count) for name, count in critical.items() if name != environment and count > here][:_MOST]
    for name, count in worse:
        st.page_link(
            page("overview"),
            label=f"**{plain(env_label(name))}** has {count} critical finding{'' if count == 1 else 's'}: look there",
            icon=":material/error:",
            query_params={**link(), "env": env_label(name)},
        )
