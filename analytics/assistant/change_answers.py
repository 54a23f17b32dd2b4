"""A comparison and a simulation in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analytics.assistant.report_answer import NO_TRACES, about
from analytics.assistant.short import HIGHER, bounded, clipped, joined
from analytics.coupling_text import became, edge_change, finding_change, index_change
from analytics.simulation_text import change_words, reach_words
from analytics.words import counted, ms_change, percent, signed_cell_ms
from collector.units import format_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Row = dict[str, Any]

_LINE = 260
_LEAST_MS = 0.05  # less nobody would look for
_WORTH_SAYING = 0.01  # of all that grew


def diff_answer(diff: Row, most: int) -> str:
    """Return a ``diff`` object as text: who is to blame, then endpoints and coupling, ``most`` rows of each."""
    empty = [side for side in ("before", "after") if not diff[side]["traces"]]
    lines = [_side(side, diff[side]) for side in ("before", "after")]
    if empty:
        return "\n".join([*lines, f"There are no traces {' and none '.join(empty)}: give a side that has some."])
    least = max(_WORTH_SAYING * sum(row["delta_ms"] for row in diff["culprits"]), 0.0)
    culprits = [row for row in diff["culprits"] if row["delta_ms"] >= least]
    lines += bounded(
        "To blame, worst first (more time a request):", [_culprit(row) for row in culprits], most, HIGHER
    ) or [_nobody(diff)]
    lines += bounded("Endpoints:", [_endpoint(row) for row in diff["endpoints"]], most, HIGHER)
    return joined([*lines, *_coupling(diff["coupling"], most)], "ask with a lower limit")


def _side(side: str, window: Row) -> str:
    name = clipped(window["environment"] or "environment without a name", _LINE)
    when = f", {format_window(window['from'], window['to'])}" if window["traces"] else ""
    return f"{side}: {name}, {counted(window['traces'], 'trace')}{when}"


def _culprit(row: Row) -> str:
    name = "" if row["explanation"].startswith(row["service"]) else f"{row['service']}: "
    return clipped(f"- {signed_cell_ms(row['delta_ms'])} {name}{row['explanation']}", _LINE)


def _nobody(diff: Row) -> str:
    grown = any(row["delta_ms"] >= _LEAST_MS for row in (*diff["services"], *diff["edges"]))
    return "What got slower did so by no more than chance explains." if grown else "Nothing got slower."


def _endpoint(row: Row) -> str:
    known = row["p99_known_before"] and row["p99_known_after"]
    said = [
        f"{row['traces_before'] or 0:,} -> {row['traces_after'] or 0:,} traces",
        _both("p50", row["p50_before_ms"], row["p50_after_ms"], ms_change),
        _both("p99", row["p99_before_ms"], row["p99_after_ms"], ms_change) if known else "",
        _both("errors", row["error_rate_before"], row["error_rate_after"], _shares),
    ]
    return clipped(f"- {row['service']} {row['operation']}: {', '.join(filter(None, said))}", _LINE)


def _both(name: str, before: float | None, after: float | None, form: Callable[[float, float], str]) -> str:
    return "" if before is None or after is None or not (before or after) else f"{name} {form(before, after)}"


def _shares(before: float, after: float) -> str:
    return percent(after) if percent(before) == percent(after) else f"{percent(before)} -> {percent(after)}"


def _coupling(coupling: Row, most: int) -> list[str]:
    lists = {
        "New cycles:": [(", ".join(circle), True) for circle in coupling["new_cycles"]],
        "New findings:": [finding_change(row) for row in coupling["new_findings"]],
        "Changed findings:": [became(row) for row in coupling["changed_findings"]],
        "Gone findings:": [finding_change(row) for row in coupling["gone_findings"]],
        "New edges:": [edge_change(row) for row in coupling["new_edges"]],
        "Gone edges:": [edge_change(row) for row in coupling["gone_edges"]],
    }
    lines = [line for title, rows in lists.items() for line in bounded(title, _said(rows), most, HIGHER)]
    return [f"Coupling{index_change(coupling)}", *(lines or ["No edge, cycle or finding came or went."])]


def _said(rows: Sequence[tuple[str, bool]]) -> list[str]:
    doubt = " (or too little data on the other side)"
    return [f"- {clipped(text, _LINE)}{'' if certain else doubt}" for text, certain in rows]


def simulation_answer(simulated: Row, most: int) -> str:
    """Return a ``simulate`` object as text: how far the change reaches, ``most`` endpoints, what it rests on."""
    if not simulated["window"]["traces"]:
        return NO_TRACES
    told = [row for row in simulated["endpoints"] if row["affected_share"]]
    same = len(simulated["endpoints"]) - len(told)
    lines = [
        about(simulated),
        *(clipped(f"What if {change_words(change)}?", _LINE) for change in simulated["changes"]),
        clipped(reach_words(simulated), _LINE),
        *bounded("Endpoints, now -> with the change:", [_simulated(row) for row in told], most, HIGHER),
        *([f"{counted(same, 'endpoint')} would not notice."] if same and told else []),
        "What this rests on:",
        *(f"- {clipped(sentence, _LINE)}" for sentence in simulated["assumptions"]),
    ]
    return joined(lines, "ask with a lower limit")


def _simulated(row: Row) -> str:
    said = [
        f"{percent(row['affected_share'])} of {counted(row['traces'], 'request')} affected",
        _both("p50", row["p50_before_ms"], row["p50_after_ms"], ms_change),
        _both("p99", row["p99_before_ms"], row["p99_after_ms"], ms_change) if row["p99_known"] else "",
        _both("errors", row["error_rate_before"], row["error_rate_after"], _shares),
    ]
    return clipped(f"- {row['service']} {row['operation']}: {', '.join(filter(None, said))}", _LINE)
