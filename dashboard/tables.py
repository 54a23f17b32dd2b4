"""Tables whose durations are told as people read them, and are sorted by what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from dashboard.units import ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pandas.io.formats.style import Styler


def readable(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], signed: Sequence[str] = ()) -> Styler:
    """Return the ``columns`` of rows; those that end with ``_ms`` are shown with a unit that fits each value.

    Those that are ``signed`` have their plus too. A column of numbers has one format in Streamlit, which 9728.6 ms
    comes from; only a styler of pandas, which Streamlit brings along, gives each cell a text and keeps its number.
    """
    frame = pd.DataFrame([{name: row.get(name) for name in columns} for row in rows], columns=list(columns))
    durations = [name for name in columns if name.endswith("_ms")]
    frame[durations] = frame[durations].astype(float)
    forms: dict[Any, Any] = {name: _signed if name in signed else ms for name in durations}
    return frame.style.format(forms, subset=durations)


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + ms(value)
