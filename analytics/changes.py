"""Changes that a simulation makes, as people write them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from collector.errors import ConfigurationError
from collector.units import parse_duration_ns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KINDS = ("slow", "fail", "async", "breaker")
"""The command's options, each given as often as wanted."""
_FACTOR = re.compile(r"x([0-9]*\.?[0-9]+)", re.IGNORECASE)
_SHARE = re.compile(r"([0-9]*\.?[0-9]+)(%?)")
_FORMS = {
    "slow": "SERVICE=+200ms, SERVICE=-50ms or SERVICE=x2",
    "fail": "SERVICE=0.5 or SERVICE=50%, at most all",
    "async": '"CALLER->CALLEE"',
    "breaker": '"CALLER->CALLEE" or "CALLER->CALLEE=fallback"',
}
_FALLBACK = "=fallback"
_MS = 1e6
_LONGEST_NS = 86_400_000_000_000  # a day; sums of many must stay below 2^63
_GREATEST_FACTOR = 1000.0


@dataclass(frozen=True, slots=True)
class Slow:
    """Each request to a service takes ``delta_ns`` more (less), or its own work ``factor`` times as long."""

    service: str
    delta_ns: int = 0
    factor: float = 1.0

    def describe(self) -> dict[str, Any]:
        """Return the contract's object of the change."""
        how = {"factor": self.factor} if self.factor != 1 else {"delta_ms": self.delta_ns / _MS}
        return {"kind": "slow", "service": self.service, **how}


@dataclass(frozen=True, slots=True)
class Fail:
    """This share of the requests to a service fails."""

    service: str
    share: float

    def describe(self) -> dict[str, Any]:
        """Return the contract's object of the change."""
        return {"kind": "fail", "service": self.service, "share": self.share}


@dataclass(frozen=True, slots=True)
class Edge:
    """Calls on an edge no longer block (``async``), or pass a circuit breaker (``breaker``).

    With a ``fallback``, a call that the breaker refuses does not fail its caller.
    """

    kind: str
    caller: str
    callee: str
    fallback: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the contract's object of the change."""
        return {"kind": self.kind, "caller": self.caller, "callee": self.callee} | (
            {"fallback": True} if self.fallback else {}
        )


Change: TypeAlias = Slow | Fail | Edge


def parse_changes(options: Mapping[str, Sequence[str]]) -> list[Change]:
    """Return the changes that options of KINDS name.

    Raises ``ConfigurationError`` for a wrong one, for none, and for two that cannot both be.
    """
    changes = [_parse(kind, text) for kind in KINDS for text in options.get(kind, ())]
    if not changes:
        known = ", ".join(f"--{kind} {form}" for kind, form in _FORMS.items())
        raise ConfigurationError(f"There is nothing to simulate: give {known}.")
    _refuse_two_of_one(changes)
    return changes


def _refuse_two_of_one(changes: Sequence[Change]) -> None:
    """Two times of one service, or two fates of one edge: which of them is meant cannot be told."""
    there: set[tuple[str, ...]] = set()
    for change in changes:
        target = (change.caller, change.callee) if isinstance(change, Edge) else (type(change).__name__, change.service)
        if target in there:
            what = "->".join(target) if isinstance(change, Edge) else change.service
            how = "--async or --breaker" if isinstance(change, Edge) else f"--{type(change).__name__.lower()}"
            raise ConfigurationError(f"{what} is changed twice by {how}: give one change of it.")
        there.add(target)


def _parse(kind: str, text: str) -> Change:
    try:
        if kind in ("async", "breaker"):
            has_fallback = kind == "breaker" and text.rstrip().endswith(_FALLBACK)
            return Edge(
                kind, *_halves(text.rstrip().removesuffix(_FALLBACK) if has_fallback else text, "->"), has_fallback
            )
        service, value = _halves(text, "=")
        return Fail(service, _share(value)) if kind == "fail" else _slow(service, value)
    except ValueError as error:
        why = f" ({error})" if str(error) else ""
        raise ConfigurationError(f"--{kind} {text!r} is not understood{why}: give {_FORMS[kind]}.") from error


def _halves(text: str, between: str) -> tuple[str, str]:
    left, found, right = (part.strip() for part in text.rpartition(between))
    if not (found and left and right):
        raise ValueError
    return left, right


def _slow(service: str, value: str) -> Slow:
    if found := _FACTOR.fullmatch(value):
        factor = float(found[1])
        if factor > _GREATEST_FACTOR:
            raise ValueError(f"at most x{_GREATEST_FACTOR:g}")
        return Slow(service, factor=factor)
    delta = parse_duration_ns(value.lstrip("+-"))
    if delta > _LONGEST_NS:
        raise ValueError("at most a day")
    return Slow(service, delta_ns=-delta if value.startswith("-") else delta)


def _share(value: str) -> float:
    found = _SHARE.fullmatch(value)
    share = float(found[1]) / (100 if found[2] else 1) if found else math.inf
    if share > 1:
        raise ValueError(f"did you mean {value}%?" if found and share <= 100 else "")  # noqa: PLR2004
    return share
