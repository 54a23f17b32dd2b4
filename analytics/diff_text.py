"""A comparison in a terminal: who is to blame, then the figures of all services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from analytics.coupling_index import ENOUGH_TRACES
from analytics.coupling_text import print_coupling
from analytics.findings_text import print_hanging
from analytics.quantiles import ENOUGH_FOR_P99
from analytics.text import bar, change_text, print_lines, print_notes
from analytics.text_table import Heading, table_lines
from analytics.words import cell_ms, counted, format_ms, percent, signed_cell_ms
from collector.cli.fitting import page_width
from collector.cli.text import printable
from collector.units import format_window

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_CULPRITS = 8
_MOST_SERVICES = 15
_BAR_WIDTH = 12
_MS_WIDTH = 10  # of "+26,560 ms"
_INDENT = _BAR_WIDTH + 1 + _MS_WIDTH + 2
_LEAST_MS = 0.05  # less nobody would look for
_HEADINGS = (
    Heading("a request"),
    Heading("by chance", spare=True),
    Heading("p99 before"),
    Heading("p99 after"),
    Heading("errors before", spare=True),
    Heading("errors after", spare=True),
)
_MOST_ENDPOINTS = 15
_ENDPOINT_HEADINGS = (Heading("traces", spare=True), Heading("p50"), Heading("p99"), Heading("errors"))
_WORTH_SAYING = 0.01  # of all that grew
_SIDES = ("before", "after")
_UNKNOWN = "unknown"
_NOTES = {
    "by chance": "what may lie between two samples of one system; less is nobody's fault",
    "p99": f"unknown of fewer than {ENOUGH_FOR_P99} requests",
}


def print_diff(diff: dict[str, Any], console: Console | None = None) -> None:
    """Print a ``diff`` object; ``--format json`` has all of it."""
    console = console or Console()
    for side in _SIDES:
        console.print(_side(side, diff[side]), soft_wrap=True)
    empty = [side for side in _SIDES if not diff[side]["traces"]]
    if empty:
        console.print(f"\nThere are no traces {' and none '.join(empty)}: give a window or a version that has some.")
        return
    least = _WORTH_SAYING * sum(row["delta_ms"] for row in diff["culprits"])
    culprits = [row for row in diff["culprits"] if row["delta_ms"] >= least][:_MOST_CULPRITS]
    console.print(Text("\nWho is to blame" if culprits else "\nNo service is to blame", style="bold"))
    if not culprits:
        console.print(_why_nobody(diff))
    most = max((row["delta_ms"] for row in culprits), default=0.0)
    for row in culprits:
        print_hanging(_culprit(row, most), Text(), _INDENT, console)
    _print_endpoints(diff["endpoints"], console)
    print_coupling(diff["coupling"], console)
    console.print(Text("\nServices", style="bold"))
    print_lines(_services(diff["services"], page_width(console)), console)
    print_notes(_NOTES, console)


def _side(side: str, window: dict[str, Any]) -> Text:
    """What a side is: its file, environment, version, traces and times, and whether those are too few."""
    what = [printable(window["environment"]) or "environment without a name"]
    what += [f"{printable(window['service'])}@{printable(window['version'])}"] if window["version"] else []
    what += [printable(window["file"])] if window.get("file") else []
    said = [", ".join(what), counted(window["traces"], "trace"), counted(window["spans"], "span")]
    said += [format_window(window["from"], window["to"], seconds=True)] if window["traces"] else []
    line = Text(f"{side:<7} {'  '.join(said)}")
    if 0 < window["traces"] < ENOUGH_TRACES:
        line.append(f"  fewer than {ENOUGH_TRACES} traces prove little", style="yellow")
    return line


def _why_nobody(diff: dict[str, Any]) -> str:
    grown = any(row["delta_ms"] >= _LEAST_MS for row in (*diff["services"], *diff["edges"]))
    return "What got slower did so by no more than chance explains." if grown else "Nothing got slower."


def _print_endpoints(rows: list[dict[str, Any]], console: Console) -> None:
    """A line an endpoint: how often it was called, how long it took and how often it failed, before and after."""
    console.print(Text("\nEndpoints", style="bold"))
    cells = [
        [
            Text(printable(f"{row['service']} {row['operation']}"), style="cyan"),
            change_text(row["traces_before"], row["traces_after"], "{:,}".format),
            change_text(row["p50_before_ms"], row["p50_after_ms"], format_ms),
            _p99_change(row),
            change_text(row["error_rate_before"], row["error_rate_after"], percent) or Text(percent(0)),
        ]
        for row in rows[:_MOST_ENDPOINTS]
    ]
    print_lines(table_lines(_ENDPOINT_HEADINGS, cells, page_width(console)), console)
    if len(rows) > _MOST_ENDPOINTS:
        more = counted(len(rows) - _MOST_ENDPOINTS, "more endpoint")
        console.print(Text(f"… and {more}; --format json has all.", style="dim"))


def _p99_change(row: dict[str, Any]) -> Text:
    """The p99 of both sides, unknown where one has too few traces; nothing of a side without any."""
    there = [side for side in _SIDES if row[f"traces_{side}"]]
    known = {side: row[f"p99_{side}_ms"] for side in there if row[f"p99_known_{side}"]}
    if len(known) == len(_SIDES):
        return change_text(known["before"], known["after"], format_ms)
    said = [format_ms(known[side]) if side in known else _UNKNOWN for side in there]
    return Text(" → ".join(dict.fromkeys(said)), style="dim")


def _culprit(row: dict[str, Any], most: float) -> Text:
    line = Text(f"{bar(row['delta_ms'] / most, _BAR_WIDTH):<{_BAR_WIDTH}} ", style="red")
    line.append(f"{signed_cell_ms(row['delta_ms']):>{_MS_WIDTH}}  ", style="bold default")
    service, explanation = row["service"], row["explanation"]
    said_anyway = explanation.startswith(service)
    line.append(printable(service), style="bold cyan")
    rest = explanation.removeprefix(service) if said_anyway else f"  {explanation}"
    return line.append(printable(rest), style="not bold default")


def _services(rows: list[dict[str, Any]], width: int) -> list[Text]:
    """The services that changed, and how many did not."""
    told = [row for row in rows if abs(row["delta_ms"]) >= _LEAST_MS]
    cells = [
        [
            printable(row["name"]),
            signed_cell_ms(row["delta_ms"]),
            f"± {cell_ms(row['noise_ms'])}" if row["noise_ms"] else "",
            *(_p99(row, side) for side in _SIDES),
            *(_said(row[key], percent) for key in ("error_rate_before", "error_rate_after")),
        ]
        for row in told[:_MOST_SERVICES]
    ]
    lines = table_lines(_HEADINGS, cells, width) if cells else []
    left_out = [(len(told) - len(cells), "more"), (len(rows) - len(told), "with less than 0.05 ms of change")]
    return [
        *lines,
        *(Text(f"… and {count} {what}; --format json has all.", style="dim") for count, what in left_out if count),
    ]


def _p99(row: dict[str, Any], side: str) -> str:
    value = row[f"p99_{side}_ms"]
    return _said(value, cell_ms) if row[f"p99_known_{side}"] else _UNKNOWN if value is not None else ""


def _said(value: float | None, form: Callable[[float], str]) -> str:
    return "" if value is None else form(value)
