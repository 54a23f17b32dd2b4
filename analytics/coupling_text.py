"""What changed of the coupling, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from analytics.findings_text import format_score, print_hanging
from collector.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

_MOST_LINES = 8
_LABEL = 14
_SIDES = ("before", "after")
_WORSE, _OTHER, _BETTER = "red", "yellow", "green"


def print_coupling(coupling: dict[str, Any], console: Console) -> None:
    """Print the ``coupling`` object of a comparison: what is new, changed and gone; one line when nothing is."""
    console.print(Text(f"\nCoupling{index_change(coupling)}", style="bold"), soft_wrap=True)
    lines = [*_new(coupling), *_changed(coupling), *_gone(coupling)]
    for label, line in lines or [(Text(), Text("No edge, cycle or finding came or went.", style="dim"))]:
        print_hanging(label, line, label.cell_len, console)


def index_change(coupling: dict[str, Any]) -> str:
    """Return ": index 21.9 -> 72.9 (+51.0)", and what it lacks to be certain; nothing when neither is known."""
    before, after = coupling["index_before"], coupling["index_after"]
    if before is None and after is None:
        return ""
    said = ["unknown" if score is None else format_score(score) for score in (before, after)]
    change = f" ({round(after, 1) - round(before, 1) + 0.0:+.1f})" if None not in (before, after) else ""
    lacks = "".join(
        f"; {side} not certain: it takes {missing}" for side in _SIDES if (missing := coupling[f"missing_{side}"])
    )
    return f": index {said[0]} -> {said[1]}{change}{lacks}"


def _new(coupling: dict[str, Any]) -> Iterator[tuple[Text, Text]]:
    yield from _lines("new cycle", [(", ".join(circle), True) for circle in coupling["new_cycles"]], _WORSE)
    yield from _lines("new edge", [edge_change(edge) for edge in coupling["new_edges"]], _WORSE)
    yield from _lines("new finding", [finding_change(finding) for finding in coupling["new_findings"]], _WORSE)


def _changed(coupling: dict[str, Any]) -> Iterator[tuple[Text, Text]]:
    yield from _lines("changed", [became(change) for change in coupling["changed_findings"]], _OTHER)


def _gone(coupling: dict[str, Any]) -> Iterator[tuple[Text, Text]]:
    yield from _lines("gone edge", [edge_change(edge) for edge in coupling["gone_edges"]], _BETTER)
    yield from _lines("gone finding", [finding_change(finding) for finding in coupling["gone_findings"]], _BETTER)


def edge_change(edge: dict[str, Any]) -> tuple[str, bool]:
    """Return what is said of an edge that came or went, and whether that is certain."""
    return f"{edge['caller']} -> {edge['callee']}, {edge['mode']}, {edge['calls']:,} calls", edge["certain"]


def finding_change(finding: dict[str, Any]) -> tuple[str, bool]:
    """Return the same of a finding."""
    return f"{finding['severity']}: {finding['title']} ({finding['rule']})", finding["certain"]


def became(change: dict[str, Any]) -> tuple[str, bool]:
    """Return the same of a finding that has become another one of its rule."""
    before, after = change["before"], change["after"]
    severity = "" if before["severity"] == after["severity"] else f"{before['severity']}: "
    return f"{finding_change(after)[0]}; before: {severity}{before['title']}", True


def _lines(label: str, said: list[tuple[str, bool]], style: str) -> Iterator[tuple[Text, Text]]:
    for text, certain in said[:_MOST_LINES]:
        line = Text(printable(text))
        if not certain:
            line.append("  (or too little data on the other side)", style="dim")
        yield Text(f"{label:<{_LABEL}}", style=style), line
    if len(said) > _MOST_LINES:
        yield Text(), Text(f"… and {len(said) - _MOST_LINES:,} more; --format json has all.", style="dim")
