"""Limits of rules come from the configuration, and each wrong one is told in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from analytics.findings import Rule
from analytics.options import read_options
from analytics.rule_limits import read_limits
from analytics.rules import RULES
from collector.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Limits:
    """A limit of each kind."""

    depth: int = 4
    least_share: float = 0.5
    slow_ms: float = 50.0
    strict: bool = False
    names: tuple[str, ...] = ("refund",)
    word: str = "a"


CHAIN, PLAIN = (Rule(name, Limits, lambda _subject, _limits: []) for name in ("chain", "plain"))


def read(tables: Any) -> tuple[dict[str, Any], list[str]]:
    """The limits of two made-up rules, and the mistakes."""
    mistakes: list[str] = []
    return read_limits(tables, mistakes, (CHAIN, PLAIN)), mistakes


def test_limits_replace_defaults() -> None:
    """Those that are left out stay."""
    given = {"depth": 6, "least_share": 1, "names": ["undo", "cancel"], "strict": True}
    assert read({"chain": given}) == (
        {"chain": Limits(depth=6, least_share=1, names=("undo", "cancel"), strict=True)},
        [],
    )
    assert read({}) == ({}, [])


def test_every_mistake_is_told() -> None:
    """Unknown rules and limits with the nearest name, wrong values with what would be right."""
    wrong = {"depth": 6.5, "least_share": 1.5, "slow_ms": float("inf"), "strict": 1, "names": "undo", "word": ""}
    assert read({"chian": {}, "chain": {**wrong, "dept": 3}, "plain": 3})[1] == [
        "chian is no setting of rules: did you mean chain?",
        "dept is no setting of rules.chain: did you mean depth?",
        "depth of rules.chain is a whole number from 0, not 6.5.",
        "least_share of rules.chain is a share from 0 to 1, not 1.5.",
        "slow_ms of rules.chain is a number from 0, not inf.",
        "strict of rules.chain is true or false, not 1.",
        "names of rules.chain is a list of texts, not 'undo'.",
        "word of rules.chain is a text, not ''.",
        "rules.plain is a table of limits, not 3.",
    ]
    assert read([])[1] == ["rules has a table for each rule, [rules.NAME], not []."]


def test_the_options_of_the_analysis_have_limits() -> None:
    """And refuse a rule that there is not."""
    with pytest.raises(ConfigurationError, match="xyz is no setting of rules"):
        read_options({"rules": {"xyz": {"depth": 3}}})
    assert read_options({"rules": {rule.name: {} for rule in RULES}}).rules == {
        rule.name: rule.limits() for rule in RULES
    }
