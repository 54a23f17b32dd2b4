"""Mistakes in a policy are told all at once, each with what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analytics.policy import PolicyFile, read_policy
from analytics.rule_help import RULE_HELP
from collector.errors import ConfigurationError
from tests.analytics.policies import check, report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_all_mistakes_are_told_at_once(policy: Callable[[str], PolicyFile]) -> None:
    """One sentence each, with the place and what to write instead."""
    with pytest.raises(ConfigurationError) as error:
        policy("""
            unkown = "fail"
            unknown = "maybe"
            [index]
            max = 160
            [rules]
            forbid = ["cycel", "hub"]
            allow = ["xyz"]
            severity = "high"
            [services.checkout]
            forbid = ["cascade"]
            allow = ["cascade"]
            [dependencies]
            alow = ["a -> b"]
            forbid = ["gateway"]
            [[layers]]
            name = "front"
            services = ["gateway"]
            [[layers]]
            name = "back"
            services = ["stock", "gateway"]
            [[endpoints]]
            endpoint = "gateway GET /"
            [[endpoints]]
            p99_ms = -1
            error_rate = 5
        """)
    assert str(error.value).replace("shop.policy.toml: ", "").split("\n") == [
        "unknown: must be 'ignore' or 'fail', not 'maybe'.",
        "index.max: must be less than or equal to 100, not 160.",
        "rules.forbid[1]: cycel is not a rule: did you mean cycle?",
        f"rules.allow[1]: xyz is not a rule: the rules are {', '.join(RULE_HELP)}.",
        "rules.severity: must be 'info', 'warning' or 'critical', not 'high'.",
        "services.checkout: cascade cannot be both forbidden and allowed: keep one.",
        "dependencies.forbid[1]: write \"CALLER -> CALLEE\"; * stands for any letters, not 'gateway'.",
        "dependencies.alow is not a key of a policy: did you mean allow?",
        "layers: gateway is in front and in back: keep each service in one layer.",
        'endpoints[1]: "gateway GET /" has no limit: give p50_ms, p95_ms, p99_ms or error_rate.',
        "endpoints[2].p99_ms: must be greater than 0, not -1.",
        "endpoints[2].error_rate: must be less than or equal to 1, not 5.",
        "unkown is not a key of a policy: did you mean unknown?",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("index = ", "cannot be read as TOML (Invalid value"),
        (f"index = {'[' * 3000}", "cannot be read as TOML ("),
        ("", "asks for nothing"),
        ('unknown = "fail"\n[services.checkout]\nallow = ["hub"]', "asks for nothing"),
        ("[index]\nmax = true", "index.max: must be a valid number, not True."),
        ("[index]\nmax = nan", "index.max: must be less than or equal to 100, not nan."),
        ("[[endpoints]]\np99_ms = inf", "endpoints[1].p99_ms: must be a finite number, not inf."),
        ("[index]", "index.max is missing"),
        ("layers = 3", "layers: must be a valid list, not 3."),
    ],
)
def test_what_is_no_policy_is_refused(policy: Callable[[str], PolicyFile], text: str, said: str) -> None:
    """One that asks for nothing would always hold."""
    with pytest.raises(ConfigurationError) as error:
        policy(text)
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With what the system says of it."""
    with pytest.raises(
        ConfigurationError, match=r"There is no policy to read at .*nowhere.toml \(No such.*give a file"
    ):
        read_policy(tmp_path / "nowhere.toml")


def test_services_that_nobody_knows_are_mistakes(policy: Callable[[str], PolicyFile]) -> None:
    """All at once, with the nearest name; one that only the window lacks is noted, and a pattern may fit nothing."""
    file = policy("""
        [services.checkuot]
        forbid = ["hub"]
        [dependencies]
        allow = ["gateway -> chekout", "mail -> *", "old* -> stock"]
        [[layers]]
        name = "front"
        services = ["xyz"]
        [[endpoints]]
        endpoint = "gateway POST /order"
        p99_ms = 100
    """)
    with pytest.raises(ConfigurationError) as error:
        check(file, report(), ("mail",))
    assert str(error.value).replace("shop.policy.toml: ", "").split("\n") == [
        "services.checkuot names checkuot, which no stored span comes from: did you mean checkout?",
        "dependencies.allow names chekout, which no stored span comes from: did you mean checkout?",
        "layer front names xyz, which no stored span comes from: correct or remove it, or write a pattern with *.",
        "endpoints names gateway POST /order, which no stored span comes from: did you mean gateway POST /orders?",
    ]
    held = policy('[dependencies]\nforbid = ["mail -> *", "old* -> stock", "* -> postgresql other*"]')
    assert check(held, report(), ("mail",)).notes == ("No trace of this window has: mail.",)
