"""The coupling index and the worst findings in words, for a terminal and for Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from analytics.evidence import evidence_sentence
from analytics.words import format_number, percent
from collector.cli.text import printable
from collector.units import format_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    Finding = dict[str, Any]

_MOST_FINDINGS = 5
_MOST_PARTS = 4
_MOST_SERVICES = 6
_MOST_NUMBERS = 6
_MOST_LOWERS = 3
_WORTH_SAYING = 0.1  # points of the index
_BAR_WIDTH = 12
_INDENT = 10
_STYLES = {"critical": "bold red", "warning": "bold yellow", "info": "bold blue"}
_MARKDOWN = re.compile(r"([\\`*_\[\]|~])")


def print_findings(report: dict[str, Any], console: Console) -> None:
    """Print the coupling index with its largest parts, then the worst findings, what shows each and what to do."""
    console.print(Text(_index_line(report["coupling_index"]), style="bold"), soft_wrap=True)
    parts = _parts(report["coupling_index"])
    if parts:
        console.print(_parts_table(parts))
    if lowers := _lowers(report["coupling_index"]):
        console.print(Text(printable(lowers), style="dim"), soft_wrap=True)
    found = _found(report)
    console.print(Text(f"\n{_title(found)}", style="bold"), soft_wrap=True)
    for finding in found[:_MOST_FINDINGS]:
        _print_finding(finding, console)
    for line in _after(report, found):
        console.print(Text(printable(line), style="dim"), soft_wrap=True)


def findings_markdown(report: dict[str, Any]) -> str:
    """Return the same as Markdown, headings of the second level."""
    found = _found(report)
    blocks = [f"## {_index_line(report['coupling_index'])}"]
    parts = _parts(report["coupling_index"])
    if parts:
        rows = [f"| {_plain(part['name'])} | {_points(part)} | {_plain(part['explanation'])} |" for part in parts]
        blocks.append("\n".join(["| part | points | |", "|---|---:|---|", *rows]))
    if lowers := _lowers(report["coupling_index"]):
        blocks.append(_plain(lowers))
    blocks.append(f"## {_title(found)}")
    if found:
        blocks.append("\n".join(_item(finding) for finding in found[:_MOST_FINDINGS]))
    return "\n\n".join([*blocks, *map(_plain, _after(report, found))])


def _index_line(index: dict[str, Any] | None) -> str:
    missing = printable((index or {}).get("missing") or "too little data")
    if not index or index["score"] is None:
        return f"Coupling index unknown: {missing}"
    said = f"Coupling index {format_number(index['score'])} of 100"
    return f"{said}, not certain: {missing}" if index["grade"] == "unknown" else f"{said}, {printable(index['grade'])}"


def _lowers(index: dict[str, Any] | None) -> str:
    """Which calls would lower the index most, were they messages; nothing when none would."""
    edges = [lower for lower in (index or {}).get("lowers") or [] if lower["if_async"] >= _WORTH_SAYING]
    said = [f"{lower['edge']} {-lower['if_async']:+.1f}" for lower in edges[:_MOST_LOWERS]]
    return f"As messages instead of calls: {', '.join(said)} points." if said else ""


def _parts(index: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The parts of the index that add anything, the largest first."""
    parts = [part for part in (index or {}).get("components") or [] if part["contribution"]]
    return sorted(parts, key=lambda part: -part["contribution"])[:_MOST_PARTS]


def _points(part: dict[str, Any]) -> str:
    return f"{part['contribution']:.1f}"


def _parts_table(parts: Sequence[dict[str, Any]]) -> Table:
    from analytics.text import bar  # noqa: PLC0415  (that module prints these findings)

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(min_width=_BAR_WIDTH, no_wrap=True)
    table.add_column()
    most = max(part["contribution"] for part in parts)
    for part in parts:
        drawn = Text(bar(part["contribution"] / most, _BAR_WIDTH), style="red")
        table.add_row(printable(part["name"]), _points(part), drawn, Text(printable(part["explanation"] or "")))
    return table


def _found(report: dict[str, Any]) -> list[Finding]:
    return [finding for finding in report["findings"] if finding["status"] != "unknown"]


def _title(found: Sequence[Finding]) -> str:
    if not found:
        return "No rule found anything"
    counts = [(severity, sum(finding["severity"] == severity for finding in found)) for severity in _STYLES]
    said = ", ".join(f"{count} {severity}" for severity, count in counts if count)
    return f"{len(found)} {'finding' if len(found) == 1 else 'findings'}: {said}"


def _print_finding(finding: Finding, console: Console) -> None:
    line = Text(f"{finding['severity']:<{_INDENT}}", style=_STYLES[finding["severity"]])
    line.append(printable(finding["title"]), style="bold default")
    line.append(f"  {finding['rule']}", style="not bold dim")
    console.print(line, soft_wrap=True)
    for text, style in ((_evidence(finding), ""), (finding["advice"], "italic")):
        if text:
            console.print(Padding(Text(printable(text), style=style), (0, 0, 0, _INDENT)))


def _evidence(finding: Finding) -> str:
    """One sentence: who, when the title does not say, the numbers, and a trace to open."""
    services = [] if all(name in finding["title"] for name in finding["services"]) else list(finding["services"])
    names = ", ".join(services[:_MOST_SERVICES]) + (" and others" if len(services) > _MOST_SERVICES else "")
    said = evidence_sentence(finding["evidence"], _MOST_NUMBERS)
    trace = f"trace {finding['trace_ids'][0]}" if finding["trace_ids"] else ""
    sentence = ": ".join(filter(None, (names, "; ".join(filter(None, (said, trace))))))
    return f"{sentence if names else sentence[:1].upper() + sentence[1:]}." if sentence else ""


def _after(report: dict[str, Any], found: Sequence[Finding]) -> list[str]:
    """What is not shown, and what could not be told."""
    more = len(found) - _MOST_FINDINGS
    unknown = list(dict.fromkeys(finding["rule"] for finding in report["findings"] if finding["status"] == "unknown"))
    return [
        *([f"… and {more} more; --format json has all."] if more > 0 else []),
        *([f"Too little data for: {', '.join(unknown)}."] if unknown else []),
        *based_on_lines("Index and findings are those", report.get("judged_on")),
    ]


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
