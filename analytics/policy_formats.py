"""A verdict as text for people, JSON, JUnit XML for build servers, SARIF and comments for code hosts."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from analytics.rule_help import CLAUSE_HELP, RULE_HELP
from analytics.words import ID_DIGITS, counted
from collector.cli.text import print_json, printable
from collector.units import format_window

if TYPE_CHECKING:
    from analytics.policy_check import Clause, Verdict, Violation

_HOME = "https://github.com/lithoscope/lithoscope"
_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"critical": "error", "warning": "warning", "info": "note"}
_KEYS = ("rule", "severity", "message", "services", "edges", "evidence", "trace_ids", "advice")


def write_verdict(
    verdict: Verdict, form: str, coupling: dict[str, Any] | None = None, index: dict[str, Any] | None = None
) -> None:
    """Write a verdict to standard output as ``text``, ``json``, ``junit``, ``sarif`` or ``markdown``.

    ``coupling`` is that object of a comparison with a baseline; JUnit and SARIF have no place for it.
    """
    if form == "json":
        print_json(verdict_json(verdict) | ({} if coupling is None else {"coupling": coupling}))
    elif form == "sarif":
        print_json(verdict_sarif(verdict))
    elif form == "junit":
        sys.stdout.write(verdict_junit(verdict))
    elif form == "markdown":
        from analytics.policy_comment import verdict_markdown  # noqa: PLC0415  (it imports this module)

        sys.stdout.write(verdict_markdown(verdict, coupling, index))
    else:
        sys.stdout.write(verdict_text(verdict))
        _print_coupling(coupling)


def _print_coupling(coupling: dict[str, Any] | None) -> None:
    if coupling is not None:
        from rich.console import Console  # noqa: PLC0415  (a verdict alone needs it not)

        from analytics.coupling_text import print_coupling  # noqa: PLC0415  (as above)

        print_coupling(coupling, Console())


def verdict_text(verdict: Verdict) -> str:
    """Return each violation and what to do about it, each thing not known and each note, and last the verdict."""
    lines = [
        *(line for clause in verdict.clauses for violation in clause.violations for line in _told(clause, violation)),
        *(f"unknown  {', '.join(names)}: {reason}." for reason, names in unknown_clauses(verdict).items()),
        *(f"note     {note}" for note in verdict.notes),
        _verdict(verdict),
    ]
    return "".join(f"{printable(line)}\n" for line in lines)


def unknown_clauses(verdict: Verdict) -> dict[str, list[str]]:
    """Return the clauses of each reason for which they are not known."""
    reasons: dict[str, list[str]] = {}
    for clause in verdict.clauses:
        for reason in clause.unknown:
            reasons.setdefault(reason, []).append(clause.name)
    return reasons


def _told(clause: Clause, violation: Violation) -> list[str]:
    return [f"broken   {_line(clause, violation)}", *([f"  to do  {violation.advice}"] if violation.advice else [])]


def _line(clause: Clause, violation: Violation) -> str:
    services = ", ".join(violation.services)
    traces = f"  lithoscope trace {violation.trace_ids[0][:ID_DIGITS]}" if violation.trace_ids else ""
    return f"{clause.name}{f' [{services}]' if services else ''}: {violation.short or violation.message}{traces}"


def _verdict(verdict: Verdict) -> str:
    count, broken = len(asked(verdict)), len(verdict.broken)
    unknown = sum(clause.status == "unknown" for clause in verdict.clauses)
    result = f"{'BROKEN' if broken else 'HELD'}: {broken or count - unknown} of {counted(count, 'clause')}"
    return f"{result}{f', {unknown} unknown' if unknown else ''}. {looked_at(verdict)}"


def asked(verdict: Verdict) -> list[Clause]:
    """Return the clauses that are the policy's own; that there are traces is said when there are none."""
    return [clause for clause in verdict.clauses if clause.rule != "no-data" or clause.status == "broken"]


def looked_at(verdict: Verdict) -> str:
    """Return which traces a verdict is about, as one sentence."""
    window = verdict.window
    name = verdict.environment or "environment without a name"
    times = f", {format_window(window['from'], window['to'])}" if window["traces"] else ""
    sampled = " (sampled: counts are estimates)" if window["sampled"] else ""
    return f"{name}, {counted(window['traces'], 'trace')}{times}{sampled}."


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return the object that docs/policy.md describes."""
    return {
        "policy": verdict.path,
        "held": not verdict.broken,
        "environment": verdict.environment,
        "window": verdict.window,
        "clauses": [_clause_json(clause) for clause in verdict.clauses],
        "notes": list(verdict.notes),
    }


def _clause_json(clause: Clause) -> dict[str, Any]:
    return {
        "clause": clause.name,
        "rule": clause.rule,
        "status": clause.status,
        "line": clause.line,
        "says": clause.says,
        "violations": [_violation_json(violation) for violation in clause.violations],
        "unknown": list(clause.unknown),
    }


def _violation_json(violation: Violation) -> dict[str, Any]:
    found = asdict(violation)
    return {key: list(found[key]) if isinstance(found[key], tuple) else found[key] for key in _KEYS}


def verdict_junit(verdict: Verdict) -> str:
    """Return JUnit XML: a test case for each clause; what is not known is skipped."""
    counts = {
        "tests": str(len(verdict.clauses)),
        "failures": str(len(verdict.broken)),
        "errors": "0",
        "skipped": str(sum(clause.status == "unknown" for clause in verdict.clauses)),
        "time": "0",
    }
    root = ET.Element("testsuites", {"name": "lithoscope check"} | counts)
    suite = ET.SubElement(root, "testsuite", {"name": printable(verdict.path)} | counts)
    for clause in verdict.clauses:
        _test_case(suite, verdict, clause)
    ET.SubElement(suite, "system-out").text = verdict_text(verdict)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _test_case(suite: ET.Element, verdict: Verdict, clause: Clause) -> None:
    """Build servers know a test by its class and its name; the class tells environments apart."""
    group = printable(f"lithoscope.{verdict.environment or 'unnamed'}")
    case = ET.SubElement(
        suite,
        "testcase",
        {"classname": group, "name": printable(clause.name), "time": "0", "file": printable(verdict.path)},
    )
    if clause.status == "unknown":
        ET.SubElement(case, "skipped", {"message": printable("; ".join(clause.unknown))})
    if clause.status == "broken":
        first = printable(clause.violations[0].short or clause.violations[0].message)
        failure = ET.SubElement(case, "failure", {"message": first, "type": clause.rule})
        failure.text = "".join(f"{printable(line)}\n" for violation in clause.violations for line in _lines(violation))


def _lines(violation: Violation) -> list[str]:
    return [
        violation.message,
        *([f"services: {', '.join(violation.services)}"] if violation.services else []),
        *([f"edges: {', '.join(violation.edges)}"] if violation.edges else []),
        *([f"traces: {' '.join(violation.trace_ids)}"] if violation.trace_ids else []),
        *([f"advice: {violation.advice}"] if violation.advice else []),
    ]


def verdict_sarif(verdict: Verdict) -> dict[str, Any]:
    """Return SARIF 2.1.0: a result for each violation, at the line of the policy and at its services."""
    from importlib.metadata import version  # noqa: PLC0415  (10 ms that no other form needs)

    rules = list(dict.fromkeys(clause.rule for clause in verdict.clauses))
    results = [
        _result(verdict, clause, violation, rules.index(clause.rule))
        for clause in verdict.clauses
        for violation in clause.violations
    ]
    driver = {
        "name": "Lithoscope",
        "version": version("lithoscope"),
        "informationUri": _HOME,
        "rules": [_sarif_rule(rule) for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"lithoscope/{verdict.environment or 'unnamed'}/"},
        "invocations": [{"executionSuccessful": True, "exitCode": int(bool(verdict.broken))}],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _sarif_rule(rule: str) -> dict[str, Any]:
    text = (RULE_HELP | CLAUSE_HELP)[rule]
    page = f"{_HOME}/blob/main/docs/{f'rules.md#{rule}' if rule in RULE_HELP else 'policy.md'}"
    return {
        "id": rule,
        "name": "".join(word.capitalize() for word in rule.split("-")),
        "shortDescription": {"text": text},
        "fullDescription": {"text": text},
        "help": {"text": f"{text} See {page}", "markdown": f"{text} [More]({page})"},
        "helpUri": page,
        "defaultConfiguration": {"level": "error"},
    }


def _result(verdict: Verdict, clause: Clause, violation: Violation, rule: int) -> dict[str, Any]:
    names = "\0".join((clause.name, violation.rule, *violation.services, *violation.edges))
    properties = {"severity": violation.severity, "evidence": violation.evidence, "traceIds": violation.trace_ids}
    advice = f" {violation.advice}" if violation.advice else ""
    return {
        "ruleId": violation.rule,
        "ruleIndex": rule,
        "level": _LEVELS[violation.severity],
        "kind": "fail",
        "message": {"text": f"{violation.message}{advice}"},
        "locations": [_location(verdict, clause, violation)],
        "partialFingerprints": {"violation/v1": hashlib.sha256(names.encode()).hexdigest()},
        "properties": {"clause": clause.name} | properties,
    }


def _location(verdict: Verdict, clause: Clause, violation: Violation) -> dict[str, Any]:
    file = {"artifactLocation": {"uri": _uri(Path(verdict.path))}, "region": {"startLine": clause.line}}
    services = [
        {"name": name, "fullyQualifiedName": f"{verdict.environment}/{name}", "kind": "module"}
        for name in dict.fromkeys(violation.services)
    ]
    return {"physicalLocation": file} | ({"logicalLocations": services} if services else {})


def _uri(path: Path) -> str:
    """Relative to the working folder, the repository's root in a build: hosts annotate no other files."""
    try:
        return quote(path.resolve().relative_to(Path.cwd()).as_posix())
    except ValueError:
        return path.resolve().as_uri()
