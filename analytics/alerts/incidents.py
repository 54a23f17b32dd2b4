"""Which rules are broken and who was told of it: a small file beside the database, that survives any end.

What is to be told follows from what is known and what was told, so there is no queue that could be lost or grow: an
incident is at most one message behind, and there are at most MOST_INCIDENTS.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import structlog

from collector.units import format_time

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from analytics.alerts.looks import Look

MOST_INCIDENTS = 1_000
"""Open, or closed and not yet told of: a screen full is more than anybody reads, and this is some megabytes."""
FORGOTTEN_NS = 24 * 3600 * 10**9
"""An incident of which nothing could be told for a day is closed: the endpoint may be gone for good."""
_VERSION = 1

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Incident:
    """A rule that is or was broken; times are Unix nanoseconds.

    ``told`` is the last message that was delivered (or given up). ``broken_until`` is the end of the last window that
    broke the rule, ``seen_at`` when it was last known whether it holds. ``facts`` are those of the message. ``ending``:
    somebody may have heard of its end, though that is not certain. ``again`` are the facts of the next incident, when
    the rule broke since.
    """

    id: str
    alert: str
    environment: str
    subject: str
    opened_at: int
    broken_until: int
    seen_at: int
    facts: dict[str, Any] = field(default_factory=dict)
    state: Literal["open", "resolved"] = "open"
    told: Literal["nothing", "open", "resolved"] = "nothing"
    resolved_at: int | None = None
    reason: str = ""
    ending: bool = False
    again: dict[str, Any] | None = None

    @property
    def untold(self) -> Literal["open", "resolved"] | None:
        """Which message comes next; that of the beginning before that of the end."""
        if self.told == "nothing":
            return "open"
        return None if self.told == self.state else self.state

    @property
    def is_broken(self) -> bool:
        """Whether the rule is, as far as is known."""
        return self.state == "open" or self.again is not None

    @property
    def key(self) -> tuple[str, str, str]:
        """What there is one incident of."""
        return self.alert, self.environment, self.subject


class Incidents:
    """The incidents of a collector, in memory and in a file; safe to use from any thread.

    ``through`` is the last minute that alerts looked at. ``crowded_out`` counts those for which there was no room; a
    rule that is still broken finds it later.
    """

    def __init__(self, path: Path, alerts: Collection[str]) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._found: dict[tuple[str, str, str], Incident] = {}
        self._saved: set[str] = set()  # what nobody would know again after a crash must not be told
        self.through: int | None = None
        self.crowded_out = 0
        self._read(alerts)

    def is_new(self, look: Look, subject: str) -> bool:
        """Whether a broken subject would open an incident."""
        with self._lock:
            known = self._found.get((look.alert, look.environment, subject))
            return known is None or not known.is_broken

    def take(self, look: Look, now: int, facts: Mapping[str, dict[str, Any]]) -> None:
        """Open, keep and resolve incidents by what an alert sees; ``facts`` are those of subjects that are new."""
        with self._lock:
            for subject in look.broken:
                self._break(look, subject, now, facts)
            for incident in list(self._found.values()):
                same = (incident.alert, incident.environment) == (look.alert, look.environment)
                if same and incident.is_broken and incident.subject not in look.broken:
                    self._hold(incident, look, now)

    def _break(self, look: Look, subject: str, now: int, facts: Mapping[str, dict[str, Any]]) -> None:
        key = (look.alert, look.environment, subject)
        known = self._found.get(key)
        if known is not None:
            _break_again(known, facts.get(subject, known.facts))
            known.seen_at, known.broken_until = now, max(known.broken_until, look.end)
        elif len(self._found) >= MOST_INCIDENTS:
            self.crowded_out += 1
        else:
            self._found[key] = Incident(uuid.uuid4().hex, *key, now, look.end, now, facts[subject])

    def _hold(self, incident: Incident, look: Look, now: int) -> None:
        if not look.holds(incident.subject):
            return
        incident.seen_at = now
        if look.clears >= incident.broken_until:
            _resolve(incident, now, "holds")

    def forget(self, now: int) -> None:
        """Resolve what nothing could be told of for a day."""
        with self._lock:
            for incident in self._found.values():
                if incident.is_broken and now - incident.seen_at >= FORGOTTEN_NS:
                    _resolve(incident, now, "unknown")

    def untold(self, alerts: Collection[str]) -> list[Incident]:
        """Return copies of the saved incidents of some alerts of which something is to be told, the oldest first."""
        with self._lock:
            known = [one for one in self._found.values() if one.id in self._saved]
            found = [one for one in known if one.alert in alerts and one.untold]
            return sorted((Incident(**_fields(incident)) for incident in found), key=lambda one: one.opened_at)

    def mark_sending(self, sent: Incident) -> None:
        """Remember, before a message is sent, that it may have been heard."""
        with self._lock:
            incident = self._same(sent)
            if incident is not None and sent.untold == "resolved" and not incident.ending:
                incident.ending = True
                self.save()

    def mark_told(self, told: Incident) -> None:
        """Remember that the message was delivered (or given up) which a copy of an incident had to tell."""
        with self._lock:
            incident = self._same(told)
            if incident is None or told.untold is None:
                return
            incident.told = told.untold
            is_over = incident.told == "resolved"
            if is_over:
                del self._found[incident.key]
                if incident.again is not None:
                    at, until = incident.seen_at, incident.broken_until
                    self._found[incident.key] = Incident(uuid.uuid4().hex, *incident.key, at, until, at, incident.again)
            self.save()

    def _same(self, copy: Incident) -> Incident | None:
        found = self._found.get(copy.key)
        return found if found is not None and found.id == copy.id else None

    def counts(self) -> tuple[int, int]:
        """Return how many incidents are open, and how many messages wait."""
        with self._lock:
            found = self._found.values()
            return sum(one.is_broken for one in found), sum(one.untold is not None for one in found)

    def save(self) -> None:
        """Write all to the file, as a whole or not at all; a disk that is full is told of and nothing else."""
        with self._lock:
            content = {
                "version": _VERSION,
                "through": self.through,
                "incidents": [asdict(incident) for incident in self._found.values()],
            }
            try:
                _replace(self._path, json.dumps(content))
            except OSError as error:
                log.error("incidents not saved: messages may come again after a restart", error=error.strerror)  # noqa: TRY400
            self._saved = {incident.id for incident in self._found.values()}

    def _read(self, alerts: Collection[str]) -> None:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            incidents = [Incident(**found) for found in content["incidents"]]
            self.through = content["through"]
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError) as error:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            log.error("the file of incidents is damaged: begun anew", kept_as=str(aside), error=str(error))  # noqa: TRY400
            self._path.replace(aside)
            return
        self._found = {incident.key: incident for incident in incidents if incident.alert in alerts}
        self._saved = {incident.id for incident in incidents}


def _break_again(incident: Incident, facts: dict[str, Any]) -> None:
    """A rule is broken that has an incident: this one goes on, but for one whose end somebody may have heard of."""
    if incident.is_broken:
        return
    if incident.ending:
        incident.again = facts
    else:
        incident.state, incident.resolved_at, incident.reason, incident.facts = "open", None, "", facts


def _resolve(incident: Incident, now: int, reason: str) -> None:
    """A rule holds: of what broke again, and nobody heard of, nothing need be told."""
    if incident.again is not None:
        incident.again = None
    else:
        incident.state, incident.resolved_at, incident.reason = "resolved", now, reason


def _fields(incident: Incident) -> dict[str, Any]:
    return {name: getattr(incident, name) for name in Incident.__slots__}


def _replace(path: Path, content: str) -> None:
    """Write a file so that after a crash it is the old one or the new one."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def describe_times(incident: Incident) -> dict[str, str | None]:
    """Return when it began and ended, in RFC 3339."""
    resolved = incident.resolved_at
    return {
        "opened_at": format_time(incident.opened_at),
        "resolved_at": None if resolved is None else format_time(resolved),
    }
