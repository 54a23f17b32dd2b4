"""Alerts are taken as they are written, or it is told at the start what is wrong, in a sentence with the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analytics.alerts.rules import Condition, read_alerts
from analytics.options import read_options
from analytics.service import TraceAnalysis
from collector.errors import ConfigurationError
from collector.settings import load_settings

HOOK = "https://hooks.example.org/services/T0KEN"
INDEX = {"name": "a", "webhook": HOOK, "coupling_index": 60.0}
ENDPOINT = {"name": "a", "webhook": HOOK, "endpoint": "gateway .*", "p99_ms": 500}


def mistakes(*tables: Any) -> list[str]:
    """What is said of these tables."""
    found: list[str] = []
    read_alerts(list(tables), found)
    return found


def test_alerts_come_from_the_configuration_file(tmp_path: Path) -> None:
    """Addresses and secrets from files or variables, stripped of line ends."""
    secret, hook, file = (tmp_path / name for name in ("secret", "hook", "lithoscope.toml"))
    secret.write_text("0123456789abcdef\n")
    hook.write_text(f"{HOOK}\n")
    file.write_text(
        f'[[alerts]]\nname = "coupled"\nwebhook = "{HOOK}"\ncoupling_index = 60\n'
        f'[[alerts]]\nname = "slow"\nwebhook_file = "{hook}"\nsecret_file = "{secret}"\n'
        'endpoint = "gateway .*"\np99_ms = 500\nerror_rate = 0.05\nenvironment = "live"\n'
    )
    coupled, slow = read_options(load_settings({}, file).analysis).alerts
    assert coupled.condition == Condition(name="coupled", coupling_index=60.0)
    assert (coupled.webhook.url, coupled.webhook.secret) == (HOOK, b"")
    assert slow.condition == Condition(
        name="slow", endpoint="gateway .*", p99_ms=500.0, error_rate=0.05, environment="live"
    )
    assert (slow.webhook.url, slow.webhook.secret) == (HOOK, b"0123456789abcdef")


def test_without_any_there_is_nothing_to_configure() -> None:
    """No alert, no webhook, no file."""
    assert read_options(load_settings().analysis).alerts == ()


def test_a_variable_has_them_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """As all settings, they may come from the environment; so may the secret."""
    monkeypatch.setenv("LITHOSCOPE_ALERTS", json.dumps([INDEX | {"secret_variable": "HOOK_SECRET"}]))
    monkeypatch.setenv("HOOK_SECRET", "0123456789abcdef")
    (alert,) = read_options(load_settings().analysis).alerts
    assert (alert.condition.coupling_index, alert.webhook.secret) == (60.0, b"0123456789abcdef")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({**INDEX, "coupling_index": 100.0}, "coupling_index: must be less than 100."),
        ({**INDEX, "coupling_index": "60"}, "coupling_index: must be a valid number."),
        ({**INDEX, "colour": 1}, "colour is no key of an alert: see docs/alerts.md."),
        ({**ENDPOINT, "p99": 1}, "p99 is no key of an alert: did you mean p99_ms?"),
        ({**ENDPOINT, "endpoint": "("},
         "endpoint: '(' is no regular expression (missing ), unterminated subpattern at position 0): mend it."),
        ({**ENDPOINT, "minutes": 0}, "minutes: must be greater than or equal to 1."),
        ({**ENDPOINT, "coupling_index": 5.0}, "give one of coupling_index, finding and endpoint, and no other."),
        (
            {**INDEX, "minutes": 5},
            "minutes does not belong to coupling_index: take it out, or make another alert of it.",
        ),
        (
            {"name": "a", "webhook": HOOK, "endpoint": ".*"},
            "endpoint has no limit: give p99_ms, error_rate or both.",
        ),
        (
            {"name": "a", "webhook": HOOK, "finding": "casacde"},
            "finding: 'casacde' is no rule of findings: did you mean cascade?",
        ),
        ({"name": "a", "webhook": HOOK}, "give one of coupling_index, finding and endpoint, and no other."),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(table: dict[str, Any], sentence: str) -> None:
    """Which alert, which key, what is wrong and what to do."""
    assert mistakes(table) == [f"alerts[1] (a): {sentence}"]


def test_a_webhook_that_is_none_is_told(tmp_path: Path) -> None:
    """Without repeating the address: what is wrong with it may be a secret's letter."""
    wrong = [
        INDEX | {"webhook": "hooks.example.org/T0KEN"},
        {key: value for key, value in INDEX.items() if key != "webhook"},
        INDEX | {"secret_file": str(tmp_path / "none")},
        INDEX | {"secret_variable": "NOT_SET_ANYWHERE"},
    ]
    said = ["\n".join(mistakes(table)) for table in wrong]
    assert said == [
        "alerts[1] (a): webhook is no address of a webhook: write one such as https://hooks.example.org/services/T1.",
        "alerts[1] (a): give either webhook, an address, or webhook_file, a file that it is in.",
        (
            "alerts[1] (a): what secret_file names cannot be read (No such file or directory): give a file that the "
            "collector may read."
        ),
        (
            "alerts[1] (a): what secret_variable names holds 0 bytes: make a secret of 16 or more, with `openssl rand "
            "-hex 32` for example."
        ),
    ]


def test_names_are_unique_and_lists_are_lists() -> None:
    """An incident is told by the name of its alert."""
    assert mistakes(INDEX, ENDPOINT) == ["alerts: a is the name of several alerts: give each its own."]
    assert mistakes(5) == ["alerts is a list of tables: begin each with [[alerts]]."]
    with pytest.raises(ConfigurationError, match=r"begin each with \[\[alerts\]\]"):
        TraceAnalysis({"alerts": "no JSON"})


def test_nothing_shows_the_address_or_the_secret(tmp_path: Path) -> None:
    """Neither what is printed of an alert, nor any mistake."""
    file = tmp_path / "secret"
    file.write_text("0123456789abcdef")
    found: list[str] = []
    (alert,) = read_alerts([INDEX | {"secret_file": str(file)}], found)
    assert "T0KEN" not in repr(alert)
    assert "0123" not in repr(alert)
    assert "T0KEN" not in "\n".join(mistakes(INDEX | {"x": HOOK, "coupling_index": HOOK, "finding": 5}))


def test_every_key_is_documented() -> None:
    """docs/alerts.md has a row for each, and its example is understood."""
    page = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text(encoding="utf-8")
    keys = [*Condition.model_fields, "webhook", "webhook_file", "secret_file", "secret_variable"]
    assert [key for key in keys if f"| `{key}` |" not in page] == []
