"""Words of findings: names in a row, shares and counts, each written one way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLACES = 4
"""Digits behind the point at most: what is rarer than one in a million is told as 0 or 100."""
_WHOLE = 10
"""From 10 % to 90 % a digit behind the point is more than such shares are good for."""


def percent(share: float) -> str:
    """Return a share as percent: whole from 10 to 90, else with two digits of what it is away from 0 or 100."""
    rest = min(share, 1 - share) * 100
    places = 0 if rest <= 0 or rest >= _WHOLE else min(1 - math.floor(math.log10(rest)), _PLACES)
    text = f"{100 * share:.{places}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return "a, b and c"; beyond ``most`` it counts the rest."""
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else "none"


def counted(number: int, noun: str) -> str:
    """Return "1 trace", "2 traces"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
