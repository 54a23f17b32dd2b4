"""A verdict as a comment on a pull request: Markdown as GitHub shows it, in which telemetry commands nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from analytics.policy_formats import asked, looked_at, unknown_clauses
from analytics.words import ID_DIGITS, counted, format_number
from collector.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.policy_check import Clause, Verdict, Violation

MARK = "<!-- lithoscope check -->"
"""The comment's first line, by which a workflow may find it again."""

_MOST_VIOLATIONS = 10
_MOST_CHANGES = 8
_MOST_NOTES = 10
_MOST_LETTERS = 300  # of one text: GitHub refuses comments of more than 65,536
_PUNCTUATION = re.compile(r"([\\`*_\[\]<|~&$]|:(?=/))")
_ZERO_WIDTH = "\u200b"
_UNCERTAIN = " (or too little data on the other side)"


def verdict_markdown(verdict: Verdict, coupling: dict[str, Any] | None, index: dict[str, Any] | None) -> str:
    """Return a comment: the verdict, what breaks it, what changed of the coupling, and folded what is not known.

    ``coupling`` is that object of a comparison with a baseline, None without one; ``index`` is the report's.
    """
    blocks = [
        MARK,
        f"### Lithoscope: {_result(verdict)}",
        plain(looked_at(verdict)),
        _violations(verdict),
        _changes(coupling) if coupling else _index(index),
        _folded(verdict),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def plain(text: str) -> str:
    """Return text that GitHub shows as it is: no Markdown, HTML, link, mention or reference, and never too long."""
    text = printable(text)
    cut = text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
    # Mentions, references and addresses are found in what Markdown has become, so that no backslash would help.
    parted = re.sub(r"([@#])(?=\w)", rf"\1{_ZERO_WIDTH}", cut)
    parted = re.sub(r"(?i)\b(www|gh)(?=[.-])", rf"\1{_ZERO_WIDTH}", parted)
    return _PUNCTUATION.sub(r"\\\1", parted)


def _result(verdict: Verdict) -> str:
    count, broken = len(asked(verdict)), len(verdict.broken)
    unknown = sum(clause.status == "unknown" for clause in verdict.clauses)
    said = f"❌ policy broken, {broken}" if broken else f"✅ policy held, {count - unknown}"
    return f"{said} of {counted(count, 'clause')}{f', {unknown} unknown' if unknown else ''}"


def _violations(verdict: Verdict) -> str:
    found = [(clause, violation) for clause in verdict.clauses for violation in clause.violations]
    lines = [_violation(clause, violation) for clause, violation in found[:_MOST_VIOLATIONS]]
    return "\n".join([*lines, *_more(len(found) - len(lines))])


def _violation(clause: Clause, violation: Violation) -> str:
    said = plain(violation.short or violation.message)
    trace = f" `lithoscope trace {violation.trace_ids[0][:ID_DIGITS]}`" if violation.trace_ids else ""
    advice = f"<br>{plain(violation.advice)}" if violation.advice else ""
    return f"- **{plain(clause.name)}**: {said}{trace}{advice}"


def _index(index: dict[str, Any] | None) -> str:
    """The index alone, where there is nothing to compare it with."""
    if not index or index["score"] is None:
        return ""
    certain = "" if index["grade"] == "unknown" else f", {plain(index['grade'])}"
    return f"**Coupling index {format_number(index['score'])} of 100{certain}**"


def _changes(coupling: dict[str, Any]) -> str:
    """What is new, in sight; what is gone, behind a click."""
    new = [
        *_group("new cycle", [(", ".join(circle), True) for circle in coupling["new_cycles"]]),
        *_group("new edge", [_edge(edge) for edge in coupling["new_edges"]]),
        *_group("new finding", [_finding(finding) for finding in coupling["new_findings"]]),
        *_group("changed finding", [_became(change) for change in coupling["changed_findings"]]),
    ]
    gone = [
        *_group("gone edge", [_edge(edge) for edge in coupling["gone_edges"]]),
        *_group("gone finding", [_finding(finding) for finding in coupling["gone_findings"]]),
    ]
    nothing = "No edge, cycle or finding came." if gone else "No edge, cycle or finding came or went."
    counts = [counted(len(coupling[f"gone_{noun}s"]), noun) for noun in ("edge", "finding")]
    return "\n\n".join(
        [_before_and_after(coupling), "\n".join(new) or nothing, *_fold(f"Gone: {', '.join(counts)}", gone)]
    )


def _before_and_after(coupling: dict[str, Any]) -> str:
    before, after = coupling["index_before"], coupling["index_after"]
    said = ["unknown" if score is None else format_number(score) for score in (before, after)]
    change = "" if None in (before, after) else f" ({round(after - before, 1) + 0.0:+.1f})"
    return f"**Coupling index {said[0]} → {said[1]}{change}**"


def _edge(edge: dict[str, Any]) -> tuple[str, bool]:
    calls = counted(edge["calls"], "call")
    return f"{edge['caller']} → {edge['callee']}, {edge['mode']}, {calls}", edge["certain"]


def _finding(finding: dict[str, Any]) -> tuple[str, bool]:
    return f"{finding['rule']}, {finding['severity']}: {finding['title']}", finding["certain"]


def _became(change: dict[str, Any]) -> tuple[str, bool]:
    return f"{_finding(change['after'])[0]}; before: {change['before']['title']}", True


def _group(label: str, said: Sequence[tuple[str, bool]]) -> list[str]:
    lines = [f"- **{label}** {plain(text)}{'' if certain else _UNCERTAIN}" for text, certain in said[:_MOST_CHANGES]]
    return [*lines, *_more(len(said) - len(lines), f" {label}{'s' if len(said) - len(lines) > 1 else ''}")]


def _more(count: int, what: str = "") -> list[str]:
    return [f"- … and {count} more{what}; `--format json` has all."] if count > 0 else []


def _folded(verdict: Verdict) -> str:
    """What is worth saying and breaks nothing."""
    said = [f"- {plain(reason)}: {plain(', '.join(names))}" for reason, names in unknown_clauses(verdict).items()]
    said += [f"- {plain(note)}" for note in verdict.notes]
    lines = [*said[:_MOST_NOTES], *_more(len(said) - _MOST_NOTES)]
    return "".join(_fold("Not known, and notes", lines))


def _fold(title: str, lines: Sequence[str]) -> list[str]:
    """Lines behind a click; nothing for none."""
    body = "\n".join(lines)
    return [f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"] if lines else []
