"""Calls that wait longer under load are found with whom they wait for; a slow network is no queue."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analytics.rules.queueing import RULE, Limits
from tests.analytics.call_trees import Call as Stay
from tests.analytics.call_trees import subject_of
from tests.analytics.planted import SEEDS, found
from tests.analytics.ramped import loaded, subject_of_run, system
from tests.analytics.systems.simulator import Call, Delay, Service, Time, Work, simulate


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_queue_is_found(seed: int) -> None:
    """One worker, whose queue is before its spans."""
    (finding,) = found(RULE, loaded(seed, ms=12, workers=1, instances=1))
    assert (finding.services, finding.edges, finding.severity) == (("stock",), ("front->stock",), "critical")
    low, high = (float(str(finding.evidence[f"gap_{name}_ms"])) for name in ("low", "high"))
    assert high > 5 * low
    assert finding.evidence["wait_ms"] == high - low
    waiting = float(str(finding.evidence["load_high"])) * (high - low) / 1000
    assert finding.evidence["waiting_at_once"] == pytest.approx(waiting)
    assert "Give stock " in finding.advice
    assert "threads: tomcat.thread.busy.count" in finding.advice
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_a_caller_that_waits_on_all_it_calls_is_to_blame(seed: int) -> None:
    """Its processor is late with every message, so both of its callees look slow from there."""
    made = system(seed)
    stock = made.services[1]
    visit = (Work(Time(1, 0.3)), Call("stock", "GET /stock"), Call("price", "GET /price"))
    front = Service("front", {"GET /": visit}, cores=1, io=Time(2.6, 0.3))
    price = Service("price", {"GET /price": (Work(Time(2, 0.3)),)}, instances=2, cores=4)
    run = simulate(replace(made, services=(front, stock, price)), seed=seed)
    (finding,) = found(RULE, subject_of_run(run))
    assert finding.services == ("front",)
    assert set(finding.edges) == {"front->stock", "front->price"}
    assert "waits on all that it calls" in finding.advice


def test_a_slow_network_is_no_queue() -> None:
    """As slow on quiet days as on busy ones."""
    assert RULE.find(loaded(0, Delay(callee="stock", ms=30)), Limits()) == []


def test_too_little_is_unknown() -> None:
    """Load that does not vary, and windows with few calls."""
    (even,) = RULE.find(loaded(0, ramp=((90.0, 40.0),)), Limits())
    assert (
        even.title
        == "Unknown: 1 edge cannot be judged; of front->stock, the busiest, load varied by less than a factor of 2"
    )
    (few,) = RULE.find(subject_of([Stay("a", (Stay("b"),))] * 20), Limits())
    assert (few.status, few.evidence["windows_limit"]) == ("unknown", 6)
    assert "not enough windows" in few.title


def test_systems_without_calls_have_nothing_to_wait_for() -> None:
    """Nor has nothing."""
    assert RULE.find(subject_of([Stay("a")] * 50), Limits()) == []
    assert RULE.find(subject_of([]), Limits()) == []


def test_limits_are_the_rule_s_own() -> None:
    """What waits for less than a second is none for whom that is little."""
    subject = loaded(0, ms=12, workers=1, instances=1)
    assert RULE.find(subject, Limits(wait_ms=1000)) == []
    assert RULE.find(subject, Limits(windows=500))[0].status == "unknown"
