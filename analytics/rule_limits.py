"""The limits of rules as users set them: ``[rules.sync-chain]`` in the configuration file."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from analytics.mistakes import check_names
from analytics.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analytics.findings import Rule

_SHARES = ("share", "rate", "probability", "confidence")
"""The last word of limits that are 0 to 1."""


def read_limits(tables: Any, mistakes: list[str], rules: Iterable[Rule] | None = None) -> dict[str, Any]:
    """Return the limits that tables by the names of rules set, and add a sentence to ``mistakes`` for each wrong one.

    What a table leaves out has its default. A number must be finite and not negative, a share at most 1.
    """
    known = {rule.name: rule for rule in (RULES if rules is None else rules)}
    if not isinstance(tables, dict):
        mistakes.append(f"rules has a table for each rule, [rules.NAME], not {tables!r}.")
        return {}
    check_names(tables, list(known), "rules", mistakes)
    return {name: _limits(known[name], table, mistakes) for name, table in tables.items() if name in known}


def _limits(rule: Rule, table: Any, mistakes: list[str]) -> Any:
    where, defaults = f"rules.{rule.name}", rule.limits()
    if not isinstance(table, dict):
        mistakes.append(f"{where} is a table of limits, not {table!r}.")
        return defaults
    names = [limit.name for limit in fields(rule.limits)]
    check_names(table, names, where, mistakes)
    given = {name: table[name] for name in names if name in table}
    wrong = [_wrong(name, value, getattr(defaults, name)) for name, value in given.items()]
    said = [
        f"{name} of {where} is {what}, not {table[name]!r}." for name, what in zip(given, wrong, strict=True) if what
    ]
    mistakes += said
    if said:
        return defaults
    return rule.limits(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def _wrong(name: str, value: Any, default: Any) -> str:
    """What the limit should be, when the value is not that; nothing when it is."""
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, int | float):
        return _wrong_number(name, value, default)
    if isinstance(default, str):
        return "" if isinstance(value, str) and value else "a text"
    return "" if isinstance(value, list) and all(isinstance(part, str) for part in value) else "a list of texts"


def _wrong_number(name: str, value: Any, default: float) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, int):
        return "" if is_number and isinstance(value, int) and value >= 0 else "a whole number from 0"
    most = 1.0 if name.rsplit("_", maxsplit=1)[-1] in _SHARES else math.inf
    if is_number and math.isfinite(value) and 0 <= value <= most:
        return ""
    return "a share from 0 to 1" if most == 1 else "a number from 0"
