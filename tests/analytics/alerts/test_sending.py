"""Messages are sent until they are taken, with growing pauses, and a webhook that is dead keeps nobody waiting."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from analytics.alerts.incidents import Incidents
from analytics.alerts.rules import Alert, Condition
from analytics.alerts.sending import GIVEN_UP_S, AlertMetrics, Sender, make_senders
from collector.webhook import Webhook, WebhookError
from tests.analytics.alerts.seen import look, take
from tests.collector.webhooks import receiving

if TYPE_CHECKING:
    from pathlib import Path


class Place:
    """A sender whose webhook is asked when told to, with the answers it is to give: None, or seconds to wait."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.answers: list[float | str | None] = []
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.metrics = AlertMetrics()
        self.incidents = Incidents(folder / "t.json", ["slow"])
        alert = Alert(Condition(name="slow", endpoint=".*", p99_ms=500.0), Webhook("http://x.example/T0KEN"))
        self.sender = Sender({"slow": alert}, self.incidents, self.metrics, clock=lambda: self.now)
        monkeypatch.setattr(Webhook, "post", lambda _, body, delivery: self.post(body, delivery))

    def post(self, body: bytes, delivery: str) -> None:
        """Take a message, or not."""
        self.posted.append((delivery, json.loads(body)))
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise WebhookError("refused", None if isinstance(answer, str) else answer)

    def metric(self, name: str) -> float:
        """A counter of the one alert."""
        return float(getattr(self.metrics, name).labels("slow")._value.get())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Nothing happened yet."""
    return Place(tmp_path, monkeypatch)


def test_pauses_double_up_to_five_minutes(place: Place) -> None:
    """Each with half of it by chance; when the webhook is back it is told once."""
    take(place.incidents, look(10, {"a"}, set()))
    place.answers = ["refused"] * 12
    pauses = []
    for _ in range(12):
        assert place.sender.step() == 0
        pauses.append(place.sender.step())
        place.now += pauses[-1]
    expected = [min(2.0**tries, 300.0) for tries in range(12)]
    assert all(longest / 2 <= pause <= longest for pause, longest in zip(pauses, expected, strict=True))
    assert place.sender.step() == 0
    assert (place.sender.step(), len(place.posted), place.incidents.counts()) == (300, 13, (1, 0))
    assert len({json.dumps(message) for _, message in place.posted}) == 1
    assert (place.metric("sent"), place.metric("attempts"), place.metric("failed")) == (1, 12, 0)


def test_a_busy_webhook_says_how_long_to_wait(place: Place) -> None:
    """But not longer than five minutes."""
    take(place.incidents, look(10, {"a"}, set()))
    place.answers = [77.0, 10_000.0]
    place.sender.step()
    assert place.sender.step() == 77
    place.now += 77
    place.sender.step()
    assert place.sender.step() == 300


def test_a_message_is_given_up_after_a_day(place: Place) -> None:
    """And counted; the end of the incident is told all the same."""
    take(place.incidents, look(10, {"a"}, set()))
    place.answers = ["refused"] * 2
    place.sender.step()
    place.now += GIVEN_UP_S
    place.sender.step()
    assert (place.metric("failed"), place.incidents.counts()) == (1, (1, 0))
    take(place.incidents, look(20, set(), {"a"}))
    place.sender.step()
    assert place.posted[-1][1]["status"] == "resolved"


def test_a_message_that_is_refused_holds_no_other_up(place: Place) -> None:
    """Each has its own pauses."""
    take(place.incidents, look(10, {"a"}, set()))
    place.answers = ["refused"]
    place.sender.step()
    take(place.incidents, look(11, {"a", "b"}, set()))
    place.sender.step()
    assert [message["subject"] for _, message in place.posted] == ["a", "b"]


def test_an_end_that_may_have_been_heard_is_told_to_the_end(place: Place) -> None:
    """No answer is no proof: what breaks meanwhile is another incident, lest the receiver thinks that all is well."""
    take(place.incidents, look(10, {"a"}, set()))
    place.sender.step()
    take(place.incidents, look(20, set(), {"a"}))
    place.answers = ["no answer"]
    place.sender.step()
    take(place.incidents, look(21, {"a"}, set()))
    place.now += 10
    place.sender.step()
    place.sender.step()
    told = [(message["id"] == place.posted[0][1]["id"], message["status"]) for _, message in place.posted]
    assert told == [(True, "open"), (True, "resolved"), (True, "resolved"), (False, "open")]


def test_a_dead_webhook_delays_no_other(tmp_path: Path) -> None:
    """Nor stopping: what it was on its way with is left behind."""
    hanging = threading.Event()

    class Dead(Webhook):
        __slots__ = ()

        def post(self, body: bytes, delivery: str, *, timeout_s: float = 10.0) -> None:
            hanging.wait(30 if body and delivery else timeout_s)

    with receiving() as receiver:
        alerts = {
            "dead": Alert(Condition(name="dead", endpoint=".*", p99_ms=500.0), Dead("http://x.example/")),
            "slow": Alert(Condition(name="slow", endpoint=".*", p99_ms=500.0), Webhook(receiver.url)),
        }
        incidents = Incidents(tmp_path / "t.json", alerts)
        senders = make_senders(alerts, incidents, AlertMetrics(), None)
        assert len(senders) == 2
        take(incidents, look(10, {"a"}, set(), alert="dead"))
        take(incidents, look(10, {"a"}, set(), alert="slow"))
        for sender in senders:
            sender.start()
        assert receiver.wait_for(1)[0]["alert"]["name"] == "slow"
        for sender in senders:
            sender.stop()
        assert [one.alert for one in incidents.untold(alerts)] == ["dead"]
        hanging.set()
