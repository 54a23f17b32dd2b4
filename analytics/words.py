"""Words of reports and findings: times, shares, numbers, names in a row and counts, each written one way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ID_DIGITS = 12
"""Of a trace id: of ten million traces some two begin alike in one store of six; `lithoscope trace` then tells both."""
_PLACES = 4
"""Digits behind the point of a percentage at most: what is rarer than one in a million is told as rarer than that."""
_WHOLE = 10
"""From 10 % to 90 % a digit behind the point is more than such shares are good for."""
_MS_PLACES = 3
"""Digits behind the point of milliseconds at most: clocks tell microseconds."""
_LEAST_CELL = 0.05
"""What a column would show as 0.0 ms."""
_UNKNOWN = "unknown"


def percent(share: float, digits: int = 2) -> str:
    """Return a share as percent, with so many digits of what it is away from 0 or 100, but two at most from 10 to 90.

    0 % and 100 % are none and all, never rounded; what is not finite is "unknown".
    """
    value, least = 100 * share, 10**-_PLACES
    if not math.isfinite(value):
        return _UNKNOWN
    rest = min(value, 100 - value)
    if 0 < rest < least / 2:
        return f"under {least:.{_PLACES}f} %" if value < _WHOLE else f"over {100 - least:.{_PLACES}f} %"
    whole = rest <= 0 or rest >= _WHOLE
    places = digits - 2 if whole else min(digits - 1 - math.floor(math.log10(rest)), max(_PLACES, digits))
    return f"{_number(value, max(places, 0))} %"


def format_ms(ms: float) -> str:
    """Return milliseconds with three digits, or all of those before the point, and their unit."""
    return f"{_digits(ms)} ms" if math.isfinite(ms) else _UNKNOWN


def signed_ms(ms: float) -> str:
    """Return milliseconds that came or went, with their sign; none of them without."""
    said = format_ms(ms)
    return f"+{said}" if 0 < ms < math.inf and said != format_ms(0) else said


def cell_ms(ms: float) -> str:
    """Return milliseconds for a column, where all have one digit behind the point, or none from 100 on."""
    if not math.isfinite(ms):
        return _UNKNOWN
    if 0 < abs(ms) < _LEAST_CELL:
        return "under 0.1 ms" if ms > 0 else "over -0.1 ms"
    return f"{ms:,.0f} ms" if abs(ms) >= 99.95 else f"{ms + 0.0:.1f} ms"  # noqa: PLR2004  (three digits either way)


def signed_cell_ms(ms: float) -> str:
    """Return the same with a sign; what is less than a cell shows has none."""
    if 0 < abs(ms) < _LEAST_CELL:
        return "0.0 ms"
    return f"{'+' if 0 < ms < math.inf else ''}{cell_ms(ms)}"


def ms_change(before: float, after: float) -> str:
    """Return "5 -> 45 ms"."""
    return f"{format_ms(before).removesuffix(' ms')} -> {format_ms(after)}"


def _digits(value: float) -> str:
    if abs(value) >= 100:  # noqa: PLR2004  (three digits either way)
        return f"{value:,.0f}"
    places = 2 - math.floor(math.log10(abs(value))) if value else 0
    return _number(value, min(places, _MS_PLACES))


def _number(value: float, places: int) -> str:
    text = f"{value:,.{places}f}"
    said = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if said == "-0" else said


def format_number(value: float, digits: int = 3) -> str:
    """Return a number with so many digits, or all of a whole or a large one; what is not finite as "unknown"."""
    if not math.isfinite(value):
        return _UNKNOWN
    return f"{value + 0.0:,.0f}" if abs(value) >= 10**digits or value == int(value) else f"{value:.{digits}g}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return "a, b and c"; beyond ``most`` it counts the rest."""
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else "none"


def counted(number: int, noun: str) -> str:
    """Return "1 trace", "2 traces"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
