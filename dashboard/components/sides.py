"""What is compared: two environments, two times, or two versions of a service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import streamlit as st

from dashboard import client
from dashboard.state import env_label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KINDS = ("Environments", "Times", "Versions")
_NS_PER_US = 1_000


def draw_sides(environment: str) -> tuple[str, str, dict[str, str]] | None:
    """Draw the choice; return both sides and the options of a ``diff``, None when there is nothing to compare."""
    kinds: dict[str, Callable[[str], tuple[str, str, dict[str, str]] | None]] = dict(
        zip(KINDS, (_environments, _times, _versions), strict=True)
    )
    kind = st.segmented_control(
        "Compare",
        KINDS,
        default=KINDS[0],
        required=True,
        key="compare",
        bind="query-params",
        label_visibility="collapsed",
    )
    return kinds[kind or KINDS[0]](environment)


def _environments(environment: str) -> tuple[str, str, dict[str, str]] | None:
    others = [name for name in client.environments() if name != environment]
    if not others:
        st.info(
            "There is only one environment. Compare times or versions, or send spans with another "
            "`deployment.environment.name`."
        )
        return None
    before, after, _ = st.columns([1, 1, 1])
    name = before.selectbox("Before", others, key="before", bind="query-params", format_func=env_label)
    after.text_input("After", env_label(environment), disabled=True, help="The environment that is chosen above.")
    return f"env:{name}", f"env:{environment}", {}


def _times(environment: str) -> tuple[str, str, dict[str, str]] | None:
    begin, end = _window(environment)
    if end - begin < timedelta(seconds=2):
        st.info("The stored traces span less than two seconds: there are no two times to compare.")
        return None
    middle = begin + (end - begin) / 2
    step = max((end - begin) / 200, timedelta(seconds=1))
    sliders: Mapping[str, Any] = {
        "min_value": begin,
        "max_value": end,
        "step": step,
        "format": "MM-DD HH:mm:ss",
        "bind": "query-params",
    }
    left, right = st.columns(2, gap="large")
    before = left.slider("Before", value=(begin, middle), key="before_time", **sliders)
    after = right.slider("After", value=(middle, end), key="after_time", **sliders)
    if min(before[1] - before[0], after[1] - after[0]) <= timedelta(0):
        st.info("Choose two times that have a beginning and an end.")
        return None
    return _side(before), _side(after), {"env": environment}


def _window(environment: str) -> tuple[datetime, datetime]:
    window = client.report(env=environment)["window"]
    return tuple(  # type: ignore[return-value]  # of two
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=(window[side] or 0) // _NS_PER_US + extra)
        for side, extra in (("from", 0), ("to", 1))
    )


def _side(times: tuple[datetime, datetime]) -> str:
    return "..".join(time.isoformat() for time in times)


def _versions(environment: str) -> tuple[str, str, dict[str, str]] | None:
    versions = client.versions(environment)
    several = versions.group_by("service", maintain_order=True).agg("version").filter(pl.col("version").list.len() > 1)
    if several.is_empty():
        st.info("No service of this environment ran in two versions: `service.version` is what tells them apart.")
        return None
    by_service = dict(several.iter_rows())
    which, before, after = st.columns(3)
    service = which.selectbox("Service", list(by_service), key="versions_of", bind="query-params")
    known = by_service[service]
    old = before.selectbox("Before", known[:-1], index=len(known) - 2, key="old", bind="query-params")
    later = known[known.index(old) + 1 :]
    new = after.selectbox("After", later, index=len(later) - 1, key="new", bind="query-params")
    return f"{service}@{old}", f"{service}@{new}", {"env": environment}
