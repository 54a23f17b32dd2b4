"""The evidence of a finding in words."""

from __future__ import annotations

from typing import Any

from analytics.words import format_number, percent

_UNITS = ("ms", "s", "bytes")
_LIMIT = "limit"
_SHARES = ("share", "rate", "probability", "availability")


def evidence_sentence(evidence: dict[str, Any], most: int | None = None) -> str:
    """Return numbers with their names and limits: "depth 7 (limit 6), share 12 %"; the first ``most`` of them.

    ``depth_limit`` and ``wait_limit_s`` are the limits of ``depth`` and ``wait_s``. Nulls and what is false are left
    out; an empty object gives an empty text.
    """
    limits = {_without_limit(name): name for name in evidence if _LIMIT in name.split("_")[1:]}
    own = [
        name for name in evidence if limits.get(_without_limit(name)) != name or _without_limit(name) not in evidence
    ]
    said = [
        _say(name, evidence[name]) + (f" (limit {_value(name, evidence[limits[name]])})" if name in limits else "")
        for name in own
        if evidence[name] is not None and evidence[name] is not False
    ]
    return ", ".join(said[:most])


def _without_limit(name: str) -> str:
    return "_".join(word for word in name.split("_") if word != _LIMIT)


def _say(name: str, value: Any) -> str:
    *first, last = name.split("_")
    words = " ".join(first if first and last in _UNITS else [*first, last])
    return words if value is True else f"{words} {_value(name, value)}"


def _value(name: str, value: Any) -> str:
    """A value with the unit that its name tells."""
    if not isinstance(value, int | float):
        return str(value)
    *first, last = _without_limit(name).split("_")
    if last in _SHARES and 0 <= value <= 1:
        return percent(value)
    return f"{format_number(value)} {last}" if first and last in _UNITS else format_number(value)
