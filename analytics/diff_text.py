"""A comparison in a terminal: who is to blame, then the figures of all services."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analytics.coupling_text import print_coupling
from analytics.text import bar
from collector.cli.text import printable

_MOST_CULPRITS = 8
_MOST_SERVICES = 15
_BAR_WIDTH = 12
_WORTH_SAYING = 0.01  # of all that grew


def print_diff(diff: dict[str, Any], console: Console | None = None) -> None:
    """Print a ``diff`` object; ``--format json`` has all of it."""
    console = console or Console()
    for side in ("before", "after"):
        window = diff[side]
        name = printable(window["environment"]) or "environment without a name"
        console.print(Text(f"{side:<7} {name}  {window['traces']:,} traces  {window['spans']:,} spans"), soft_wrap=True)
    empty = [side for side in ("before", "after") if not diff[side]["traces"]]
    if empty:
        console.print(f"\nThere are no traces {' and none '.join(empty)}: give a window or a version that has some.")
        return
    least = _WORTH_SAYING * sum(row["delta_ms"] for row in diff["culprits"])
    culprits = [row for row in diff["culprits"] if row["delta_ms"] >= least][:_MOST_CULPRITS]
    console.print(Text("\nWho is to blame" if culprits else "\nNothing got slower.", style="bold"))
    for row in culprits:
        console.print(_culprit(row), soft_wrap=True)
    print_coupling(diff["coupling"], console)
    console.print(Text("\nServices", style="bold"))
    console.print(_services(diff["services"][:_MOST_SERVICES]))


def _culprit(row: dict[str, Any]) -> Text:
    line = Text(f"{bar(row['score'], _BAR_WIDTH):<{_BAR_WIDTH}} ", style="red")
    line.append(f"{row['delta_ms']:+,.1f} ms  ", style="bold default")
    line.append(printable(row["service"]), style="bold cyan")
    line.append(f"  {printable(row['explanation'])}", style="not bold default")
    return line


def _services(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True, overflow="ellipsis")
    for name in ("a request", "p99 before", "p99 after", "errors before", "errors after"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            printable(row["name"]),
            f"{row['delta_ms']:+,.1f} ms",
            *(_number(row[key], ",.0f", " ms") for key in ("p99_before_ms", "p99_after_ms")),
            *(_number(row[key], ".1%") for key in ("error_rate_before", "error_rate_after")),
        )
    return table


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"
