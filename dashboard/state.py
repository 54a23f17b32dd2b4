"""What is looked at, in the URL, so that every view can be shared as a link."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Sequence

Query: TypeAlias = "dict[str, str]"

RANGES = ("15m", "1h", "6h", "24h", "7d", "all")
DEFAULT_RANGE = "all"
REFRESH = {"off": None, "5s": 5, "30s": 30}


def window() -> Query:
    """Return the options of a report for the chosen range and environment."""
    chosen = str(st.session_state.get("range", DEFAULT_RANGE))
    environment = st.session_state.get("env")
    since = {} if chosen == "all" else {"since": chosen}
    return since | ({"env": str(environment)} if environment is not None else {})


def env_label(environment: str) -> str:
    """Return how an environment is shown, in the URL too."""
    return environment or "(unnamed)"


def link(**parameters: str | Sequence[str] | None) -> dict[str, str | Sequence[str]]:
    """Return the parameters of a link to another view that keeps environment and range."""
    kept: dict[str, str | Sequence[str]] = {
        "env": env_label(st.session_state["env"]),
        "range": str(st.session_state["range"]),
    }
    return kept | {name: value for name, value in parameters.items() if value is not None}


def is_dark() -> bool:
    """Whether the page is dark, for colours that must stand out from it."""
    return st.context.theme.type == "dark"
