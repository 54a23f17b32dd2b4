"""What fits into a terminal: names are cut in the middle, and only where somebody looks at a terminal."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

_BOUNDLESS = 10_000
"""Columns of a file or a pipe: more than any line has."""
_DOTS = "…"


def page_width(console: Console) -> int:
    """Return the columns of a terminal; of what is none, more than are ever needed."""
    return console.width if console.is_terminal else _BOUNDLESS


def cut_middle(text: Text, width: int) -> Text:
    """Return text of at most ``width`` cells: names that begin alike differ at their end, so both ends stay."""
    if text.cell_len <= width:
        return text.copy()
    if width <= 1:
        return Text(_DOTS * max(width, 0))
    head = text.copy()
    head.truncate(width // 2)
    taken = accumulate(cell_len(letter) for letter in reversed(text.plain))
    letters = sum(cells <= width - 1 - width // 2 for cells in taken)
    return Text.assemble(head, Text(_DOTS, style="dim"), text[len(text) - letters :] if letters else Text())
