"""Looks as alerts have them, made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analytics.alerts.looks import Fact, Look

if TYPE_CHECKING:
    from analytics.alerts.incidents import Incidents

MINUTE_NS = 60 * 10**9
WINDOW = 5


def look(minute: int, broken: set[str], holding: set[str], alert: str = "slow") -> Look:
    """What an alert sees in the window that ends with a minute."""
    end = (minute + 1) * MINUTE_NS
    begin = end - WINDOW * MINUTE_NS
    facts = {
        subject: Fact(subject, [{"name": "p99_ms", "value": 900.0, "limit": 500.0}], ("shop",)) for subject in broken
    }
    return Look(alert, "live", begin, end, facts, holding.__contains__, begin)


FACTS: dict[str, Any] = {
    "title": "shop GET /",
    "compared": [{"name": "p99_ms", "value": 900.0, "limit": 500.0}],
    "services": ["shop"],
    "edges": [],
    "trace_ids": [],
    "evidence": {},
    "window": {},
}


def take(incidents: Incidents, seen: Look, now: int | None = None) -> None:
    """Tell incidents of a look, at the end of its window."""
    incidents.take(seen, seen.end if now is None else now, dict.fromkeys(seen.broken, FACTS))
    incidents.save()
