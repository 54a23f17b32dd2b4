"""The first line of a report: the endpoint that stands out, and what makes it do so; else how coupled services are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analytics.coupling_change import find_cycles
from analytics.words import counted, format_ms, listed, percent
from collector.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = dict[str, Any]

_ENOUGH_TRACES = 20
"""Of fewer requests not even one is slower than p95."""
_FAILS = 0.01
"""A hundredth of failed requests breaks an objective of 99 %, the laxest in use."""
_HANGS = 10.0
"""A p95 of ten times the median is another kind of request, not a slow one: a wait that others do not have."""
_NOTICED_MS = 100.0
"""Below a tenth of a second people notice no delay (Miller 1968)."""
_FULL = 0.9
"""From here on saturation is critical (``analytics.saturation``)."""
_AS_ONE = ("monolith", "tight")
_GRADES = {
    "monolith": "behave as one",
    "tight": "are tightly coupled",
    "moderate": "are moderately coupled",
    "loose": "are loosely coupled",
}
_ALL_OF_IT = 0.995
_MOST_OF_IT = 0.5


def worst_endpoint(endpoints: Sequence[Row], services: Sequence[Row]) -> Row | None:
    """Return the endpoint that stands out, None where none does; both are rows of the contract's ``report``.

    The one that fails most comes first, then one that waits for a service with a full resource, then the one that is
    slowest against its own usual request.
    """
    saturation = _saturations(services)
    ranked = [
        (_failing(endpoint), _is_full(endpoint, saturation), _hanging(endpoint), at)
        for at, endpoint in enumerate(endpoints)
        if endpoint["traces"] >= _ENOUGH_TRACES
    ]
    worst = max(ranked, key=lambda ranks: (*ranks[:3], -ranks[3]), default=None)
    return endpoints[worst[3]] if worst and any(worst[:3]) else None


def headline(endpoint: Row, services: Sequence[Row], findings: Sequence[Row]) -> str:
    """Return sentences about such an endpoint: who takes its time, what was full, and how often it fails."""
    part, saturation = _main_part(endpoint), _saturations(services)
    if _is_full(endpoint, saturation):
        used, resource = saturation[part["node"]]
        full = "full" if used >= _ALL_OF_IT else f"{percent(used, 1)} full"
        said = [_of_time(part), f"its {resource} was {full}"]
    else:
        said = [_slowness(endpoint) if _hanging(endpoint) else "", _of_time(part)]
    name = f"{endpoint['service']} {endpoint['operation']}"
    sentence = "; ".join(filter(None, said))
    if _failing(endpoint):
        failures = f"{percent(endpoint['error_rate'])} of its requests fail{_origin(name, findings)}"
        sentence = f"{sentence}. {failures}" if sentence else failures
    return printable(f"{name}: {sentence}.")


def verdict(index: Row | None, services: Sequence[Row], edges: Sequence[Row]) -> str | None:
    """Return a sentence about how coupled the services are, None where that is not known.

    ``index`` is the report's ``coupling_index``. Services behave as one when all need each other.
    """
    if index is None or index["grade"] == "unknown":
        return None
    count = sum(row["type"] == "service" for row in services)
    circle = next(iter(find_cycles(edges)), ()) if index["grade"] in _AS_ONE else ()
    said = f"{counted(count, 'service')} {_GRADES[index['grade']]}"
    if circle:
        said = (
            f"{len(circle)} of {counted(count, 'service')} behave as one: {listed(circle)} call each other in a circle"
        )
    waits = next((part["explanation"] for part in index["components"] if part["name"] == "needed-share"), "")
    return printable(f"{said}{'; ' if circle else ': '}{waits}." if waits else f"{said}.")


def _failing(endpoint: Row) -> float:
    rate = float(endpoint["error_rate"] or 0.0)
    return rate if rate >= _FAILS else 0.0


def _hanging(endpoint: Row) -> float:
    usual, late = endpoint["p50_ms"] or 0.0, endpoint["p95_ms"] or 0.0
    times = late / usual if usual else 0.0
    return times if times >= _HANGS and late >= _NOTICED_MS else 0.0


def _is_full(endpoint: Row, saturation: Mapping[str, tuple[float, str]]) -> bool:
    part = _main_part(endpoint)
    return bool(part) and part["kind"] == "service" and saturation.get(part["node"], (0.0, ""))[0] >= _FULL


def _main_part(endpoint: Row) -> Row:
    """What takes most of the time of all requests, else of what hanging ones take longer; empty for none."""
    parts = endpoint["contributions"]
    most: Row = max(parts, key=lambda part: part["share"], default={})
    if most and most["share"] >= _MOST_OF_IT:
        return most
    excess = (endpoint["tail_excess_ms"] or 0.0) if _hanging(endpoint) else 0.0
    late: Row = max(parts, key=lambda part: part["excess_ms"] or 0.0, default={})
    return late if late and excess > 0 and (late["excess_ms"] or 0.0) >= _MOST_OF_IT * excess else {}


def _slowness(endpoint: Row) -> str:
    late, usual = format_ms(endpoint["p95_ms"]), format_ms(endpoint["p50_ms"])
    return f"one request in twenty takes {late} or more, where {usual} are usual"


def _of_time(part: Row) -> str:
    if not part:
        return ""
    who = part["node"] if part["kind"] == "service" else f"the network or a queue between {_ends(part['node'])}"
    if part["share"] >= _MOST_OF_IT:
        return f"{percent(part['share'], 1)} of the time is {who}"
    return f"what these wait for is mostly {who}"


def _ends(edge: str) -> str:
    return edge.replace("->", " and ")


def _saturations(services: Sequence[Row]) -> dict[str, tuple[float, str]]:
    """How full the fullest resource of each service was, and which one that is."""
    return {
        row["name"]: (row["saturation"], row["saturation_source"].partition(":")[0])
        for row in services
        if row["saturation"] is not None
    }


def _origin(endpoint: str, findings: Sequence[Row]) -> str:
    """Where the failures of an endpoint begin, as far as the rule ``cascade`` knows."""
    for finding in findings:
        evidence = finding["evidence"]
        if finding["rule"] == "cascade" and evidence.get("worst_endpoint") == endpoint:
            return f", beginning at {evidence['origin']}"
    return ""
