"""Changes that can be tried out, as the address and the choice of them name them, and what would mend a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, Any]

_SUFFIXES = {
    "slow": " is slower",
    "fail": " fails",
    "async": " becomes a message",
    "breaker": " gets a circuit breaker",
}
_ON_EDGE = ("async", "breaker")
DELAYS_MS = (10, 50, 100, 200, 500, 1000, 5000)
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
DEFAULT_DELAY_MS, DEFAULT_SHARE = 200, 0.5


class Remedy(NamedTuple):
    """A change to try out for a finding, and what the link to it says."""

    label: str
    change: str


def change_name(kind: str, target: str) -> str:
    """Return how a change is named, ``payment fails`` or ``a->b becomes a message``."""
    return f"{target}{_SUFFIXES[kind]}"


def possible_changes(services: Iterable[Row], edges: Iterable[Row]) -> dict[str, tuple[str, str]]:
    """Return kind and target of every change by its name: of services first, then of the calls that are waited for."""
    names = [service["name"] for service in services if service["type"] != "user"]
    calls = [
        f"{edge['caller']}->{edge['callee']}" for edge in edges if edge["mode"] == "sync" and edge["caller"] != "user"
    ]
    return {
        change_name(kind, target): (kind, target)
        for kind in _SUFFIXES
        for target in sorted(set(calls if kind in _ON_EDGE else names))
    }


def simulate_options(changes: Iterable[tuple[str, str]], delay_ms: int, share: float) -> dict[str, list[str]]:
    """Return the options of a simulation: services are slower by this delay and fail in this share of requests."""
    amounts = {"slow": f"=+{delay_ms}ms", "fail": f"={share:g}"}
    options: dict[str, list[str]] = {}
    for kind, target in changes:
        options.setdefault(kind, []).append(target + amounts.get(kind, ""))
    return options


def remedy(finding: Row, lowers: Sequence[Row]) -> Remedy | None:
    """Return what to try out for a finding, None where no change of calls would mend it.

    ``lowers`` are the coupling index's: of a cycle's calls, that becomes a message which lowers the index most.
    """
    edges = list(finding["edges"])
    match finding["rule"], edges:
        case "async-candidate", [edge, *_]:
            return Remedy("Simulate the remedy", change_name("async", edge))
        case "cycle" | "sync-chain", [*_, last]:
            helpful = [row["edge"] for row in lowers if row["edge"] in edges]
            edge = next(iter(helpful), last)
            return Remedy("Simulate the remedy", change_name("async", edge))
        case "missing-circuit-breaker" | "retry-storm" | "cascade", [edge, *_]:
            return Remedy("Simulate the remedy", change_name("breaker", edge))
        case "shared-fate", [edge, *_]:
            return Remedy("Simulate its failure", change_name("fail", edge.partition("->")[2]))
        case "saturated-resource" | "throughput-knee", _ if finding["services"]:
            return Remedy("Simulate a slowdown", change_name("slow", finding["services"][0]))
    return None
