"""Which services, edges and findings of a report a page shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row: TypeAlias = "Mapping[str, Any]"

_FRAMED = ("cycle", "shared-database")
_SAME_RATE = 0.005


def without_externals(services: Sequence[Row]) -> list[Row]:
    """Leave out external systems and users."""
    return [service for service in services if service["type"] not in ("external", "user")]


def focused(services: Sequence[Row], edges: Sequence[Row], name: str | None) -> list[Row]:
    """Keep one node and its neighbours; all when no name is given."""
    if name is None:
        return list(services)
    near = {name} | {edge["callee"] for edge in edges if edge["caller"] == name}
    near |= {edge["caller"] for edge in edges if edge["callee"] == name}
    return [service for service in services if service["name"] in near]


def framed_nodes(findings: Sequence[Row]) -> set[str]:
    """Return the nodes of cycles, and the databases that services share."""
    framed: set[str] = set()
    for finding in findings:
        if finding["status"] == "found" and finding["rule"] in _FRAMED:
            ends = {end for edge in finding["edges"] for end in edge.split("->")}
            framed |= set(finding["services"]) if finding["rule"] == "cycle" else ends - set(finding["services"])
    return framed


def of_service(rows: Sequence[Row], name: str, *sides: str) -> list[Row]:
    """Return the rows with this name on one of these sides."""
    return [row for row in rows if any(row[side] == name for side in sides)]


def beyond_noise(rows: Sequence[Row]) -> list[Row]:
    """Return the services of a ``diff`` that changed: by more time than chance explains, or in what fails."""
    return [row for row in rows if abs(row["delta_ms"]) > row["noise_ms"] or _fails_anew(row)]


def _fails_anew(row: Row) -> bool:
    before, after = row["error_rate_before"], row["error_rate_after"]
    return before is not None and after is not None and abs(after - before) > _SAME_RATE
