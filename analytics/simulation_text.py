"""A simulation in a terminal: what changes, how far it reaches, and what the figures rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from analytics.text import bar, change_text, heading_of, print_lines
from analytics.text_table import Heading, table_lines
from analytics.words import counted, format_ms, format_number, percent
from collector.cli.fitting import page_width
from collector.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    Row = dict[str, Any]

_MOST_ENDPOINTS = 15
_BAR_WIDTH = 10
_HEADINGS = (
    Heading("traces", spare=True),
    Heading("p50"),
    Heading("p99"),
    Heading("errors"),
    Heading("affected"),
    Heading("", "left", bar=True),
)
_UNHURT = 0.01
"""An amplification below it is told as none."""


def print_simulation(simulated: Row, console: Console | None = None) -> None:
    """Print a ``simulate`` object; ``--format json`` has all of it."""
    console = console or Console()
    if not simulated["window"]["traces"]:
        console.print("There are no traces in this window: widen it, or send some.")
        return
    console.print(heading_of(simulated), soft_wrap=True)
    console.print()
    for change in simulated["changes"]:
        console.print(Text(f"What if {printable(change_words(change))}?", style="bold"), soft_wrap=True)
    console.print(Text(f"\n{printable(reach_words(simulated))}"), soft_wrap=True)
    _print_endpoints(simulated["endpoints"], console)
    console.print(Text("\nWhat this rests on", style="bold"))
    for sentence in simulated["assumptions"]:
        console.print(Text(f"- {printable(sentence)}", style="dim"), soft_wrap=True)


def change_words(change: Row) -> str:
    """Return a change as what follows "What if"."""
    kind = change["kind"]
    if kind == "fail":
        return f"{percent(change['share'])} of the requests to {change['service']} failed"
    if kind == "async":
        return f"{change['caller']} no longer waited for {change['callee']}"
    if kind == "breaker":
        with_fallback = " and answered without it while it is open" if change.get("fallback") else ""
        return f"{change['caller']} called {change['callee']} through a circuit breaker{with_fallback}"
    if "factor" in change:
        return f"{change['service']} took {change['factor']:g} times as long for its own work"
    more = "more" if change["delta_ms"] >= 0 else "less"
    return f"each request to {change['service']} took {format_number(abs(change['delta_ms']))} ms {more}"


def reach_words(simulated: Row) -> str:
    """Return how much of the traffic is affected, and how the worst p99 compares with what was added."""
    if not simulated["endpoints"]:
        return "No trace here has one root, so there is no request to replay."
    radius, amplification = simulated["blast_radius"], simulated["amplification"]
    said = "No request is affected." if not radius else f"Blast radius: {percent(radius)} of all requests."
    return said if amplification is None else f"{said} {_amplified(amplification, simulated['endpoints'])}"


def _amplified(amplification: float, endpoints: list[Row]) -> str:
    if amplification < _UNHURT:
        return "No endpoint's p99 grows."
    affected = [row for row in endpoints if row["affected_share"]]
    worst = max(affected, key=lambda row: (row["p99_known"], _growth(row)))
    grown, times = format_ms(_growth(worst)), format_number(amplification, 2)
    name = f"{worst['service']} {worst['operation']}"
    return f"Amplification {times}: the p99 of {name} grows by {grown}, {times} times what was added."


def _growth(row: Row) -> float:
    growth: float = row["p99_after_ms"] - row["p99_before_ms"]
    return growth


def _print_endpoints(endpoints: list[Row], console: Console) -> None:
    """A table of those that change, and how many do not."""
    told = [row for row in endpoints if row["affected_share"]]
    if told:
        console.print()
        print_lines(
            table_lines(_HEADINGS, [[*_cells(row)] for row in told[:_MOST_ENDPOINTS]], page_width(console)), console
        )
    more, same = len(told) - _MOST_ENDPOINTS, len(endpoints) - len(told)
    if more > 0:
        console.print(Text(f"… and {counted(more, 'more endpoint')}; --format json has all.", style="dim"))
    if same and told:
        console.print(Text(f"{counted(same, 'endpoint')} would not notice.", style="dim"))


def _cells(row: Row) -> Iterator[str | Text]:
    yield Text(printable(f"{row['service']} {row['operation']}"), style="bold cyan")
    yield f"{row['traces']:,}"
    yield _times(row, "p50")
    yield _times(row, "p99") if row["p99_known"] else ""
    yield _errors(row)
    yield percent(row["affected_share"])
    yield Text(bar(row["affected_share"], _BAR_WIDTH), style="red")


def _times(row: Row, quantile: str) -> Text:
    return change_text(row[f"{quantile}_before_ms"], row[f"{quantile}_after_ms"], format_ms)


def _errors(row: Row) -> Text:
    return change_text(row["error_rate_before"], row["error_rate_after"], percent)
