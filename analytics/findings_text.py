"""The coupling index and the worst findings in words, for a terminal and for Markdown."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from rich.text import Text

from analytics.evidence import evidence_sentence
from analytics.remedies import remedies
from analytics.words import ID_DIGITS, counted, format_number, listed, percent
from collector.cli.text import printable
from collector.units import format_window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from analytics.remedies import Remedies

    Finding = dict[str, Any]

_MOST_FINDINGS = 5
_MOST_SERVICES = 6
_MOST_NUMBERS = 6
_MOST_REMEDIES = 3
_SEVERAL = "Calls that several findings are about"
_MOST_LOWERS = 3  # as many as ``together`` is told of
_WORTH_SAYING = 0.1  # points of the index
_EXACT = 1e-9  # of a tenth of a point: 6.3 may be 6.2999999
_BAR_WIDTH = 12
_INDENT = 10
_NARROWEST = 20  # of wrapped text: narrower it is a ribbon
_NOT_JUDGED = "Not judged: "
_JUDGED = "Index and findings are those"
_STYLES = {"critical": "bold red", "warning": "bold yellow", "info": "bold blue"}
_BEFORE_UNIT = re.compile(r"(?<=[0-9]) (?=(?:%|ms|s|min|h)(?![0-9A-Za-z]))")
_NO_BREAK = "\ue000"  # rich breaks lines at no-break spaces, too; this is no letter of any text
_MARKDOWN = re.compile(r"([\\`*_\[\]|~])")


def print_findings(report: dict[str, Any], console: Console, most: int | None = _MOST_FINDINGS) -> None:
    """Print the coupling index with its parts, then the worst findings and what to do about each.

    The index is left out of a report about one endpoint. ``most`` is how many findings; None for all.
    """
    if report.get("endpoint") is None:
        _print_index(report["coupling_index"], console)
        console.print()
    found = found_findings(report)
    console.print(Text(findings_title(found), style="bold"), soft_wrap=True)
    for finding in found[:most]:
        _print_finding(finding, console)
    more = len(found) - len(found[:most])
    if more:
        console.print(Text(f"… and {more} more: --all", style="dim"), soft_wrap=True)
    _print_remedies(remedies(found)[: None if most is None else _MOST_REMEDIES], console)
    if elsewhere := elsewhere_line(report):
        console.print(Text(elsewhere, style="dim"), soft_wrap=True)
    for label, line in _after(report):
        print_hanging(Text(label, style="dim"), Text(printable(line), style="dim"), len(label), console)


def _print_index(index: dict[str, Any] | None, console: Console) -> None:
    console.print(Text(index_line(index), style="bold"), soft_wrap=True)
    for head, explanation in _drawn_parts(shown_parts(index)):
        print_hanging(head, Text(printable(explanation)), head.cell_len, console)
    if lowers := lowers_line(index):
        print_hanging(Text(), Text(printable(lowers), style="dim"), 0, console)


def print_hanging(head: Text, text: Text, indent: int, console: Console) -> None:
    """Print ``head`` and behind it a text; further lines begin ``indent`` letters to the right, inside the head.

    A number and its unit stay on one line.
    """
    first, *rest = Text.assemble(head, text).divide([indent] if indent else [])
    body = rest[0] if rest else first
    body.plain = _BEFORE_UNIT.sub(_NO_BREAK, body.plain)
    for at, line in enumerate(body.wrap(console, max(console.width - indent, _NARROWEST))):
        line.rstrip()
        line.plain = line.plain.replace(_NO_BREAK, " ")
        console.print(Text.assemble((first if at == 0 else " " * indent) if rest else "", line), soft_wrap=True)


def findings_markdown(report: dict[str, Any]) -> str:
    """Return the same as Markdown, headings of the second level."""
    found = found_findings(report)
    blocks = [f"## {index_line(report['coupling_index'])}"]
    parts = shown_parts(report["coupling_index"])
    if parts:
        rows = [f"| {_plain(part['name'])} | {points} | {_plain(part['explanation'])} |" for part, points in parts]
        blocks.append("\n".join(["| part | points | |", "|---|---:|---|", *rows]))
    if lowers := lowers_line(report["coupling_index"]):
        blocks.append(_plain(lowers))
    blocks.append(f"## {findings_title(found)}")
    if found:
        blocks.append("\n".join(_item(finding) for finding in found[:_MOST_FINDINGS]))
    more = len(found) - _MOST_FINDINGS
    blocks += [f"… and {more} more; --format json has all."] if more > 0 else []
    if several := remedies(found):
        lines = (f"- **{_plain(edge.edge)}** {_plain(edge.sentence())}" for edge in several)
        blocks += [f"**{_SEVERAL}**", "\n".join(lines)]
    return "\n\n".join([*blocks, *map(_plain, [*filter(None, [elsewhere_line(report)]), *_after_markdown(report)])])


def index_line(index: dict[str, Any] | None) -> str:
    """Return the coupling index and its grade, or what is missing to know it."""
    needed = (index or {}).get("missing")
    missing = f"it takes {printable(needed)}" if needed else "too little data"
    if not index or index["score"] is None:
        return f"Coupling index unknown: {missing}"
    said = f"Coupling index {format_score(index['score'])} of 100"
    return f"{said}, not certain: {missing}" if index["grade"] == "unknown" else f"{said}, {printable(index['grade'])}"


def format_score(score: float) -> str:
    """Return an index with a digit behind the point, as its parts have; none of a whole one."""
    return format_number(round(score, 1))


def lowers_line(index: dict[str, Any] | None) -> str:
    """Return which calls would lower the index most, were they messages, and all of them; nothing when none would."""
    index = index or {}
    edges = [lower for lower in index.get("lowers") or [] if lower["if_async"] >= _WORTH_SAYING][:_MOST_LOWERS]
    if not edges:
        return ""
    said = ", ".join(f"{lower['edge']} {-lower['if_async']:+.1f}" for lower in edges)
    return f"As messages instead of calls: {said} points{_together(index, edges)}."


def _together(index: dict[str, Any], edges: Sequence[dict[str, Any]]) -> str:
    together = index.get("together")
    if len(edges) == 1 or not together or together["edges"] != [lower["edge"] for lower in edges]:
        return ""
    which = "both" if len(edges) < _MOST_LOWERS else "all three"
    return f"; {which} together bring it from {format_score(index['score'])} to {format_score(together['score'])}"


def shown_parts(index: dict[str, Any] | None) -> list[tuple[dict[str, Any], str]]:
    """Return the parts of the index that add to it, the largest first, and their points, which add up to what it shows.

    Each has a digit behind the point. What rounding all of them down loses goes to those that lost most.
    """
    parts = sorted((index or {}).get("components") or [], key=lambda part: -part["contribution"])
    tenths = [math.floor(10 * part["contribution"] + _EXACT) for part in parts]
    lost = round(10 * round(index["score"], 1)) - sum(tenths) if index and index["score"] is not None else 0
    for at in sorted(range(len(parts)), key=lambda at: tenths[at] - 10 * parts[at]["contribution"])[: max(lost, 0)]:
        tenths[at] += 1
    return [(part, f"{points / 10:.1f}") for part, points in zip(parts, tenths, strict=True) if points]


def _drawn_parts(parts: Sequence[tuple[dict[str, Any], str]]) -> Iterator[tuple[Text, str]]:
    """Name, points and a bar of each part, in columns; and its explanation."""
    from analytics.text import bar  # noqa: PLC0415  (that module prints these findings)

    most = max((part["contribution"] for part, _ in parts), default=0.0)
    name = max((len(printable(part["name"])) for part, _ in parts), default=0)
    width = max((len(points) for _, points in parts), default=0)
    for part, points in parts:
        drawn = bar(part["contribution"] / most, _BAR_WIDTH)
        head = Text(f"{printable(part['name']):<{name}}  {points:>{width}}  ")
        yield head.append(f"{drawn:<{_BAR_WIDTH}}  ", style="red"), part["explanation"] or ""


def found_findings(report: dict[str, Any]) -> list[Finding]:
    """Return the findings but for those of rules that could not judge."""
    return [finding for finding in report["findings"] if finding["status"] != "unknown"]


def findings_title(found: Sequence[Finding]) -> str:
    """Return how many findings of which severity there are."""
    if not found:
        return "No rule found anything."
    counts = [(severity, sum(finding["severity"] == severity for finding in found)) for severity in _STYLES]
    said = ", ".join(f"{count} {severity}" for severity, count in counts if count)
    return f"{counted(len(found), 'finding')}: {said}"


def _print_remedies(found: Sequence[Remedies], console: Console) -> None:
    """Print an edge a line, with what several findings advise about it together."""
    if found:
        console.print(Text(f"\n{_SEVERAL}", style="bold"), soft_wrap=True)
    for edge in found:
        print_hanging(Text(f"{printable(edge.edge)}  ", style="cyan"), Text(edge.sentence()), _INDENT, console)


def elsewhere_line(report: dict[str, Any]) -> str:
    """Return how many findings a report about one endpoint leaves out; nothing for none."""
    others = report.get("findings_elsewhere", 0)
    verb = "is" if others == 1 else "are"
    return f"{counted(others, 'other finding')} {verb} about what this endpoint does not touch." if others else ""


def _print_finding(finding: Finding, console: Console) -> None:
    """Severity and rule, then the title; below it what to do, and a trace to open."""
    head = Text(f"{finding['severity']:<{_INDENT}}", style=_STYLES[finding["severity"]])
    print_hanging(
        head.append(f"{finding['rule']}: ", style="not bold"),
        Text(printable(finding["title"]), style="bold"),
        _INDENT,
        console,
    )
    if finding["advice"]:
        print_hanging(Text(" " * _INDENT), Text(printable(finding["advice"])), _INDENT, console)
    if more := "; ".join(filter(None, (_unnamed(finding), _to_open(finding)))):
        print_hanging(Text(" " * _INDENT), Text(printable(more), style="dim"), _INDENT, console)


def _evidence(finding: Finding) -> str:
    """One sentence: who, when the title does not say, the numbers, and a trace to open."""
    names = _unnamed(finding)
    said = evidence_sentence(finding["evidence"], _MOST_NUMBERS)
    trace = f"trace {finding['trace_ids'][0]}" if finding["trace_ids"] else ""
    sentence = ": ".join(filter(None, (names, "; ".join(filter(None, (said, trace))))))
    return f"{sentence if names else sentence[:1].upper() + sentence[1:]}." if sentence else ""


def _unnamed(finding: Finding) -> str:
    """The services, when the title does not name them all."""
    services = list(finding["services"])
    return "" if all(name in finding["title"] for name in services) else listed(services, _MOST_SERVICES)


def _to_open(finding: Finding) -> str:
    return f"lithoscope trace {finding['trace_ids'][0][:ID_DIGITS]}" if finding["trace_ids"] else ""


def _after(report: dict[str, Any]) -> list[tuple[str, str]]:
    """What could not be told, and which traces were looked at: labels and lines."""
    return [*not_judged(report["findings"]), *(("", line) for line in based_on_lines(_JUDGED, report.get("judged_on")))]


def _after_markdown(report: dict[str, Any]) -> list[str]:
    return ["".join((_NOT_JUDGED * bool(label), line)) for label, line in _after(report)]


def not_judged(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Return a label and what follows it, for each reason for which rules could not judge; those of one together."""
    rules: dict[str, list[str]] = {}
    for finding in findings:
        if finding["status"] == "unknown":
            rules.setdefault(finding["title"].removeprefix("Unknown: ").rstrip("."), []).append(finding["rule"])
    ordered = sorted(rules.items(), key=lambda pair: -len(pair[1]))
    said = [f"{', '.join(dict.fromkeys(names))}: {reason}." for reason, names in ordered]
    return [(_NOT_JUDGED if at == 0 else " " * len(_NOT_JUDGED), line) for at, line in enumerate(said)]


def based_on_lines(what: str, traces: dict[str, Any] | None) -> list[str]:
    """Return a line that says which traces something is of, when those are not all."""
    if traces is None:
        return []
    share = "" if traces["share"] == 1 else f", {percent(traces['share'])} of the traces"
    return [f"{what} of {format_window(traces['from'], traces['to'])}{share}."]


def _item(finding: Finding) -> str:
    said = " ".join(_plain(text) for text in (_evidence(finding), finding["advice"]) if text)
    return f"- **{finding['severity']}: {_plain(finding['title'])}** ({finding['rule']}). {said}".rstrip()


def _plain(text: str) -> str:
    """Text that is neither HTML nor Markdown, whatever telemetry says."""
    return _MARKDOWN.sub(r"\\\1", printable(text)).replace("&", "&amp;").replace("<", "&lt;")
