"""What a report says of propagation: the contract's ``propagation`` object, and the same in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from rich.text import Text

from analytics.findings_text import based_on_lines
from analytics.propagation import propagate
from analytics.text_table import Heading, table_lines
from analytics.words import format_number, percent
from collector.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analytics.analysis import Analysed

    Row = dict[str, Any]

_MOST_ENDPOINTS = 5
"""Endpoints that are told of each service, those whose p99 grows most; ``simulate`` tells of all."""
_MOST_LINES = 5
_ITSELF = 1.001
_DIGITS = 6
_MS = 1e6
_ENDPOINT = (
    *("service", "operation", "traces", "affected_share", "p50_before_ms", "p50_after_ms", "p99_before_ms"),
    *("p99_after_ms", "p99_known"),
)
_HEADINGS = (
    Heading("requests slower"),
    Heading("p99 grows by"),
    Heading("endpoint", "left", spare=True),
)


def describe_propagation(analysed: Analysed, based_on: Row | None = None) -> Row | None:
    """Return the contract's ``propagation`` of these traces, None without a request.

    What slows most by most comes first. ``based_on`` says which traces were looked at when those are fewer than the
    report is about.
    """
    if analysed.requests.traces.is_empty():
        return None
    found = propagate(analysed)
    # Rounded, since what is 200 ms for all of them differs by the last bit of a fraction.
    grown = (pl.col("p99_after_ms") - pl.col("p99_before_ms")).round(_DIGITS)
    order = ["node", "p99_known", grown, "affected_share", "traces", "endpoint"]
    ordered = found.endpoints.sort(order, descending=[False, True, True, True, True, False])
    of_node = {node: rows.select(_ENDPOINT) for (node,), rows in ordered.partition_by("node", as_dict=True).items()}
    none = ordered.select(_ENDPOINT).clear()
    harm = (pl.col("blast_radius") * pl.col("amplification")).round(_DIGITS)
    worst = found.nodes.sort(harm, "blast_radius", "name", descending=[True, True, False])
    return {
        "delta_ms": found.delta_ns / _MS,
        "based_on": based_on,
        "services": [_service(row, of_node.get(row["node"], none)) for row in worst.iter_rows(named=True)],
    }


def _service(row: Row, endpoints: pl.DataFrame) -> Row:
    kept = ("name", "type", "namespace", "blast_radius", "amplification")
    told = endpoints.head(_MOST_ENDPOINTS).to_dicts()
    return {key: row[key] for key in kept} | {"slowed_endpoints": endpoints.height, "endpoints": told}


def propagation_lines(propagation: Row | None, width: int) -> list[Text]:
    """Return a title and a table of those that slow most by most, for a terminal; nothing without any."""
    rows = _worst(propagation)
    if propagation is None or not rows:
        return []
    table = table_lines(_HEADINGS, [_cells(row, printable) for row in rows], width)
    return [
        Text(_title(propagation), style="bold"),
        *table,
        *(Text(line, style="dim") for line in based_on_lines("Replayed are requests", propagation["based_on"])),
    ]


def propagation_markdown(propagation: Row | None, plain: Callable[[str], str]) -> list[str]:
    """Return the same as blocks of Markdown; ``plain`` makes text harmless."""
    rows = _worst(propagation)
    if propagation is None or not rows:
        return []
    head = ["| | requests slower | p99 grows by | endpoint |", "|---|---:|---:|---|"]
    table = [f"| {' | '.join(_cells(row, plain))} |" for row in rows]
    based_on = based_on_lines("Replayed are requests", propagation["based_on"])
    return [f"## {_title(propagation)}", "\n".join([*head, *table]), *map(plain, based_on)]


def _worst(propagation: Row | None) -> list[Row]:
    """Return those that are worth a line: that an endpoint is as much slower as its own service goes without saying."""
    services = propagation["services"] if propagation else []
    return [row for row in services if row["blast_radius"] and not _only_itself(row)][:_MOST_LINES]


def _only_itself(row: Row) -> bool:
    own = all(endpoint["service"] == row["name"] for endpoint in row["endpoints"])
    return own and row["type"] == "service" and row["amplification"] <= _ITSELF


def _title(propagation: Row) -> str:
    return f"If one of these took {format_number(propagation['delta_ms'])} ms more for each request"


def _cells(row: Row, plain: Callable[[str], str]) -> Sequence[str]:
    worst = row["endpoints"][0]
    grown = worst["p99_after_ms"] - worst["p99_before_ms"]
    return (
        plain(row["name"]),
        percent(row["blast_radius"]),
        f"{grown:,.0f} ms" if worst["p99_known"] else "unknown",
        plain(f"{worst['service']} {worst['operation']}"),
    )
