"""Mistakes in what users set, worded for people."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from analytics.words import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def check_names(given: Collection[str], known: Collection[str], where: str, mistakes: list[str]) -> None:
    """Add a sentence to the mistakes for each name that is not known, with the nearest one that is."""
    for name in sorted(set(given) - set(known)):
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"give one of {', '.join(known)}."
        mistakes.append(f"{name} is no setting of {where}: {remedy}")


def name_remedy(given: str, known: Sequence[str]) -> str:
    """Return "did you mean a?" when a name is near or holds what is given, else "give one of a, b and c."."""
    near = difflib.get_close_matches(given, known, n=1) or [name for name in known if given and given in name]
    return f"did you mean {near[0]}?" if near else f"give one of {listed(known)}."
