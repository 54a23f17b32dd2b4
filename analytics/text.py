"""The report in a terminal."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.text import Text

from analytics.findings_text import findings_markdown, print_findings
from analytics.propagation_report import propagation_lines, propagation_markdown
from analytics.text_table import Heading, table_lines
from analytics.words import cell_ms, counted, format_ms, percent, signed_cell_ms
from collector.cli.fitting import page_width
from collector.cli.text import print_json, printable
from collector.units import format_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_MOST_ENDPOINTS = 8
_MOST_PARTS = 6
_MOST_ROWS = 20
_BAR_WIDTH = 20
_FIGURES = (Heading("mean"), Heading("share"), Heading("", "left", bar=True), Heading("more in the tail"))
_FIGURE_NOTES = {
    "mean": "what a request waits for it, or it works for the request; they add up to the endpoint's mean",
    "more in the tail": "than in the middle; the mean of the slowest twentieth less that of the middle fifth",
}
_WORTH_SAYING = 0.005  # a smaller share of the latency is summed up as the rest
_PAGE_WIDTH = 120
_NEW_LINE = "\n"
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def write_report(report: dict[str, Any], form: str, *, every: bool = False) -> None:
    """Write a ``report`` object to standard output as ``text``, ``json``, ``markdown`` or ``html``.

    ``every`` finding and row of text and HTML, not the worst alone; the others have all of them.
    """
    if form == "json":
        print_json(report)
    elif form == "text":
        print_report(report, Console(), every=every)
    elif form == "html":
        console = Console(record=True, file=io.StringIO(), width=_PAGE_WIDTH)
        print_report(report, console, every=every)
        sys.stdout.write(console.export_html())
    else:
        sys.stdout.write(markdown(report))


def markdown(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    parts = [f"# {heading_of(report).plain.replace(_NEW_LINE, '. ')}"]
    if report.get("headline"):
        parts.append(f"**{_plain(report['headline'])}**")
    if report["window"]["traces"]:
        parts.append(findings_markdown(report))
        parts += propagation_markdown(report.get("propagation"), _plain)
    for endpoint in report["endpoints"]:
        parts += [f"## {_plain(endpoint_line(endpoint).plain)}", _markdown_table(endpoint["contributions"])]
    return "\n\n".join(parts) + "\n"


def _markdown_table(parts: Sequence[dict[str, Any]]) -> str:
    lines = ["| | mean | share | more in the tail |", "|---|---:|---:|---:|"]
    for part in parts:
        ms, share, _, excess = _cells(part)
        lines.append(f"| {_plain(part['node'])} | {ms} | {share} | {excess} |")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text that is neither HTML nor the end of a cell, whatever telemetry says."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", r"\|")


def print_report(report: dict[str, Any], console: Console, *, every: bool = False) -> None:
    """Print a ``report`` object, what matters most first; with ``every`` finding and row, not the worst alone."""
    if not report["window"]["traces"]:
        console.print("There are no traces in this window: widen it, or send some.")
        return
    if report.get("headline"):
        console.print(Text(f"{report['headline']}\n", style="bold"), soft_wrap=True)
    console.print(heading_of(report), soft_wrap=True)
    console.print()
    print_findings(report, console, *([None] if every else []))
    lines = propagation_lines(report.get("propagation"), page_width(console))
    if lines and report.get("endpoint") is None:
        console.print()
        print_lines(lines, console)
    _print_endpoints(report["endpoints"], console, every=every)
    whose = "" if report.get("endpoint") is None else " that it touches, with all their traffic"
    services = [row for row in report["services"] if row["type"] != "user"]
    _print_rows(f"Services{whose}", _SERVICES, services, console, every=every)
    edges = [row for row in report["edges"] if row["caller"] != "user"]
    _print_rows(f"Edges{whose}", _EDGES, edges, console, every=every)


def _print_endpoints(endpoints: Sequence[dict[str, Any]], console: Console, *, every: bool) -> None:
    shown = endpoints if every else endpoints[:_MOST_ENDPOINTS]
    for endpoint in shown:
        console.print()
        _print_endpoint(endpoint, console, every=every)
    if endpoints:
        print_notes(_FIGURE_NOTES, console)
    _print_more(len(endpoints) - len(shown), "more endpoint", console)


def _print_rows(
    title: str, columns: Sequence[Column], rows: Sequence[dict[str, Any]], console: Console, *, every: bool
) -> None:
    """A table of the first rows, and how many more there are."""
    shown = rows if every else rows[:_MOST_ROWS]
    headings = [column.heading for column in columns]
    cells = [[column.cell(row) for column in columns] for row in shown]
    console.print(Text(f"\n{title}", style="bold"))
    print_lines(table_lines(headings[1:], cells, page_width(console)), console)
    _print_more(len(rows) - len(shown), "more row", console)
    said = [any(str(row[at]) for row in cells) for at in range(len(columns))]
    told = zip(columns, said, strict=True)
    print_notes({column.title: column.note for column, says in told if says and column.note}, console)


def _print_more(more: int, noun: str, console: Console) -> None:
    if more:
        console.print(Text(f"… and {counted(more, noun)}: --all", style="dim"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title and what it says of a row; what its title does not say is a note below.

    A column that says nothing of any row has no note.
    """

    title: str
    cell: Callable[[dict[str, Any]], str]
    justify: Literal["left", "right"] = "right"
    spare: bool = False
    note: str = ""

    @property
    def heading(self) -> Heading:
        """How the table shows it."""
        return Heading(self.title, self.justify, spare=self.spare)


def _figure(key: str, form: str) -> Callable[[dict[str, Any]], str]:
    """A number in a format; nothing when there is none."""
    return lambda row: "" if row[key] is None else format(row[key], form)


def _share(key: str, digits: int = 1) -> Callable[[dict[str, Any]], str]:
    """A share; nothing when there is none, or none at all of it."""
    return lambda row: percent(row[key], digits) if row[key] else ""


def _p99(row: dict[str, Any]) -> str:
    return cell_ms(row["p99_ms"]) if row["p99_known"] else ""


def _saturation(row: dict[str, Any]) -> str:
    if row["saturation"] is None:
        return ""
    return f"{percent(row['saturation'], 1)} {printable(row['saturation_source'].partition(':')[0])}"


_SERVICES = (
    Column("", lambda row: printable(row["name"]), "left"),
    Column("calls", _figure("calls", ",")),
    Column("errors", _share("error_rate", 2), note="what it says itself has failed; a refusal (4xx) is none"),
    Column("p99", _p99),
    Column("latency", _share("critical_path_share"), note="its share of the time that requests take"),
    Column("fullest resource", _saturation, "left", spare=True, note="how much of it was used at most"),
    Column("needed by", _share("blast_radius"), spare=True, note="share of the requests that wait for it"),
    Column(
        "tail", _share("tail_critical_path_share"), spare=True, note="its share of the time of the slowest twentieth"
    ),
)
_EDGES = (
    Column("", lambda row: printable(f"{row['caller']} -> {row['callee']}"), "left"),
    Column(
        "protocol", lambda row: "async" if row["mode"] == "async" else row["protocol"] or "sync", "left", spare=True
    ),
    Column("calls", _figure("calls", ",")),
    Column(
        "a trace", _figure("calls_per_trace", ".1f"), spare=True, note="calls in a trace in which the caller takes part"
    ),
    Column(
        "errors",
        _share("error_rate", 2),
        note="what failed for the caller: also refusals (4xx) and what it gave up, which the service counts as done",
    ),
    Column("p99", _p99),
    Column(
        "network+queue",
        lambda row: "" if row["gap_ms"] is None else cell_ms(row["gap_ms"]),
        note="mean wait of the caller beyond what the callee itself took",
    ),
)


def heading_of(report: dict[str, Any]) -> Text:
    """Return what traces an answer is about, given its ``window``, ``environment`` and ``environments``."""
    window = report["window"]
    head = Text(f"{printable(report['environment']) or 'environment without a name'}", style="bold")
    head.append(f"  {counted(window['traces'], 'trace')}  {counted(window['spans'], 'span')}", style="not bold")
    if window["traces"]:
        head.append(f"  {format_window(window['from'], window['to'])}", style="not bold")
    if window["incomplete_traces"]:
        head.append(f"  {window['incomplete_traces']:,} incomplete", style="yellow")
    if window["sampled"]:
        head.append("  sampled: counts are estimates", style="yellow")
    others = [printable(name) or "(unnamed)" for name in report["environments"] if name != report["environment"]]
    if others:
        head.append(f"\nOther environments (--env): {', '.join(others)}", style="dim not bold")
    return head


def _print_endpoint(endpoint: dict[str, Any], console: Console, *, every: bool) -> None:
    console.print(endpoint_line(endpoint), soft_wrap=True)
    parts = endpoint["contributions"]
    shown, rest = (parts, []) if every else _split(parts)
    rows = [[_node(part), *_cells(part)] for part in shown]
    if rest:
        summed = {key: sum(part[key] or 0 for part in rest) for key in ("critical_path_ms", "share", "excess_ms")}
        rows.append([Text(f"{len(rest)} more", style="dim"), *_cells(summed)])
    print_lines(table_lines(_FIGURES, rows, page_width(console)), console)


def _node(part: dict[str, Any]) -> Text:
    return Text(printable(part["node"]), style="" if part["kind"] == "service" else "italic")


def print_notes(notes: Mapping[str, str], console: Console) -> None:
    """Print what columns are, a dim line each."""
    for title, note in notes.items():
        console.print(Text(f"{title}: {note}", style="dim"), soft_wrap=True)


def print_lines(lines: Iterable[Text], console: Console) -> None:
    """Print lines as they are, be they wider than the terminal."""
    for line in lines:
        console.print(line, soft_wrap=True)


def endpoint_line(endpoint: dict[str, Any]) -> Text:
    """Return an endpoint with its traces, latencies and errors; its contributions add up to its mean."""
    line = Text(printable(f"{endpoint['service']} {endpoint['operation']}"), style="bold cyan")
    p99 = format_ms(endpoint["p99_ms"]) if endpoint["p99_known"] else "unknown below 100 traces"
    mean, p50, p95 = (format_ms(endpoint[f"{figure}_ms"]) for figure in ("mean", "p50", "p95"))
    said = f"{counted(endpoint['traces'], 'trace')}  mean {mean}  p50 {p50}  p95 {p95}  p99 {p99}"
    line.append(f"  {said}", style="not bold default")
    if endpoint["error_rate"]:
        line.append(f"  {percent(endpoint['error_rate'])} errors", style="red not bold")
    if not endpoint["tail_known"]:
        line.append("  tail uncertain: fewer than 30 requests are in it", style="yellow not bold")
    return line


def _split(parts: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The parts to show, and those to sum up: never a single one."""
    shown = [part for part in parts[:_MOST_PARTS] if part["share"] >= _WORTH_SAYING]
    rest = list(parts[len(shown) :])
    return ([*shown, *rest], []) if len(rest) == 1 else (shown, rest)


def _cells(part: dict[str, Any]) -> Iterable[str | Text]:
    yield cell_ms(part["critical_path_ms"])
    yield percent(part["share"], 1)
    yield Text(bar(part["share"], _BAR_WIDTH), style="green")
    yield "" if part["excess_ms"] is None else signed_cell_ms(part["excess_ms"])


def bar(share: float, width: int) -> str:
    """Return a bar of ``width`` characters at share 1, in steps of an eighth of one."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def change_text(before: float | None, after: float | None, form: Callable[[float], str]) -> Text:
    """Return a figure of both sides, red when it grew and green when it shrank; once when both read alike."""
    if before is None or after is None:
        known = [form(value) for value in (before, after) if value is not None]
        return Text(known[0] + (" before" if after is None else " after") if known else "", style="dim")
    said = form(before), form(after)
    if said[0] == said[1]:
        return Text("" if not before else said[0])
    return Text(f"{said[0].removesuffix(' ms')} → {said[1]}", style="red" if after > before else "green")
