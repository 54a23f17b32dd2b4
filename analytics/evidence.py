"""The evidence of a finding in words."""

from __future__ import annotations

import math
from typing import Any

_UNITS = ("ms", "s", "bytes")
_SHARES = ("share", "rate", "probability")
_LARGE = 1000


def evidence_sentence(evidence: dict[str, Any]) -> str:
    """Return numbers with their names, "depth 7, limit 6, share 12 %"; nothing of an empty object or of nulls."""
    return ", ".join(_say(name, value) for name, value in evidence.items() if value is not None)


def _say(name: str, value: Any) -> str:
    words = name.split("_")
    *first, last = words
    if isinstance(value, bool):
        return f"{' '.join(words)}: {'yes' if value else 'no'}"
    if not isinstance(value, int | float):
        return f"{' '.join(words)} {value}"
    if last in _SHARES and 0 <= value <= 1:
        return f"{' '.join(words)} {format_share(value)}"
    if first and last in _UNITS:
        return f"{' '.join(first)} {format_number(value)} {last}"
    return f"{' '.join(words)} {format_number(value)}"


def format_number(value: float) -> str:
    """Return a number with three digits, or all of a whole one; what is not finite as "unknown"."""
    if not math.isfinite(value):
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= _LARGE or value == int(value) else f"{value:.3g}"


def format_share(value: float) -> str:
    """Return a share as a percentage with at most two digits that count."""
    return f"{value * 100:.2g} %" if value < 1 else "100 %"
