"""Short texts: what an assistant reads takes room from what it thinks about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_LETTERS = 16_000
"""Of an answer: some 5,000 tokens, of which an assistant bears a dozen in one conversation."""
HIGHER = "a higher limit, 200 at most"
"""What shows the rows that were left out."""
_END_ROOM = 200
"""Letters kept free for the line that says what was cut."""


def clipped(text: str, most: int) -> str:
    """Return a text on one line and of so many letters at most; the end of a longer one is an ellipsis."""
    line = " ".join(text.split())
    return printable(line) if len(line) <= most else f"{printable(line[: most - 1]).rstrip()}…"


def bounded(title: str, lines: Sequence[str], most: int, remedy: str) -> list[str]:
    """Return a title and the first lines; when there are others, how many and what shows them. None without lines."""
    if not lines:
        return []
    more = len(lines) - most
    return [title, *lines[:most], *([f"({more:,} more: {remedy})"] if more > 0 else [])]


def joined(lines: Sequence[str], remedy: str) -> str:
    """Return the lines as one text, cut behind the last line that fits an answer; it then says so."""
    text = "\n".join(lines)
    if len(text) <= MOST_LETTERS:
        return text
    kept = text[: MOST_LETTERS - _END_ROOM]
    whole = kept.rpartition("\n")[0] or kept
    left = text[len(whole) :].count("\n")
    return f"{whole}\n({left:,} more lines, left out since the answer would be too long: {remedy})"
