"""Hours are judged as their traces are, again when they change, and a long window is what its hours are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from analytics import rules, windows
from analytics.findings import Finding, Rule, Subject, unknown_finding
from analytics.hours import HOUR_NS, HourKeeper
from analytics.judged_hours import judge_hours, merge_findings, merge_indexes
from analytics.options import Options
from analytics.pipeline import MinutePipeline
from analytics.service import TraceAnalysis
from collector.decode.decoder import concatenate
from collector.position import LogPosition
from collector.store import open_store
from collector.store.protocol import QueryLimits, TraceWindow
from tests.analytics.test_report import request
from tests.collector.store.telemetry import START_NS, decoded, set_attributes, spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.batch import Batch
    from collector.store.protocol import Store

HOUR = START_NS // HOUR_NS
ALL = TraceWindow(0, 2**62)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many traces a made-up rule wants."""

    traces: int = 30


def _find(subject: Subject, limits: Limits) -> list[Finding]:
    count = subject.analysed.forest.traces.height
    if count < limits.traces:
        return [unknown_finding("hub", f"{count} of {limits.traces} traces")]
    services = tuple(sorted({row["name"] for row in subject.analysed.nodes.to_dicts() if row["type"] == "service"}))
    evidence: dict[str, Any] = {"traces": count, "limit": limits.traces}
    if not subject.resources.is_empty():
        evidence["used"] = float(subject.resources["max"].to_numpy().max())
    return [
        Finding("hub", "warning", count / 1000, "A hub", services, (), evidence, subject.trace_ids([0]), "Mend it.")
    ]


@pytest.fixture(autouse=True)
def _made_up_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "RULES", (Rule("hub", Limits, _find),))


class Place:
    """A store whose minutes are rolled up and whose hours are judged when told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.number = 0
        self.store: Store = open_store(":memory:")
        self.pipeline = MinutePipeline(self.store, clock=lambda: self.now)
        self.keeper = HourKeeper(self.store, Options(), clock=lambda: self.now)

    def append(self, *batches: Batch) -> None:
        """Store batches and roll their minutes up."""
        self.number += 1
        self.store.append(concatenate(batches), LogPosition(1, self.number))
        self.pipeline.step()
        self.now += 30
        assert self.pipeline.step()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What a query answers."""
        return list(self.store.query(sql, QueryLimits()).to_pylist())


@pytest.fixture
def place() -> Iterator[Place]:
    """An empty store."""
    place = Place()
    yield place
    place.store.close()


def later(hours: int) -> Batch:
    """A span so many hours later."""
    begin = START_NS + hours * HOUR_NS
    return spans({"trace_id": bytes([hours]) * 16, "start_time_unix_nano": begin, "end_time_unix_nano": begin + 1000})


def requests(first: int, count: int, environment: str = "live") -> list[Batch]:
    """Requests of a service that asks its database."""
    return [request(first + number, 10, 5, environment) for number in range(count)]


def test_an_hour_is_judged_as_its_traces_are(place: Place) -> None:
    """For each environment, and the views show it."""
    place.append(*requests(1, 40), *requests(101, 10, "test"))
    assert place.keeper.step() == 1
    columns = "environment, status, title, services, evidence, len(trace_ids) AS traces"
    assert place.rows(f"SELECT {columns} FROM findings") == [
        {
            "environment": "live",
            "status": "found",
            "title": "A hub",
            "services": ["shop"],
            "evidence": '{"traces": 40, "limit": 30}',
            "traces": 1,
        },
        {
            "environment": "test",
            "status": "unknown",
            "title": "Unknown: 10 of 30 traces",
            "services": [],
            "evidence": "{}",
            "traces": 0,
        },
    ]
    assert place.rows("SELECT environment, traces, share, score, missing FROM coupling_index") == [
        {"environment": name, "traces": count, "share": 1.0, "score": None, "missing": "a second service: there is one"}
        for name, count in (("live", 40), ("test", 10))
    ]


def test_an_hour_is_judged_with_its_own_resources(place: Place) -> None:
    """Those of its environment."""
    metrics = ExportMetricsServiceRequest()
    for environment, used in (("live", 9), ("test", 1)):
        level = metrics.resource_metrics.add()
        set_attributes(level.resource.attributes, {"service.name": "shop", "deployment.environment.name": environment})
        for name, value in (("db.client.connection.count", used), ("db.client.connection.max", 10)):
            point = level.scope_metrics.add().metrics.add(name=name).gauge.data_points.add(as_int=value)
            point.time_unix_nano = START_NS
    place.append(*requests(1, 40), *requests(101, 40, "test"), decoded(metrics))
    place.keeper.step()
    query = "SELECT environment, evidence->>'used' AS used FROM findings ORDER BY environment"
    assert place.rows(query) == [{"environment": "live", "used": "0.9"}, {"environment": "test", "used": "0.1"}]


def test_an_hour_is_judged_again_when_it_changed(place: Place) -> None:
    """At most once in five minutes."""
    place.append(*requests(1, 40))
    assert [place.keeper.step(), place.keeper.step()] == [1, 0]
    place.append(*requests(101, 10))
    place.now += 269
    assert place.keeper.step() == 0
    place.now += 1
    assert [place.keeper.step(), place.keeper.step()] == [1, 0]
    assert place.rows("SELECT evidence->>'traces' AS traces FROM findings") == [{"traces": "50"}]
    place.now += 1000
    assert place.keeper.step() == 0


def test_what_retention_deletes_stays_judged(place: Place) -> None:
    """The history of the index outlives its traces."""
    place.append(*requests(1, 40))
    place.keeper.step()
    before = place.rows("SELECT * FROM findings")
    place.store.delete_before(START_NS + HOUR_NS, rows=10**6)
    place.store.finish_minutes([HOUR * 60 + 59], {})
    place.now += 1000
    assert place.keeper.step() == 1
    assert (place.rows("SELECT * FROM findings"), place.store.pending_hours()) == (before, [])


def test_a_rule_that_fails_is_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """And keeps nothing else from being done."""

    def fail(*_: object) -> list[Finding]:
        raise ZeroDivisionError

    place.append(*requests(1, 40))
    with monkeypatch.context() as patched:
        patched.setattr(rules, "RULES", (Rule("hub", Limits, fail),))
        assert [place.keeper.step(), place.keeper.step()] == [0, 0]
    assert place.store.pending_hours() == [HOUR]
    place.now += 301
    assert place.keeper.step() == 1


def test_minutes_wait_for_few_hours(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many that are due some are judged, the latest first, and the rest in the next step."""

    def find(*_: object) -> list[Finding]:
        place.now += 6
        return []

    place.append(*requests(1, 1))
    for hour in (1, 2):
        place.append(later(hour))
    monkeypatch.setattr(rules, "RULES", (Rule("hub", Limits, find),))
    assert place.keeper.step() == 2
    assert place.store.pending_hours() == [HOUR]
    assert place.keeper.step() == 1


def test_a_collector_that_stops_judges_no_more(place: Place) -> None:
    """What waits is judged after the next start."""
    place.append(*requests(1, 40))
    assert place.keeper.step(lambda: True) == 0
    assert place.store.pending_hours() == [HOUR]


def test_a_report_of_a_long_window_takes_its_findings_from_the_hours(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And from a share of the last hour as long as none is judged; it says which."""
    monkeypatch.setattr(windows, "MOST_EXACT_SPANS", 10)
    place.append(*requests(1, 40))
    analysis = TraceAnalysis()
    latest = analysis.report(place.store, {})
    assert [finding["status"] for finding in latest["findings"]] == ["found"]
    assert (latest["judged_on"]["share"], latest["judged_on"]["to"] - START_NS <= HOUR_NS) == (1.0, True)
    place.keeper.step()
    report = analysis.report(place.store, {})
    (finding,) = report["findings"]
    assert finding["evidence"] == {"traces": 40, "limit": 30, "in_hours": 1, "of_hours": 1}
    assert report["judged_on"] == {"from": HOUR * HOUR_NS, "to": (HOUR + 1) * HOUR_NS, "share": 1.0, "hours": 1}
    assert report["coupling_index"]["missing"] == "a second service: there is one"


def test_a_report_of_a_long_window_replays_a_share_of_the_last_hour(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole traces of it, and says which; of all of them it says what it says of a short window."""
    place.append(*requests(1, 40))
    analysis = TraceAnalysis()
    exact = analysis.report(place.store, {})["propagation"]
    assert (exact["based_on"], [row["name"] for row in exact["services"]]) == (None, ["shop", "sqlite main"])
    monkeypatch.setattr(windows, "MOST_EXACT_SPANS", 10)
    rolled = analysis.report(place.store, {})["propagation"]
    assert rolled["based_on"]["share"] == 1.0
    assert rolled["services"] == exact["services"]
    monkeypatch.setattr("analytics.service._MOST_REPLAYED_SPANS", 40)
    part = analysis.report(place.store, {})["propagation"]
    assert part["based_on"] == rolled["based_on"] | {"share": 0.5}
    (endpoint,) = part["services"][0]["endpoints"]
    assert 0 < endpoint["traces"] < 40


def test_no_hour_is_no_judgement(place: Place) -> None:
    """None, rather than nothing found; an hour that the window touches is one."""
    place.append(*requests(1, 40))
    place.keeper.step()
    begin, end = HOUR * HOUR_NS, (HOUR + 1) * HOUR_NS
    touched = [TraceWindow(end - 1, end + 1), TraceWindow(begin - 1, begin + 1), ALL]
    assert all(judge_hours(place.store, window, "live") for window in touched)
    for window in (TraceWindow(0, begin), TraceWindow(end, 2**62)):
        assert judge_hours(place.store, window, "live") is None
    assert judge_hours(place.store, ALL, "") is None


def row(hour: int, rule: str = "hub", severity: str = "warning", status: str = "found", **parts: Any) -> dict[str, Any]:
    """A row of HOUR_FINDINGS."""
    found = {"hour": hour, "environment": "", "rule": rule, "status": status, "severity": severity, "score": 0.5}
    texts = {"title": f"A {rule}", "evidence": '{"calls": 3}', "trace_ids": [], "advice": ""}
    return {**found, **texts, "services": ["a"], "edges": [], **parts}


def test_the_worst_of_each_finding() -> None:
    """By severity, then score, then the latest; unknown is only what no hour could tell."""
    merged = merge_findings(
        [
            row(1, title="first"),
            row(2, score=0.9, title="worst"),
            row(3, score=0.9, services=["b"], edges=["b->c"]),
            row(1, "cycle", "critical", services=["b", "a"]),
            row(2, "cycle", "info", services=["a", "b"], score=1.0),
            *(row(hour, "cascade", "info", "unknown", title=f"Unknown: {hour}") for hour in (1, 2, 3)),
            *(row(hour, "queueing", "info", "unknown") for hour in (1, 3)),
        ],
        3,
    )
    assert [(found["rule"], found["severity"], found["title"], found["evidence"]) for found in merged] == [
        ("cycle", "critical", "A cycle", {"calls": 3, "in_hours": 2, "of_hours": 3}),
        ("hub", "warning", "A hub", {"calls": 3, "in_hours": 1, "of_hours": 3}),
        ("hub", "warning", "worst", {"calls": 3, "in_hours": 2, "of_hours": 3}),
        ("cascade", "info", "Unknown: 3", {"calls": 3}),
    ]
    assert "hour" not in merged[0]
    assert merge_findings([], 3) == []


def index(values: tuple[float, float], traces: int, share: float = 1.0, grade: str = "loose") -> dict[str, Any]:
    """A row of HOUR_INDEX with two parts."""
    parts = [
        {"name": name, "value": value, "weight": 0.5, "contribution": 50 * value, "explanation": f"{traces} traces"}
        for name, value in zip(("cycles", "sync"), values, strict=True)
    ]
    score = 50 * sum(values)
    rest = {"traces": traces, "share": share, "lowers": [], "missing": None}
    return {"hour": 1, "environment": "", "score": score, "grade": grade, "components": parts, **rest}


SHARES = st.floats(0, 1)


@given(st.lists(st.tuples(st.tuples(SHARES, SHARES), st.integers(1, 1000), st.sampled_from((1.0, 0.25))), min_size=1))
def test_the_index_of_a_window_is_the_mean_over_its_traces(rows: list[tuple[tuple[float, float], int, float]]) -> None:
    """Its parts still add up, and it lies between those of its hours."""
    hours = [index(*row) for row in rows]
    merged = merge_indexes(hours)
    assert merged["score"] == pytest.approx(sum(part["contribution"] for part in merged["components"]))
    scores = [hour["score"] for hour in hours]
    assert min(scores) - 1e-9 <= merged["score"] <= max(scores) + 1e-9
    weights = [traces / share for _, traces, share in rows]
    mean = sum(score * weight for score, weight in zip(scores, weights, strict=True)) / sum(weights)
    assert merged["score"] == pytest.approx(mean)


def test_hours_with_too_few_traces_do_not_count() -> None:
    """Unless there are no others."""
    few, many = index((1, 1), 10, grade="unknown"), index((0.5, 0.9), 100, grade="tight")
    nothing = index((0, 0), 5000) | {"score": None, "grade": "unknown", "components": [], "missing": "traces"}
    assert merge_indexes([few, many, nothing])["score"] == 70
    assert merge_indexes([few, many])["components"][0]["explanation"] == "100 traces"
    assert (merge_indexes([few, nothing])["score"], merge_indexes([few, nothing])["grade"]) == (100, "unknown")
    assert (merge_indexes([nothing])["score"], merge_indexes([nothing])["missing"]) == (None, "traces")
    both = merge_indexes([many, index((0.5, 0.5), 300)])
    assert (both["score"], both["grade"]) == (55, "tight")
    assert both["components"][0]["explanation"] == "300 traces (in the busiest of 2 hours)"
