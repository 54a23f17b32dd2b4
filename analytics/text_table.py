"""Tables of figures for a terminal of any width: a figure is never cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len
from rich.text import Text

from collector.cli.fitting import cut_middle

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = 2
_NARROWEST_NAME = 16  # shorter ones are often all alike
_TELLING_NAME = 24  # spare columns say less than this much of a name


@dataclass(frozen=True, slots=True)
class Heading:
    """A column behind the name: its title, and whether it may be left out where there is no room.

    A ``bar`` goes before a name is shortened, what is ``spare`` before it is shortened below what tells names apart.
    """

    title: str
    justify: Literal["left", "right"] = "right"
    bar: bool = False
    spare: bool = False


def table_lines(headings: Sequence[Heading], rows: Sequence[Sequence[str | Text]], width: int) -> list[Text]:
    """Return a line of titles and one a row; the first cell of a row is its name, which has no title.

    Columns are as wide as their figures. Bars give way first, then names are cut in the middle, then spare columns give
    way from the right, and are named in a last line. What is left may be wider than ``width``: nothing else is cut.
    """
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max([cell_len(heading.title), *(row[at].cell_len for row in cells)]) for at, heading in _placed(headings)]
    longest = max((row[0].cell_len for row in cells), default=0)
    kept = _kept(headings, widths, longest, width)
    name_width = min(longest, max(_room(widths, kept, width), min(longest, _NARROWEST_NAME)))
    chosen = [(at + 1, widths[at], headings[at].justify) for at in kept]
    titles = [Text(), *(Text(heading.title) for heading in headings)]
    lines = [_line(row, name_width, chosen) for row in (titles, *cells)]
    lines[0].stylize("dim")
    gone = [heading.title for at, heading in enumerate(headings) if heading.spare and at not in kept]
    return [*lines, *([Text(f"No room for: {', '.join(gone)}.", style="dim")] if gone else [])]


def _placed(headings: Sequence[Heading]) -> list[tuple[int, Heading]]:
    return list(enumerate(headings, 1))


def _kept(headings: Sequence[Heading], widths: Sequence[int], longest: int, width: int) -> list[int]:
    """Which columns there is room for."""
    kept = list(range(len(headings)))
    if _room(widths, kept, width) < longest:
        kept = [at for at in kept if not headings[at].bar]
    for at in reversed([at for at in kept if headings[at].spare]):
        if _room(widths, kept, width) < min(longest, _TELLING_NAME):
            kept.remove(at)
    return kept


def _room(widths: Sequence[int], kept: Sequence[int], width: int) -> int:
    return width - sum(widths[at] + _GAP for at in kept)


def _line(row: Sequence[Text], name_width: int, chosen: Sequence[tuple[int, int, str]]) -> Text:
    line = cut_middle(row[0], name_width)
    line.pad_right(name_width - line.cell_len)
    for at, width, justify in chosen:
        blank = " " * (width - row[at].cell_len)
        line.append(" " * _GAP)
        line.append_text(Text.assemble(blank, row[at]) if justify == "right" else Text.assemble(row[at], blank))
    line.rstrip()
    return line


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)
