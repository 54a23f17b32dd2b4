"""The watch looks when there is news, saves before anything is sent, and never stands in the way of the analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analytics.alerts.looks import look_at_minutes
from analytics.alerts.rules import Alert, Condition
from analytics.alerts.watch import AlertWatch
from analytics.options import Options
from analytics.pipeline import MinutePipeline
from collector.decode.decoder import concatenate
from collector.position import LogPosition
from collector.store import open_store
from collector.webhook import Webhook
from tests.analytics.alerts.seen import MINUTE_NS
from tests.analytics.test_report import request
from tests.collector.store.telemetry import START_NS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.store.protocol import Store

RULE = Condition(name="slow", endpoint=".*", p99_ms=5.0, requests=3)


@pytest.fixture
def store() -> Iterator[Store]:
    """Some slow requests, analysed."""
    store = open_store(":memory:")
    store.append(concatenate([request(number, 10, 10) for number in range(1, 6)]), LogPosition(1, 1))
    store.touch_minutes(10**9)
    MinutePipeline(store).step()
    yield store
    store.close()


def watch(store: Store, folder: Path) -> AlertWatch:
    """A watch that looks two minutes later, and sends nothing."""
    alert = Alert(RULE, Webhook("http://127.0.0.1:9/"))
    return AlertWatch(store, [alert], folder / "t.json", clock=lambda: START_NS + 2 * MINUTE_NS)


def test_what_is_analysed_is_looked_at(store: Store, tmp_path: Path) -> None:
    """Once, with the slowest traces; after a restart it is known."""
    first = watch(store, tmp_path)
    first.step(is_news=False)
    (incident,) = first.incidents.untold(["slow"])
    assert incident.subject == "shop GET /"
    assert incident.facts["trace_ids"] == [number.to_bytes(16).hex() for number in range(1, 6)]
    again = watch(store, tmp_path)
    again.step(is_news=True)
    assert [one.id for one in again.incidents.untold(["slow"])] == [incident.id]
    assert again.incidents.through == START_NS // MINUTE_NS


def test_without_news_it_rests(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a minute."""
    found = watch(store, tmp_path)
    looked = []
    monkeypatch.setattr(found, "look", lambda: looked.append(1))
    for is_news in (False, False, True, False):
        found.step(is_news=is_news)
    assert len(looked) == 2


def test_a_defect_does_not_end_the_analysis(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is logged, and the pipeline goes on."""
    found = watch(store, tmp_path)
    monkeypatch.setattr(found, "look", lambda: 1 / 0)
    pipeline = MinutePipeline(store, Options(), watch=found)
    pipeline._tell(is_news=True)
    assert "alerts not looked at" in "".join(capsys.readouterr())


def test_minutes_between_are_looked_at_once(store: Store) -> None:
    """Those that were analysed since; the newest always."""
    minute = START_NS // MINUTE_NS
    for through, count in ((None, 1), (minute - 3, 1), (minute, 1)):
        looks, latest = look_at_minutes(store, [RULE], START_NS + 2 * MINUTE_NS, through)
        assert (len(looks), latest) == (count, minute)
