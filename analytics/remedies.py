"""What several findings about one call advise together: what could take its place, and what it needs while it stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analytics.words import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Finding = dict[str, Any]

INSTEAD: Mapping[str, str] = {
    "async-candidate": "a message",
    "sync-chain": "a message",
    "distributed-lock": "a message",
    "distributed-transaction": "a saga",
    "boundary": "one service of both",
    "cycle": "the other way around",
}
"""Rules whose advice takes a call's place, with that: they are alternatives."""

MEANWHILE: Mapping[str, str] = {
    "missing-circuit-breaker": "a circuit breaker",
    "cascade": "a circuit breaker",
    "missing-timeout": "a timeout",
    "retry-storm": "a retry budget",
    "chatty-call": "one call for many",
}
"""Rules whose advice is for as long as the call stays, with that: they complete each other."""


@dataclass(frozen=True, slots=True)
class Remedies:
    """Of one ``edge`` ("caller->callee") the remedies, each with the rules that advise it."""

    edge: str
    instead: Mapping[str, Sequence[str]]
    meanwhile: Mapping[str, Sequence[str]]

    def sentence(self) -> str:
        """Return both in words."""
        instead, meanwhile = _named(self.instead), _named(self.meanwhile)
        said = [f"instead of the call: {' or '.join(instead)}"] if instead else []
        return "; ".join([*said, *([f"while it stays: {listed(meanwhile)}"] if meanwhile else [])])


def remedies(findings: Iterable[Finding]) -> list[Remedies]:
    """Return the remedies of each edge that several rules advise about, in the order of the findings."""
    about: dict[str, list[str]] = {}
    for finding in findings:
        if finding["rule"] in INSTEAD or finding["rule"] in MEANWHILE:
            for edge in _advised(finding):
                about.setdefault(edge, []).append(finding["rule"])
    return [
        Remedies(edge, _by_remedy(rules, INSTEAD), _by_remedy(rules, MEANWHILE))
        for edge, rules in about.items()
        if len(set(rules)) > 1
    ]


def _advised(finding: Finding) -> list[str]:
    """The edges that the advice is about: the only one, or those that it names."""
    edges: list[str] = finding["edges"]
    return edges if len(edges) == 1 else [edge for edge in edges if edge in finding["advice"]]


def _by_remedy(rules: Sequence[str], known: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for rule in dict.fromkeys(rules):
        if rule in known:
            found.setdefault(known[rule], []).append(rule)
    return found


def _named(remedies: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{remedy} ({', '.join(rules)})" for remedy, rules in remedies.items()]
