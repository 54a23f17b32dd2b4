"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def growing_pauses(first_s: float, longest_s: float) -> Iterator[float]:
    """Yield seconds: each pause is twice the one before, up to the longest, without end."""
    pause = first_s
    while True:
        yield pause
        pause = min(pause * 2, longest_s)
