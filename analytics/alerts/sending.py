"""Sends what webhooks are to be told: a thread for each webhook, so that a dead one keeps nobody waiting."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter, Gauge

from analytics.alerts.messages import delivery_of, describe_message, write_message
from collector.pauses import growing_pauses
from collector.webhook import WebhookError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client import CollectorRegistry

    from analytics.alerts.incidents import Incident, Incidents
    from analytics.alerts.rules import Alert
    from collector.webhook import Webhook

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
GIVEN_UP_S = 24 * 3600.0
"""A message that no webhook has taken for a day is news to nobody."""
_STOP_S = 0.5  # a message on its way when the collector ends may come again after the next start

log = structlog.get_logger(__name__)


def _counter(name: str, text: str) -> Counter:
    return Counter(f"lithoscope_alert_{name}", text, ["alert"], registry=None)


@dataclass(frozen=True, slots=True)
class AlertMetrics:
    """What ``/metrics`` shows of alerts; labels are the names of alerts as they are configured."""

    sent: Counter = field(default_factory=lambda: _counter("messages_sent", "Messages that a webhook has taken."))
    failed: Counter = field(
        default_factory=lambda: _counter("messages_failed", "Messages given up: no webhook took them for a day.")
    )
    attempts: Counter = field(
        default_factory=lambda: _counter("attempts_failed", "Messages refused or not answered; they are sent again.")
    )

    def register(self, registry: CollectorRegistry, incidents: Incidents | None) -> None:
        """Show them, and what is open and waits."""
        open_ = Gauge("lithoscope_alert_incidents", "Rules that are broken.", registry=None)
        waiting = Gauge("lithoscope_alert_messages_waiting", "Messages that no webhook has taken yet.", registry=None)
        crowded = Gauge("lithoscope_alert_crowded_out", "Incidents there was no room for, so far.", registry=None)
        if incidents is not None:
            open_.set_function(lambda: incidents.counts()[0])
            waiting.set_function(lambda: incidents.counts()[1])
            crowded.set_function(lambda: incidents.crowded_out)
        for metric in (self.sent, self.failed, self.attempts, open_, waiting, crowded):
            registry.register(metric)


@dataclass(slots=True)
class _Tries:
    """Of one message: since when it is tried, and when again."""

    since: float
    pauses: Iterator[float]
    due: float


class Sender:
    """A thread that tells one webhook of the incidents of its alerts, each message until it is taken."""

    def __init__(
        self,
        alerts: Mapping[str, Alert],
        incidents: Incidents,
        metrics: AlertMetrics,
        dashboard: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alerts = alerts
        self._incidents = incidents
        self._metrics = metrics
        self._dashboard = dashboard
        self._clock = clock
        self._webhook: Webhook = next(iter(alerts.values())).webhook
        self._tries: dict[str, _Tries] = {}
        self._stopping = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        """Begin, with what was not told when the collector stopped."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is on its way is left behind after half a second, and sent again after the next start."""
        self.notify(stopping=True)
        self._thread.join(_STOP_S)

    def notify(self, *, stopping: bool = False) -> None:
        """Say that there may be something to tell."""
        with self._news:
            self._stopping = self._stopping or stopping
            self._news.notify()

    def _run(self) -> None:
        while not self._stopping:
            try:
                due_in = self.step()
            except Exception:  # a defect of ours must not end the thread for good
                log.exception("alerts not sent, will be tried again", webhook=self._webhook.place)
                due_in = LONGEST_PAUSE_S
            with self._news:
                if not self._stopping and due_in > 0:
                    self._news.wait(due_in)

    def step(self) -> float:
        """Send the message that has been due longest; return in how many seconds the next one is, 0 for at once."""
        waiting = self._incidents.untold(self._alerts)
        self._tries = {key: self._tries[key] for key in map(delivery_of, waiting) if key in self._tries}
        now = self._clock()
        if not waiting:
            return LONGEST_PAUSE_S
        first = min(waiting, key=lambda incident: self._due(incident, now))
        due_in = self._due(first, now) - now
        if due_in > 0:
            return due_in
        self._send(first)
        return 0.0

    def _due(self, incident: Incident, now: float) -> float:
        tries = self._tries.get(delivery_of(incident))
        return now if tries is None else tries.due

    def _send(self, incident: Incident) -> None:
        alert = self._alerts[incident.alert]
        message = describe_message(incident, alert.condition, self._dashboard)
        self._incidents.mark_sending(incident)
        try:
            self._webhook.post(write_message(message), delivery_of(incident))
        except WebhookError as error:
            self._failed(incident, error)
            return
        self._metrics.sent.labels(incident.alert).inc()
        self._incidents.mark_told(incident)

    def _failed(self, incident: Incident, error: WebhookError) -> None:
        self._metrics.attempts.labels(incident.alert).inc()
        now, key = self._clock(), delivery_of(incident)
        tries = self._tries.setdefault(key, _Tries(now, growing_pauses(FIRST_PAUSE_S, LONGEST_PAUSE_S), now))
        if now - tries.since >= GIVEN_UP_S:
            log.error("alert given up", alert=incident.alert, error=str(error))
            self._metrics.failed.labels(incident.alert).inc()
            self._incidents.mark_told(incident)
            return
        log.warning("alert not sent, will be tried again", alert=incident.alert, error=str(error))
        # Half of it by chance: many collectors must not come back to one webhook at once.
        pause = next(tries.pauses) * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)
        tries.due = now + min(max(pause, error.retry_after_s or 0.0), LONGEST_PAUSE_S)


def make_senders(
    alerts: Mapping[str, Alert], incidents: Incidents, metrics: AlertMetrics, dashboard: str | None
) -> list[Sender]:
    """Return a sender for each webhook."""
    by_webhook: dict[Webhook, dict[str, Alert]] = {}
    for name, alert in alerts.items():
        by_webhook.setdefault(alert.webhook, {})[name] = alert
    return [Sender(group, incidents, metrics, dashboard) for group in by_webhook.values()]
