"""Jaeger's dependencies are the service graph of the minutes that are known."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.request import urlopen

from collector.decode.decoder import concatenate
from collector.position import LogPosition
from tests.analytics.series_places import served
from tests.analytics.test_series import MINUTE_NS, roll
from tests.collector.store.telemetry import START_NS, spans

if TYPE_CHECKING:
    from pathlib import Path

    from collector.store.protocol import Store

_MS = 10**6


def _service(name: str) -> dict[str, str]:
    return {"service.name": name}


def test_calls_between_services_are_counted(store: Store, tmp_path: Path) -> None:
    """Of the time that is asked for; a database is no service."""
    served_by = {"kind": 2, "name": "GET /"}
    first, second, third = ({"span_id": bytes([number] * 8)} for number in (1, 2, 3))
    web = spans(first | served_by, second | {"kind": 3, "parent_span_id": first["span_id"]}, resource=_service("web"))
    asks = {"kind": 3, "parent_span_id": third["span_id"], "attributes": {"db.system.name": "sqlite"}}
    api = spans(third | served_by | {"parent_span_id": second["span_id"]}, asks, resource=_service("api"))
    store.append(concatenate([web, api]), LogPosition(1, 1))
    roll(store)
    minute = START_NS // MINUTE_NS * MINUTE_NS
    with served(store, tmp_path) as client:
        asked = [(minute + at * MINUTE_NS, back * MINUTE_NS) for at, back in ((0, 0), (1, 1), (9, 1), (-9, 1))]
        found = []
        for end, lookback in asked:
            with urlopen(f"{client.url}/api/dependencies?endTs={end // _MS}&lookback={lookback // _MS}") as answer:
                found.append(json.load(answer)["data"])
    calls = [{"parent": "web", "child": "api", "callCount": 1}]
    assert found == [calls, calls, [], []]
