"""What is kept of hours: replaced as a whole, remembered while it waits, and shown by views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from tests.collector.store.places import Place

HOUR = 498_000
PART = {"name": "cycles", "value": 0.5, "weight": 0.2, "contribution": 10.0, "explanation": "all of them"}
INDEX = {
    "hour": HOUR,
    "environment": "live",
    "traces": 50,
    "share": 0.5,
    "score": 40.0,
    "grade": "moderate",
    "missing": None,
    "components": [PART],
    "lowers": [{"edge": "a->b", "if_async": 1.0, "if_removed": 2.0}],
}
FINDING = {
    "hour": HOUR,
    "environment": "live",
    "rule": "cycle",
    "status": "found",
    "severity": "warning",
    "score": 0.5,
    "title": "A cycle",
    "services": ["a", "b"],
    "edges": [],
    "evidence": '{"length": 2}',
    "trace_ids": ["0a"],
    "advice": "Mend it.",
}
STRINGS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [(name, STRINGS if isinstance(value, list) else pa.scalar(value).type) for name, value in FINDING.items()]
)


def judged(*findings: dict[str, Any], **index: Any) -> dict[str, pa.Table]:
    """The tables of one hour and environment."""
    table = pa.Table.from_pylist([FINDING | found for found in findings], schema=SCHEMA)
    return {"hour_index": pa.Table.from_pylist([INDEX | index]), "hour_findings": table}


def kept(place: Place, begin: int = 0, end: int = 2**40, environment: str = "live") -> dict[str, list[Any]]:
    """What is kept of some hours."""
    tables = place.store.judged_hours(begin, end, environment)
    return {name: sorted(table.to_pylist(), key=lambda row: int(row["hour"])) for name, table in tables.items()}


def test_an_hour_is_replaced_as_a_whole(place: Place) -> None:
    """By hour and environment; nothing to say keeps what there is."""
    place.store.finish_hour(HOUR, judged({}, {"rule": "hub"}))
    place.store.finish_hour(HOUR + 1, judged({"hour": HOUR + 1}, hour=HOUR + 1, environment="test"))
    place.store.finish_hour(HOUR, judged({"title": "Another"}, score=60.0))
    place.store.finish_hour(HOUR, None)
    assert kept(place) == {
        "hour_index": [INDEX | {"score": 60.0}],
        "hour_findings": [FINDING | {"title": "Another"}, FINDING | {"hour": HOUR + 1}],
    }
    assert kept(place, environment="test")["hour_index"] == [INDEX | {"hour": HOUR + 1, "environment": "test"}]
    assert kept(place, HOUR + 1, HOUR + 2) == {"hour_index": [], "hour_findings": [FINDING | {"hour": HOUR + 1}]}


def test_an_hour_waits_until_it_is_finished(place: Place) -> None:
    """Again when one of its minutes is, the latest first, and through a restart."""
    assert place.store.pending_hours() == []
    place.store.finish_minutes([60 * HOUR, 60 * HOUR + 59, 60 * (HOUR + 2)], {})
    assert place.store.pending_hours() == [HOUR + 2, HOUR]
    place.store.finish_hour(HOUR + 2, None)
    place.store.finish_minutes([60 * HOUR + 1], {})
    place.reopen()
    assert place.store.pending_hours() == [HOUR]


def test_views_show_hours(place: Place) -> None:
    """The latest first, the worst of each before the rest; an environment without a name is null."""
    findings = ({"severity": "info"}, {"severity": "critical"}, {"status": "unknown"}, {"hour": HOUR + 1})
    place.store.finish_hour(HOUR, judged(*findings, environment=""))
    columns = "epoch(hour) / 3600 AS hour, status, severity, services[1] AS service, evidence->>'length' AS length"
    assert [tuple(row.values()) for row in place.rows(f"SELECT {columns} FROM findings")] == [
        (HOUR + 1, "found", "warning", "a", "2"),
        (HOUR, "found", "critical", "a", "2"),
        (HOUR, "found", "info", "a", "2"),
        (HOUR, "unknown", "warning", "a", "2"),
    ]
    columns = "environment, score, components[1].name AS part, share"
    assert place.rows(f"SELECT {columns} FROM coupling_index") == [
        {"environment": None, "score": 40.0, "part": "cycles", "share": 0.5}
    ]
