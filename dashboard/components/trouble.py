"""What goes wrong, in one sentence and with a way on."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import streamlit as st

from collector.errors import LithoscopeError, UnreachableError
from dashboard.components.live import draw_live

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK_EVERY_S = 5

log = logging.getLogger(__name__)


@contextmanager
def told_in_words() -> Iterator[None]:
    """Turn an error inside the block into a sentence with a button to try again; an outage is retried by itself."""
    try:
        yield
    except LithoscopeError as error:
        hint = getattr(error, "hint", "")
        _offer_retry(f"{error} {hint}".strip())
        if isinstance(error, UnreachableError):  # a collector that starts again is noticed by itself
            draw_live(_LOOK_EVERY_S, key="looking")
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError, IndexError):
        log.exception("page failed")
        _offer_retry("This page could not be drawn; the dashboard's log says why.")


def _offer_retry(message: str) -> None:
    st.error(message, icon=":material/cloud_off:")
    if st.button("Try again", icon=":material/refresh:", key="retry"):
        st.cache_data.clear()
        st.rerun()
