"""Looks at what the pipeline has kept whenever that is new, and has webhooks told of what breaks and holds again."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from analytics.alerts.incidents import Incidents
from analytics.alerts.looks import look_at_hours, look_at_minutes
from analytics.alerts.messages import facts_of
from analytics.alerts.sending import AlertMetrics, make_senders
from analytics.source import slowest_traces
from collector.errors import LithoscopeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from analytics.alerts.looks import Look
    from analytics.alerts.rules import Alert
    from collector.analysis import Beside
    from collector.store.protocol import Store

_EVERY_S = 60.0  # without news as well: hours end and incidents grow old
_MOST_LOOKUPS = 20  # for traces, at a time: each asks the spans of some minutes

log = structlog.get_logger(__name__)


class AlertWatch:
    """The alerts of a running collector; ``dashboard`` is the address that links begin with, None for no links."""

    def __init__(
        self,
        store: Store,
        alerts: Sequence[Alert],
        state: Path,
        dashboard: str | None = None,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._clock = clock
        self._minutes = [alert.condition for alert in alerts if alert.condition.kind == "endpoint"]
        self._hours = [alert.condition for alert in alerts if alert.condition.kind != "endpoint"]
        named = {alert.condition.name: alert for alert in alerts}
        self.metrics = AlertMetrics()
        self.incidents = Incidents(state, named)
        self._senders = make_senders(named, self.incidents, self.metrics, dashboard)
        self._looked_at: float | None = None
        self._lookups = 0

    def start(self) -> None:
        """Begin to send."""
        for sender in self._senders:
            sender.start()

    def stop(self) -> None:
        """End sending; what is left is sent after the next start."""
        for sender in self._senders:
            sender.stop()

    def step(self, *, is_news: bool) -> None:
        """Look, when something was analysed or judged since, or a minute ago; never raises but ``StoreError``."""
        now = time.monotonic()
        if not is_news and self._looked_at is not None and now - self._looked_at < _EVERY_S:
            return
        self._looked_at = now
        self.look()

    def look(self) -> None:
        """Hold all rules against what is kept, save what came of it, and wake up who sends."""
        now = self._clock()
        before = self.incidents.counts(), self.incidents.through
        looks, through = look_at_minutes(self._store, self._minutes, now, self.incidents.through)
        self._lookups = _MOST_LOOKUPS
        for look in [*looks, *look_at_hours(self._store, self._hours, now)]:
            new = [subject for subject in look.broken if self.incidents.is_new(look, subject)]
            self.incidents.take(look, now, {subject: self._facts(look, subject) for subject in new})
        self.incidents.forget(now)
        self.incidents.through = through
        if self.incidents.counts()[0] or (self.incidents.counts(), through) != before:
            self.incidents.save()
        for sender in self._senders:
            sender.notify()

    def _facts(self, look: Look, subject: str) -> dict[str, Any]:
        fact = look.broken[subject]
        found = facts_of(look, fact)
        if fact.endpoint is None or not self._lookups:
            return found
        self._lookups -= 1
        is_slow = any(one["name"] == "p99_ms" for one in fact.compared)
        try:
            window = (look.begin, look.end)
            traces = slowest_traces(self._store, window, look.environment, fact.endpoint, failed=not is_slow)
        except LithoscopeError as error:  # an alert without traces is better than none
            log.warning("an alert names no traces", error=str(error))
            traces = []
        return found | {"trace_ids": traces}


@contextmanager
def watching(
    store: Store, alerts: Sequence[Alert], registry: CollectorRegistry, beside: Beside | None
) -> Iterator[AlertWatch | None]:
    """Show the metrics of alerts, and send inside the block; gives None when there is nothing to look at."""
    if not alerts or beside is None:
        AlertMetrics().register(registry, None)
        yield None
        return
    watch = AlertWatch(store, alerts, beside.state, beside.dashboard)
    watch.metrics.register(registry, watch.incidents)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
