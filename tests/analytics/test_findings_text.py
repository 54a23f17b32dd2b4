"""The report begins with the coupling index and the worst findings, in words that no telemetry can break."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from analytics.evidence import evidence_sentence
from analytics.findings_text import findings_markdown, index_line, lowers_line, print_findings, shown_parts
from analytics.words import format_number, percent

TRACE = "0af7651916cd43dd8448eb211c80319c"
INDEX = {
    "score": 71.25,
    "grade": "monolith",
    "lowers": [{"edge": "a->b", "if_async": 12.34, "if_removed": 13.0}, {"edge": "b->c", "if_async": 0.0}],
    "missing": None,
    "components": [
        {"name": "cycles", "value": 0.5, "weight": 0.2, "contribution": 12.0, "explanation": "6 of 9 services"},
        {"name": "hubs", "value": 0.0, "weight": 0.1, "contribution": 0.0, "explanation": "none"},
        {"name": "sync ratio", "value": 0.8, "weight": 0.3, "contribution": 59.25, "explanation": "all a->b"},
    ],
}


def finding(rule: str, severity: str, status: str = "found", **parts: Any) -> dict[str, Any]:
    """A finding with evidence of each kind."""
    return {
        "rule": rule,
        "status": status,
        "severity": severity,
        "title": f"A {rule}",
        "services": ["cart", "catalog"],
        "edges": [],
        "evidence": {"depth": 7, "limit": 6.0, "share": 0.254, "p99_ms": 1812.4},
        "trace_ids": [TRACE, TRACE],
        "advice": "Mend it.",
    } | parts


def printed(report: dict[str, Any]) -> list[str]:
    """What a terminal of 120 columns shows."""
    file = io.StringIO()
    print_findings(report, Console(file=file, width=120))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_the_index_and_the_findings_in_a_terminal() -> None:
    """The largest parts first, then of each finding what to do and a trace to open, then what is unknown."""
    findings = [
        finding("cycle", "critical"),
        finding("hub", "warning", services=[], trace_ids=[], advice=""),
        finding("queueing", "info", "unknown"),
    ]
    assert printed({"coupling_index": INDEX, "findings": findings}) == [
        "Coupling index 71.2 of 100, monolith",
        "sync ratio  59.2  ████████████  all a->b",
        "cycles      12.0  ██▍           6 of 9 services",
        "As messages instead of calls: a->b -12.3 points.",
        "",
        "2 findings: 1 critical, 1 warning",
        "critical  cycle: A cycle",
        "          Mend it.",
        "          cart and catalog; lithoscope trace 0af7651916cd",
        "warning   hub: A hub",
        "Not judged: queueing: A queueing.",
    ]


def test_the_same_as_markdown() -> None:
    """A table and a list."""
    report = {"coupling_index": INDEX, "findings": [finding("cycle", "critical"), finding("hub", "info", "unknown")]}
    assert findings_markdown(report).splitlines() == [
        *("## Coupling index 71.2 of 100, monolith", ""),
        *("| part | points | |", "|---|---:|---|"),
        *("| sync ratio | 59.2 | all a->b |", "| cycles | 12.0 | 6 of 9 services |", ""),
        *("As messages instead of calls: a->b -12.3 points.", ""),
        *("## 1 finding: 1 critical", ""),
        (
            "- **critical: A cycle** (cycle). cart and catalog: depth 7, limit 6, share 25 %, p99 1,812 ms; "
            f"trace {TRACE}. Mend it."
        ),
        *("", "Not judged: hub: A hub."),
    ]


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (None, "Coupling index unknown: too little data"),
        (
            {"score": None, "grade": "unknown", "missing": "a second service"},
            "Coupling index unknown: it takes a second service",
        ),
        (
            {"score": 12.0, "grade": "unknown", "missing": "30 traces, there are 9", "lowers": [], "components": []},
            "Coupling index 12 of 100, not certain: it takes 30 traces, there are 9",
        ),
    ],
)
def test_nothing_known_and_nothing_found(index: dict[str, Any] | None, said: str) -> None:
    """Said so, and never that all is well."""
    report: dict[str, Any] = {"coupling_index": index, "findings": []}
    assert printed(report) == [said, "", "No rule found anything."]
    assert findings_markdown(report).splitlines() == [f"## {said}", "", "## No rule found anything."]


@pytest.mark.parametrize(("share", "said"), [(1.0, ""), (0.25, ", 25 % of the traces")])
def test_what_was_looked_at_is_told(share: float, said: str) -> None:
    """When it was less than all."""
    judged_on = {"from": 1_795_435_200 * 10**9, "to": 1_795_438_800 * 10**9, "share": share}
    line = f"Index and findings are those of 2026-11-23 12:00 to 13:00 UTC{said}."
    report: dict[str, Any] = {"coupling_index": None, "findings": [], "judged_on": judged_on}
    assert printed(report)[-1] == line
    assert findings_markdown(report).splitlines()[-1] == line


@example([0.05])  # which is a little more than it looks
@given(st.lists(st.floats(0, 16), min_size=1, max_size=6))
def test_the_points_that_are_shown_add_up_to_the_index_that_is_shown(contributions: list[float]) -> None:
    """Whatever rounding does, and no part is hidden that has any points."""
    parts = [{"name": f"part {at}", "contribution": points} for at, points in enumerate(contributions)]
    index = {"score": sum(contributions), "grade": "tight", "components": parts}
    shown = shown_parts(index)
    said = float(index_line(index).split()[2])
    assert sum(Decimal(points) for _, points in shown) == Decimal(str(said))
    assert all(abs(float(points) - part["contribution"]) <= 0.1 + 1e-9 for part, points in shown)


@pytest.mark.parametrize(
    ("edges", "said"),
    [(1, ""), (2, "; both together bring it from 71.2 to 40"), (3, "; all three together bring it from 71.2 to 40")],
)
def test_what_several_messages_do_together_is_told(edges: int, said: str) -> None:
    """Since it is not the sum of what each does."""
    lowers = [{"edge": f"a->{name}", "if_async": 9.0} for name in "bcd"[:edges]]
    together = {"edges": [lower["edge"] for lower in lowers], "score": 40.0}
    line = lowers_line(INDEX | {"lowers": lowers, "together": together})
    assert line.endswith(f" -9.0 points{said}.")
    assert lowers_line(INDEX | {"lowers": lowers}).endswith(" -9.0 points.")


def test_what_several_findings_say_of_a_call_is_told_together() -> None:
    """Below them, in a terminal and on a page."""
    findings = [finding(rule, "critical", edges=["a->b"]) for rule in ("missing-timeout", "cascade")]
    report = {"coupling_index": None, "findings": findings}
    said = "while it stays: a timeout (missing-timeout) and a circuit breaker (cascade)"
    assert printed(report)[-3:] == ["", "Calls that several findings are about", f"a->b  {said}"]
    assert findings_markdown(report).splitlines()[-1] == f"- **a->b** {said}"
    many = report | {"findings": findings * 3}
    assert findings_markdown(many).index("… and 1 more") < findings_markdown(many).index("**Calls that several")


@pytest.mark.parametrize("width", range(40, 70))
def test_a_number_and_its_unit_stay_on_one_line(width: int) -> None:
    """However wide the terminal is."""
    advice = "About 11 % of the calls take 330 ms, or 2 h and 5 min, for 10 calls more"
    file = io.StringIO()
    report = {"coupling_index": None, "findings": [finding("hub", "info", services=[], trace_ids=[], advice=advice)]}
    print_findings(report, Console(file=file, width=width))
    lines = [line.strip() for line in file.getvalue().splitlines()]
    assert not [line for line in lines if line.startswith(("%", "ms", "h ", "min"))]
    assert advice in " ".join(lines)


def test_only_the_worst_are_shown() -> None:
    """And how many more there are."""
    report: dict[str, Any] = {
        "coupling_index": None,
        "findings": [finding(f"rule-{number}", "warning") for number in range(8)],
    }
    lines = printed(report)
    assert [line for line in lines if line.startswith("warning")] == [
        f"warning   rule-{number}: A rule-{number}" for number in range(5)
    ]
    assert lines[-1] == "… and 3 more: --all"


def test_names_command_neither_a_terminal_nor_a_page() -> None:
    """Telemetry comes from anywhere."""
    nasty = "\x1b[31m<b>|*x*[bold]`"
    report = {
        "coupling_index": INDEX,
        "findings": [finding("hub", "info", title=nasty, services=[nasty], advice=nasty)],
    }
    assert "\x1b" not in "".join(printed(report))
    assert "[31m<b>|*x*[bold]`" in "".join(printed(report))
    page = findings_markdown(report)
    assert "\x1b" not in page
    assert r"\[31m&lt;b>\|\*x\*\[bold\]\`" in page


def test_evidence_in_words() -> None:
    """Shares as percentages, units at their numbers, limits beside what they limit, nothing of what is not known."""
    evidence = {"re_entry": True, "table": "orders", "wait_s": 0.5, "error_rate": 1, "lift": None, "share": 1.5, "s": 3}
    assert evidence_sentence(evidence) == "re entry, table orders, wait 0.5 s, error rate 100 %, share 1.5, s 3"
    limited = {"depth": 7, "depth_limit": 4, "wait_limit_s": 2, "wait_s": 3.5, "share": 0.5, "share_limit": 0.25}
    assert evidence_sentence(limited) == "depth 7 (limit 4), wait 3.5 s (limit 2 s), share 50 % (limit 25 %)"
    alone = {"calls_limit": 4, "limit": 5, "share_limit": 0.25, "re_entry": False, "depth": None, "depth_limit": 4}
    assert evidence_sentence(alone, 3) == "calls limit 4, limit 5, share limit 25 %"
    assert evidence_sentence({}) == ""


def test_services_are_named_once() -> None:
    """When the title does not."""
    report = {"coupling_index": None, "findings": [finding("hub", "info", title="cart and catalog", trace_ids=[])]}
    assert printed(report)[3:] == ["info      hub: cart and catalog", "          Mend it."]


def test_rules_that_cannot_judge_for_one_reason_are_told_together() -> None:
    """The most frequent reason first."""
    why = [("hub", "no trace"), ("cycle", "no root"), ("cascade", "no root"), ("hub", "no trace")]
    findings = [finding(rule, "info", "unknown", title=f"Unknown: {reason}") for rule, reason in why]
    assert printed({"coupling_index": None, "findings": findings})[-2:] == [
        "Not judged: hub: no trace.",
        "            cycle, cascade: no root.",
    ]


def test_all_are_shown_when_wanted() -> None:
    """And nothing is padded or wider than the terminal."""
    file = io.StringIO()
    findings = [finding("hub", "info", title=f"hub {number} " * 9, advice="Mend it. " * 30) for number in range(8)]
    print_findings({"coupling_index": INDEX, "findings": findings}, Console(file=file, width=60), None)
    lines = file.getvalue().splitlines()
    assert sum(line.startswith("info") for line in lines) == 8
    assert all(line == line.rstrip() and len(line) <= 60 for line in lines)


@given(st.floats() | st.integers(-(10**12), 10**12))
def test_numbers_are_never_nan_in_words(value: float) -> None:
    """Nor inf."""
    said = format_number(value)
    assert "nan" not in said
    assert "inf" not in said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 %"),
        (0.004, "0.4 %"),
        (0.256, "26 %"),
        (0.996, "99.6 %"),
        (0.9996, "99.96 %"),
        (0.999999999, "over 99.9999 %"),
        (1, "100 %"),
        (1e-6, "0.0001 %"),
        (1e-9, "under 0.0001 %"),
        (12.5, "1,250 %"),
    ],
)
def test_a_share_is_100_percent_only_when_it_is_all(value: float, said: str) -> None:
    """And 0 only when it is nothing."""
    assert percent(value) == said
