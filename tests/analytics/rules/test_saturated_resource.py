"""A resource that is full is found with what it would need, and where metrics lack that is said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from analytics.rules.saturated_resource import RULE, Limits
from analytics.schema import conform, empty
from analytics.service_schema import RESOURCE_MINUTES
from tests.analytics.call_trees import Call, subject_of
from tests.analytics.planted import SEEDS, found
from tests.analytics.ramped import loaded, subject_of_run, system
from tests.analytics.shop import shop, truth
from tests.analytics.systems.simulator import Starve, simulate

if TYPE_CHECKING:
    from analytics.findings import Finding, Subject

BUSY = ((60.0, 20.0), (90.0, 75.0))
"""From 20 to 75 requests a second, a minute and a half of these."""
COUNT, PENDING, CPU = "db.client.connection.count", "db.client.connection.pending_requests", "process.cpu.utilization"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pool_that_is_too_small_is_found(seed: int) -> None:
    """With the database behind it, who waits, and how many connections more it takes."""
    (finding,) = found(RULE, loaded(seed, ms=25, ramp=BUSY, connections=1))
    assert (finding.severity, finding.services) == ("critical", ("stock",))
    assert finding.edges == ("stock->postgresql stock-host/stock",)
    evidence = finding.evidence
    assert (evidence["resource"], evidence["slots"], evidence["instances"]) == ("db_pool", 1, 2)
    assert evidence["needed_slots"] == 1 + float(str(evidence["waiting"]))
    assert f"{evidence['needed_slots']} connections instead of 1" in finding.advice
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_processors_that_are_full_are_found(seed: int) -> None:
    """Before the threads that wait for them, whose finding says so."""
    first, *others = found(RULE, loaded(seed, Starve(service="stock", factor=25), ramp=BUSY, cores=1))
    assert (first.severity, first.services, first.evidence["resource"]) == ("critical", ("stock",), "cpu")
    assert first.evidence["behind"] is None
    assert "instances of stock instead of 2" in first.advice
    assert {(other.severity, other.evidence["behind"]) for other in others} <= {("warning", "cpu of stock")}


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_without_metrics_it_is_unknown(seed: int) -> None:
    """Full or not, nobody knows; all services that send none are named."""
    subject = subject_of_run(simulate(system(seed, ((20.0, 20.0),)), seed=seed), metrics=False)
    (finding,) = RULE.find(subject, Limits())
    assert (finding.status, finding.evidence) == ("unknown", {"services_without_metrics": 2})
    assert "of front and stock are: send process.cpu.utilization" in finding.title


def minutes(*values: float, metric: str = CPU, resource: str = "cpu", **more: Any) -> pl.DataFrame:
    """One row a minute; the level of what is no share is ``slots`` times the utilisation."""
    slots = more.pop("slots", 1)
    fixed = {"environment": "test", "service": "a", "instance": "a-1", "metric": metric, "resource": resource}
    rows = [
        fixed | {"part": "", "minute": minute, "utilisation": value, "level": value * slots} | more
        for minute, value in enumerate(values)
    ]
    return conform(pl.DataFrame(rows), RESOURCE_MINUTES)


def subject(*frames: pl.DataFrame, requests: list[Call] | None = None) -> Subject:
    """A request a second to ``a``, which asks ``b``."""
    made = subject_of(requests or [Call("a", (Call("b"),))] * 200)
    return replace(made, minutes=pl.concat([empty(RESOURCE_MINUTES), *frames]))


def only(*frames: pl.DataFrame) -> Finding:
    """The one finding of these minutes."""
    (finding,) = RULE.find(subject(*frames), Limits())
    return finding


def test_two_full_minutes_are_needed() -> None:
    """One is a burst, and no finding; below the limit there is none."""
    assert only(minutes(0.1, 0.8, 0.8)).severity == "warning"
    assert only(minutes(0.1, 0.9, 0.9)).severity == "critical"
    one = only(minutes(0.1, 0.9, 0.1))
    assert (one.status, one.title) == (
        "unknown",
        "Unknown: cpu of a was full in 1 of 3 minutes, 2 are more than a burst",
    )
    both = minutes(0.7, 0.7), minutes(0.7, 0.7, service="b")
    assert RULE.find(subject(*both), Limits()) == []
    assert RULE.find(subject(*both), Limits(warning=0.7, minutes=1)) != []


def test_one_service_without_metrics_is_named() -> None:
    """Where no other is full."""
    assert "the resources of b are: send" in only(minutes(0.1, 0.1)).title


def test_one_full_instance_among_idle_ones_is_for_the_balancer() -> None:
    """More instances would be no help."""
    finding = only(minutes(0.9, 0.95), minutes(0.2, 0.1, instance="a-2"), minutes(0.2, 0.1, instance="a-3"))
    assert (finding.evidence["needed_instances"], finding.evidence["instances"]) == (2, 3)
    assert finding.advice.startswith("Balance a: a-1 is full while its 3 instances are used to 41 % on average")


def test_more_instances_are_told_of_when_all_are_full() -> None:
    """By the work that there is: 1.84 of 2 are 61 % of 3."""
    finding = only(minutes(0.9, 0.94), minutes(0.88, 0.96, instance="a-2"))
    assert finding.evidence["needed_instances"] == 3
    assert finding.evidence["mean_share"] == pytest.approx(0.92)
    assert finding.advice.startswith("Run at least 3 instances of a instead of 2")
    assert "92 % of 2 are 61 % of 3" in finding.advice


def test_memory_that_is_full_takes_memory() -> None:
    """Not instances."""
    finding = only(minutes(0.84, 0.84, metric="k8s.pod.memory_limit_utilization", resource="memory"))
    assert finding.advice.startswith("Give each instance of a 20 % more memory")


def test_a_burst_in_a_quiet_minute_is_no_queue() -> None:
    """Though as many waited as there are connections; in half-full minutes it is one."""
    pool = {"resource": "db_pool"}
    waiting = minutes(1, 1, 1, metric=PENDING, slots=4, **pool)
    assert (
        RULE.find(subject(minutes(0.3, 0.3, 0.3, metric=COUNT, slots=4, **pool), waiting, b_metrics()), Limits()) == []
    )
    finding = only(minutes(0.5, 0.5, 0.5, metric=COUNT, slots=4, **pool), waiting)
    assert (finding.evidence["slots"], finding.evidence["waiting"], finding.severity) == (4, 4.0, "critical")


def b_metrics() -> pl.DataFrame:
    """What the other service tells."""
    return minutes(0.1, 0.1, service="b")


def test_a_queue_whose_slots_nobody_tells_is_found() -> None:
    """The advice asks for what is missing."""
    finding = only(minutes(1, 1, metric="jetty.thread.queue.size", resource="threads", slots=6))
    assert (
        finding.title == "threads of a had a queue on a-1, full in 2 of 2 minutes, and up to 6 requests waited for it"
    )
    assert "places for 6 more requests at once" in finding.advice
    assert "busy threads with its limit" in finding.advice


def test_metrics_of_what_sends_no_spans_count() -> None:
    """A database that tells of itself, without a trace to show."""
    finding = only(minutes(0.95, 0.95, service="postgres"))
    assert (finding.services, finding.trace_ids) == (("postgres",), ())
    assert finding.evidence["p50_ms"] is None


def test_nothing_is_said_of_nothing() -> None:
    """No spans, no metrics."""
    assert RULE.find(subject_of([]), Limits()) == []


def test_the_incident_starved_payment_of_connections() -> None:
    """The service and the resource that its configuration names, in the minutes that it names, and no other."""
    (finding,) = found(RULE, shop("incident"))
    starved = truth("incident")["starved_resources"]
    assert {finding.services} == {(fault["service"],) for fault in starved}
    assert {str(finding.evidence["metric"])} == {f"{fault['resource']}.count" for fault in starved}
    assert finding.severity == "critical"
    assert finding.evidence["slots"] == next(
        s["connections"] for s in truth("incident")["services"] if s["name"] == "payment"
    )
    assert finding.evidence["full_minutes"] == 4
    assert len(finding.trace_ids) == 5
