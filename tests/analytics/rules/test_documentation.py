"""docs/rules.md says of every rule what the code does."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from analytics.rules import RULES

if TYPE_CHECKING:
    from analytics.findings import Rule

PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text()
SECTIONS = dict(re.findall(r"^## `([a-z-]+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_the_page_has_every_rule_and_names_those_that_are_missing() -> None:
    """A rule that has no section, or a section of a rule that is there and says otherwise, is a lie."""
    told = {name for name, text in SECTIONS.items() if text.strip() != "Not there yet."}
    assert told == {rule.name for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_limits_and_defaults_are_the_code_s(rule: Rule) -> None:
    """All of them, and no others."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", SECTIONS[rule.name], re.MULTILINE))
    expected = {field.name: getattr(rule.limits(), field.name) for field in fields(rule.limits)}
    assert {name: _values(text) for name, text in rows.items()} == {
        name: _values(_written(value)) for name, value in expected.items()
    }


def _written(value: object) -> str:
    return ", ".join(f"`{part}`" for part in value) if isinstance(value, tuple) else str(value)


def _values(text: str) -> list[str | float]:
    """Words in code spans, or one number, however it is written."""
    words = re.findall(r"`([^`]*)`", text)
    if words:
        return list(words)
    number = float(re.sub(r"[^0-9.e-]", "", text.replace(",", "")))
    return [number / 100 if "%" in text else number]
