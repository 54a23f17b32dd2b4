"""Every format of a verdict names every violation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from analytics.policy_formats import verdict_json, verdict_junit, verdict_sarif, verdict_text, write_verdict
from analytics.rule_help import RULE_HELP
from analytics.rules import RULES
from tests.analytics.policies import TRACE, check, finding, report

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.policy import PolicyFile
    from analytics.policy_check import Verdict


BROKEN = """# What the shop promises
[rules]
forbid = [
    "hub",
    "cycle",
]

[dependencies]
forbid = ["stock -> checkout"]

[[endpoints]]
endpoint = "other endpoint"
p50_ms = 1
"""
NASTY = "check<out>\x00\x1b[31m&\"'"


@pytest.fixture
def broken(policy: Callable[[str], PolicyFile]) -> Verdict:
    """A verdict with something of each kind, and a service whose name would break a terminal and XML."""
    findings = [finding("cycle", "stock", NASTY, severity="warning"), finding("cycle", "payment", severity="info")]
    return check(policy(BROKEN), report(findings=findings, environments=["live", "test"]))


def test_text_has_a_line_for_each_violation(broken: Verdict) -> None:
    """With rule, services and a trace to open; the verdict comes last."""
    clean = NASTY.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    assert verdict_text(broken).splitlines() == [
        f"broken   rule cycle [stock, {clean}]: A cycle.  lithoscope trace {TRACE[:12]}",
        "  to do  Mend it.",
        f"broken   rule cycle [payment]: A cycle.  lithoscope trace {TRACE[:12]}",
        "  to do  Mend it.",
        (
            "broken   no dependency stock -> checkout [stock, checkout]: "
            "stock calls checkout (1,200 sync calls), which is forbidden."
        ),
        "  to do  Take the call out, or allow it in [dependencies] when it is meant.",
        "unknown  p50_ms of other endpoint at most 1 ms: no trace is of the endpoint other endpoint.",
        "note     Other environments, not checked (--env): test.",
        "BROKEN: 2 of 4 clauses, 1 unknown. live, 500 traces, 1970-01-01 00:00 to 00:00 UTC.",
    ]


def test_json_has_all(broken: Verdict) -> None:
    """With keys that scripts can rely on."""
    found = json.loads(json.dumps(verdict_json(broken), allow_nan=False))
    assert list(found) == ["policy", "held", "environment", "window", "clauses", "notes"]
    assert (found["policy"], found["held"]) == ("shop.policy.toml", False)
    assert [(clause["clause"], clause["status"], clause["line"]) for clause in found["clauses"]] == [
        ("traces", "held", 1),
        ("rule cycle", "broken", 5),
        ("rule hub", "held", 4),
        ("no dependency stock -> checkout", "broken", 9),
        ("p50_ms of other endpoint at most 1 ms", "unknown", 12),
    ]
    assert found["clauses"][1]["violations"][1] == {
        "rule": "cycle",
        "severity": "info",
        "message": "A cycle (depth 7, limit 6, share 25 %, p99 812 ms, re entry).",
        "services": ["payment"],
        "edges": [],
        "evidence": finding("cycle")["evidence"],
        "trace_ids": [TRACE],
        "advice": "Mend it.",
    }


def test_junit_has_a_test_case_for_each_clause(broken: Verdict) -> None:
    """Which fails, is skipped or passes; the counts agree, names are unique, and any name makes valid XML."""
    root = ET.fromstring(verdict_junit(broken))
    (suite,) = root
    cases = suite.findall("testcase")
    assert [(case.get("name"), *(part.tag for part in case)) for case in cases] == [
        ("traces",),
        ("rule cycle", "failure"),
        ("rule hub",),
        ("no dependency stock -> checkout", "failure"),
        ("p50_ms of other endpoint at most 1 ms", "skipped"),
    ]
    for element in (root, suite):
        assert [element.get(name) for name in ("tests", "failures", "skipped", "errors")] == ["5", "2", "1", "0"]
    text = cases[1].findtext("failure") or ""
    assert [line.partition(":")[0] for line in text.splitlines()] == [
        *("A cycle (depth 7, limit 6, share 25 %, p99 812 ms, re entry).", "services", "traces", "advice"),
        *("A cycle (depth 7, limit 6, share 25 %, p99 812 ms, re entry).", "services", "traces", "advice"),
    ]


def test_sarif_has_what_code_hosts_require(broken: Verdict) -> None:
    """The required properties, results at the policy's lines and at services, and fingerprints that tell them apart."""
    log = json.loads(json.dumps(verdict_sarif(broken), allow_nan=False))
    (run,) = log["runs"]
    rules, results = run["tool"]["driver"]["rules"], run["results"]
    assert (log["version"], run["tool"]["driver"]["name"]) == ("2.1.0", "Lithoscope")
    assert [rule["id"] for rule in rules] == ["no-data", "cycle", "hub", "dependency", "endpoint-limit"]
    assert all(rule["help"]["text"] and rule["shortDescription"]["text"] for rule in rules)
    assert [rules[result["ruleIndex"]]["id"] for result in results] == [result["ruleId"] for result in results]
    assert [(result["ruleId"], result["level"]) for result in results] == [
        *(("cycle", "warning"), ("cycle", "note"), ("dependency", "error")),
    ]
    (place,) = results[2]["locations"]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "shop.policy.toml"},
        "region": {"startLine": 9},
    }
    assert [where["fullyQualifiedName"] for where in place["logicalLocations"]] == ["live/stock", "live/checkout"]
    assert len({result["partialFingerprints"]["violation/v1"] for result in results}) == 3
    assert "Mend it." in results[0]["message"]["text"]


@pytest.mark.parametrize(("form", "begins"), [("text", "broken "), ("json", "{"), ("junit", "<?xml"), ("sarif", "{")])
def test_every_format_is_written(broken: Verdict, capsys: pytest.CaptureFixture[str], form: str, begins: str) -> None:
    """To standard output, with a line's end."""
    write_verdict(broken, form)
    written = capsys.readouterr().out
    assert written.startswith(begins)
    assert written.endswith("\n")


def test_every_rule_has_help() -> None:
    """A policy may name it."""
    assert {rule.name for rule in RULES} <= set(RULE_HELP)
