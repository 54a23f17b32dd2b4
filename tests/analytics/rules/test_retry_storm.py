"""Retries are a storm when they multiply the load of a callee that fails, and are told apart from hedged requests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from analytics.rules.retry_storm import RULE, Limits
from tests.analytics.loaded import clean, loaded, numbers
from tests.analytics.oracle import CLIENT, SERVER, Span
from tests.analytics.planted import SEEDS, found
from tests.analytics.rules.test_any_spans import subject_of_spans
from tests.analytics.systems.simulator import Call, Failing

if TYPE_CHECKING:
    from analytics.findings import Finding

MS = 1_000_000


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_storm_is_found(seed: int) -> None:
    """On its edge and nowhere else, with what it was in calm times."""
    system = loaded(seed, retries=2)
    (storm,) = found(RULE, system.subject(seed, Failing(service=system.callee, share=0.9, from_s=4, to_s=8)))
    assert storm.evidence["storm"] is True
    assert (storm.edges, storm.services) == ((system.edge,), (system.caller, system.callee))
    assert storm.severity == "critical"
    assert storm.evidence["calm_amplification"] == pytest.approx(1, abs=0.05)
    # Three attempts of which nine in ten fail: 1 + 0.9 + 0.81, mixed with some good calls where the fault begins.
    assert storm.evidence["amplification"] == pytest.approx(2.6, abs=0.3)
    assert len(storm.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_retries_that_work_are_no_storm(seed: int) -> None:
    """One call in twenty fails, all the time, and is tried again; or nothing fails: then nobody knows."""
    system = loaded(seed, retries=2, backoff_ms=50)
    assert found(RULE, system.subject(seed, Failing(service=system.callee, share=0.05))) == []
    (unknown,) = RULE.find(clean(seed), Limits())
    assert unknown.status == "unknown"


@pytest.mark.parametrize("seed", SEEDS)
def test_retries_that_do_not_wait_are_told_before_the_storm(seed: int) -> None:
    """One call in twelve fails, and the caller tries three times at once: nothing has happened yet."""
    system = loaded(seed, retries=2)
    (habit,) = found(RULE, system.subject(seed, Failing(service=system.callee, share=0.08)))
    assert (habit.edges, habit.severity) == ((system.edge,), "warning")
    assert (habit.evidence["storm"], habit.evidence["most_attempts"], habit.evidence["path_attempts"]) == (False, 3, 3)
    assert habit.evidence["first_repeated"] == habit.evidence["first_failures"]
    assert numbers(habit)["wait_ms"] < 1
    assert f"were {system.callee} down, it would get up to 3 times its load" in habit.title


def test_what_follows_a_failure_by_accident_is_no_habit() -> None:
    """Twelve failures are followed by an equal call at once, and sixteen are not."""
    spans: list[Span] = []
    status: list[str] = []
    for trace in range(1, 29):
        begin = trace * 1000 * MS
        spans += [Span(trace, 1, None, 0, SERVER, begin, 90 * MS), Span(trace, 2, 1, 0, CLIENT, begin, MS, peer="x")]
        spans += [Span(trace, 3, 1, 0, CLIENT, begin + 2 * MS, MS, peer="x")] if trace <= 12 else []
        status += ["ok", "error", "ok"] if trace <= 12 else ["ok", "error"]
    assert found(RULE, subject_of_spans(spans, status=status)) == []
    (habit,) = RULE.find(subject_of_spans(spans, status=status), Limits(again_share=0.4))
    assert (habit.evidence["first_failures"], habit.evidence["first_repeated"]) == (28, 12)


def test_one_more_try_at_once_is_information() -> None:
    """Twice the load is what many allow."""
    system = loaded(3, retries=1)
    (habit,) = found(RULE, system.subject(3, Failing(service=system.callee, share=0.1)))
    assert (habit.severity, habit.evidence["path_attempts"]) == ("info", 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_failures_without_retries_are_no_storm(seed: int) -> None:
    """Which is known, then."""
    system = loaded(seed)
    assert RULE.find(system.subject(seed, Failing(service=system.callee, share=0.9, from_s=4, to_s=8)), Limits()) == []


def test_retries_above_each_other_multiply() -> None:
    """The gateway tries twice what the caller tries three times."""
    system = loaded(1, retries=2)
    (gateway,) = (service for service in system.system.services if service.name == "gateway")
    steps = tuple(
        replace(step, retries=1) if isinstance(step, Call) and step.service == system.caller else step
        for step in gateway.operations["GET /"]
    )
    system = system.changed("gateway", operations={"GET /": steps})
    storms = found(RULE, system.subject(1, Failing(service=system.callee, share=1, from_s=4, to_s=8)))
    worst = storms[0]
    assert worst.edges == (f"gateway->{system.caller}", system.edge)
    assert numbers(worst)["path_amplification"] > 4
    assert f"Stop retrying on gateway->{system.caller}: {system.caller}, next to {system.callee}," in worst.advice


def attempts(*begins: int, requests: int = 60, resend: bool = False, error: str | None = None) -> list[Finding]:
    """What is found in requests, of which each calls at these milliseconds for 10 ms, the last time with success."""
    spans: list[Span] = []
    status: list[str] = []
    resent: list[int | None] = []
    for trace in range(1, requests + 1):
        first = trace * 1000 * MS
        spans.append(Span(trace, 1, None, 0, SERVER, first, 100 * MS))
        spans += [Span(trace, n + 2, 1, 0, CLIENT, first + at * MS, 10 * MS, peer="x") for n, at in enumerate(begins)]
        status += ["ok", *(["error"] * (len(begins) - 1)), "ok"]
        resent += [None, *(n if resend and n else None for n in range(len(begins)))]
    types = [error] * len(spans)
    return found(RULE, subject_of_spans(spans, status=status, resend_count=resent, error_type=types))


def test_hedged_requests_are_no_retries() -> None:
    """The second is sent while the first is under way; a retry is sent when the first has failed."""
    assert attempts(10, 15) == []
    (storm,) = attempts(10, 20)
    assert (storm.edges, storm.evidence["amplification"]) == (("s0->x",), 2.0)


@pytest.mark.parametrize(("requests", "expected"), [(9, []), (10, [False]), (19, [False]), (20, [True])])
def test_few_retries_are_nothing_then_a_habit_then_a_storm(requests: int, expected: list[bool]) -> None:
    """Ten for the one and twenty for the other, of calls of which half fail."""
    assert [finding.evidence["storm"] for finding in attempts(10, 20, requests=requests)] == expected


def test_services_that_retry_each_other_multiply_once() -> None:
    """The path ends where a service would come again."""
    spans: list[Span] = []
    status: list[str] = []
    for trace in range(1, 41):
        begin = trace * 1000 * MS
        spans.append(Span(trace, 1, None, 0, SERVER, begin, 500 * MS))
        for at, place in ((10, 2), (200, 10)):
            spans.append(Span(trace, place, 1, 0, CLIENT, begin + at * MS, 150 * MS))
            spans.append(Span(trace, place + 1, place, 1, SERVER, begin + (at + 1) * MS, 140 * MS, name="there"))
            for late, inner in ((5, place + 2), (60, place + 4)):
                started = begin + (at + late) * MS
                spans.append(Span(trace, inner, place + 1, 1, CLIENT, started, 40 * MS))
                spans.append(Span(trace, inner + 1, inner, 0, SERVER, started + MS, 30 * MS, name="back"))
        status += ["error"] * 13
    storms = found(RULE, subject_of_spans(spans, status=status))
    assert {storm.edges for storm in storms} == {("s0->s1",), ("s1->s0",)}
    assert {storm.evidence["path_amplification"] for storm in storms} == {2.0}


def test_calls_that_say_they_are_sent_again_are_retries() -> None:
    """Even where they overlap, since their sender must know."""
    (storm,) = attempts(10, 15, resend=True)
    assert storm.evidence["retries"] == 60


def test_calls_that_a_breaker_forbids_are_no_load() -> None:
    """They never arrive, however often they are tried again."""
    assert attempts(10, 20, 30, error="TimeoutError")
    assert attempts(10, 20, 30, error="CallNotPermittedException") == []


def test_traffic_that_grows_more_than_retries_explains_the_load() -> None:
    """Ten times the requests while half of them fail."""
    system = loaded(2, ((10.0, 6.0), (5.0, 60.0)), retries=1, backoff_ms=50)
    assert found(RULE, system.subject(2, Failing(service=system.callee, share=0.8, from_s=10, to_s=15))) == []
