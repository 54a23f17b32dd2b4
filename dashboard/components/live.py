"""Looks at the data again and again while somebody looks at the page: a tab that is hidden asks nothing."""

from __future__ import annotations

import streamlit as st

_NAME = "lithoscope_live"
_SCRIPT = """
export default function ({ data, setTriggerValue }) {
  const look = () => { if (!document.hidden) setTriggerValue("tick", Date.now()); };
  const shown = () => { if (Date.now() - since >= data.every_s * 1000) look(); };
  const since = Date.now();
  const timer = setInterval(look, data.every_s * 1000);
  document.addEventListener("visibilitychange", shown);
  return () => { clearInterval(timer); document.removeEventListener("visibilitychange", shown); };
}
"""
"""A fragment with ``run_every`` goes on in hidden tabs, a dozen of which would keep a collector busy for nobody."""


def draw_live(every_s: float, key: str = "live") -> None:
    """Draw the page anew after this time, and at once when a tab that was hidden for longer is looked at again."""
    st.components.v2.component(_NAME, js=_SCRIPT)(key=key, data={"every_s": every_s}, on_tick_change=lambda: None)
    st.caption(f"live, every {every_s:g} s")
