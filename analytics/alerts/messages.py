"""What a webhook is sent: JSON with a ``text`` that Slack, Mattermost and their like show as it is."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from analytics.alerts.incidents import describe_times
from analytics.words import format_ms, format_number, percent
from collector.units import format_time

if TYPE_CHECKING:
    from analytics.alerts.incidents import Incident
    from analytics.alerts.looks import Fact, Look
    from analytics.alerts.rules import Condition

_LONGEST = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "@\u200b"}
"""Names come from telemetry: ``<!channel>`` or ``@all`` in one must not wake up everybody."""
_NAMES = {"p99_ms": "p99", "error_rate": "error rate", "coupling_index": "coupling index", "severity": "severity"}


def facts_of(look: Look, fact: Fact) -> dict[str, Any]:
    """Return what an incident keeps for its messages."""
    return {
        "title": fact.title,
        "window": {"from": format_time(look.begin), "to": format_time(look.end)},
        "compared": _finite(list(fact.compared)),
        "services": list(fact.services),
        "edges": list(fact.edges),
        "trace_ids": list(fact.trace_ids),
        "evidence": _finite(fact.evidence),
    }


def describe_message(incident: Incident, condition: Condition, dashboard: str | None) -> dict[str, Any]:
    """Return the message of what is next to be told of an incident, as ``docs/alerts.md`` has it."""
    status = incident.untold or incident.told
    link = _link(incident, condition, dashboard)
    times = describe_times(incident) | ({"resolved_at": None} if status == "open" else {})
    return {
        "version": 1,
        "id": incident.id,
        "status": status,
        "text": _text(incident, status, link),
        "alert": condition.describe(),
        "environment": incident.environment,
        "subject": incident.subject,
        **times,
        **({"reason": incident.reason} if status == "resolved" else {}),
        **incident.facts,
        "link": link,
    }


def write_message(message: dict[str, Any]) -> bytes:
    """Return the bytes of a message, always the same."""
    return json.dumps(message, ensure_ascii=False, allow_nan=False).encode(errors="replace")


def delivery_of(incident: Incident) -> str:
    """Return what is the same whenever this message is sent again."""
    return f"{incident.id}-{incident.untold}"


def _text(incident: Incident, status: str, link: str | None) -> str:
    facts = incident.facts
    where = f" in {plain(incident.environment)}" if incident.environment else ""
    if status == "open":
        said = f"{plain(facts['title'])}: {_compared(facts['compared'])}"
    elif incident.reason == "unknown":
        said = f"{plain(facts['title'])}: nothing was heard of it for a day"
    else:
        said = f"{plain(facts['title'])}: it holds again"
    head = "ALERT" if status == "open" else "RESOLVED"
    return f"{head} {plain(incident.alert)}{where}: {said}.{f' {link}' if link else ''}"


def _compared(compared: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{_NAMES.get(one['name'], one['name'])} {_figure(one['name'], one['value'])}, "
        f"{'from' if one['name'] == 'severity' else 'limit'} {_figure(one['name'], one['limit'])}"
        for one in compared
    )


def _figure(name: str, value: Any) -> str:
    if not isinstance(value, int | float):
        return str(value)
    if name == "p99_ms":
        return format_ms(value)
    return percent(value) if name == "error_rate" else format_number(value)


def plain(name: str) -> str:
    """Return a name on one line, cut if it is long, in which nothing is an instruction to a chat."""
    text = _CONTROL.sub(" ", name).strip()
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return "".join(_ESCAPED.get(letter, letter) for letter in text)


def _link(incident: Incident, condition: Condition, dashboard: str | None) -> str | None:
    if dashboard is None:
        return None
    common = {"env": incident.environment or "(unnamed)", "range": "24h"}
    if condition.kind == "endpoint":
        return f"{dashboard}/latency?{_query(common | {'endpoint': incident.facts['title']})}"
    if condition.kind == "finding" and incident.facts["trace_ids"]:
        return f"{dashboard}/traces?{_query(common | {'trace': incident.facts['trace_ids'][0]})}"
    return f"{dashboard}/coupling?{_query(common)}"


def _query(parameters: dict[str, str]) -> str:
    return urlencode(parameters, errors="replace")


def _finite(value: Any) -> Any:
    """The same without numbers that JSON does not have: they come out null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value
