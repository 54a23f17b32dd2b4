"""Timeouts show in failures of equal length and in servers that outlive their clients; where none shows, waits do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analytics.rules.missing_timeout import RULE, Limits, _cluster
from tests.analytics.loaded import clean, loaded, numbers
from tests.analytics.oracle import CLIENT, SERVER, Span
from tests.analytics.planted import SEEDS, found
from tests.analytics.rules.test_any_spans import subject_of_spans
from tests.analytics.systems.simulator import Call, Failing, Slow

if TYPE_CHECKING:
    from analytics.findings import Finding

MS = 1_000_000


@pytest.mark.parametrize("seed", SEEDS)
def test_unbounded_waits_are_found(seed: int) -> None:
    """Where they begin first, then with those who wait for the waiting."""
    system = loaded(seed)
    first, second = found(RULE, system.subject(seed, Slow(service=system.callee, ms=2000, from_s=6, to_s=8)))
    assert (first.edges, second.edges) == ((system.edge,), (f"gateway->{system.caller}",))
    assert first.evidence["longest_ms"] == pytest.approx(2010, abs=30)
    assert numbers(first)["suggested_timeout_ms"] < 100
    assert first.severity == "critical"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_timeout_is_seen_at_work(seed: int) -> None:
    """Nothing waits then; but the callee works on for callers that have gone."""
    system = loaded(seed, timeout_ms=300)
    (wasted,) = found(RULE, system.subject(seed, Slow(service=system.callee, ms=2000, from_s=6, to_s=8)))
    assert wasted.edges == (system.edge,)
    assert wasted.evidence["timeout_ms"] == pytest.approx(300, rel=0.01)
    assert wasted.evidence["longest_after_ms"] == pytest.approx(1710, abs=30)
    assert wasted.severity == "warning"


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_long_wait_nothing_is_known(seed: int) -> None:
    """Whether calls fail fast or not at all."""
    system = loaded(seed)
    for subject in (clean(seed), system.subject(seed, Failing(service=system.callee, share=0.5))):
        (unknown,) = RULE.find(subject, Limits())
        assert (unknown.status, unknown.evidence["edges_with_timeout"]) == ("unknown", 0)


def test_a_callee_with_a_longer_timeout_than_its_caller_is_named() -> None:
    """The gateway gives up at 200 ms, its callee at 600."""
    system = loaded(3, timeout_ms=600)
    (gateway,) = (service for service in system.system.services if service.name == "gateway")
    steps = tuple(
        replace(step, timeout_ms=200) if isinstance(step, Call) and step.service == system.caller else step
        for step in gateway.operations["GET /"]
    )
    system = system.changed("gateway", operations={"GET /": steps})
    wasted = found(RULE, system.subject(3, Slow(service=system.callee, ms=2000, from_s=6, to_s=8)))
    outer = next(finding for finding in wasted if finding.edges[0] == f"gateway->{system.caller}")
    assert outer.edges == (f"gateway->{system.caller}", system.edge)
    assert outer.evidence["callee_timeout_ms"] == pytest.approx(600, rel=0.01)
    assert f"Make the timeouts of {system.edge} (600 ms) shorter than the 200 ms" in outer.advice


def test_a_wait_that_a_timeout_ended_is_not_without_a_bound() -> None:
    """However long."""
    system = loaded(4, timeout_ms=1500)
    findings = found(RULE, system.subject(4, Slow(service=system.callee, ms=4000, from_s=6, to_s=8)))
    assert [finding.title for finding in findings if finding.edges[0] == system.edge] == [
        f"{system.callee} works on after {system.caller} gave up at 1.5 s"
    ]


def asked(*calls: tuple[str, float, float | None, str | None]) -> list[Finding]:
    """What is said of calls, one a second: operation, milliseconds of client and server, and error."""
    spans: list[Span] = []
    errors: list[str | None] = []
    for number, (operation, client, server, error) in enumerate(calls):
        begin = number * 10_000 * MS
        spans.append(Span(number + 1, 1, None, 0, SERVER, begin, int(9000 * MS)))
        spans.append(Span(number + 1, 2, 1, 0, CLIENT, begin + MS, int(client * MS), name=operation))
        errors += [None, error]
        if server is not None:
            spans.append(Span(number + 1, 3, 2, 1, SERVER, begin + 2 * MS, int(server * MS), name=operation))
            errors.append(None)
    status = ["ok" if error is None else "error" for error in errors]
    subject = subject_of_spans(spans, status=status, error_type=errors, peer_service=["s1"] * len(spans))
    return RULE.find(subject, Limits())


def test_a_wait_is_long_by_what_is_usual() -> None:
    """At a p99 of 200 ms seven and a half times as much is not, twelve times as much is."""
    usual = [("op", 200.0, 198.0, None)] * 200
    assert [finding.status for finding in asked(*usual, *[("op", 1500.0, 1498.0, None)] * 8)] == ["unknown"]
    (finding,) = asked(*usual, *[("op", 2400.0, 2398.0, None)] * 8)
    assert (finding.status, finding.evidence["waits"]) == ("found", 8)
    assert finding.evidence["suggested_timeout_ms"] == 400


def test_an_operation_that_always_takes_long_waits_for_nothing() -> None:
    """Though it is rare."""
    page, export = [("GET /list", 10.0, 9.0, None)], [("GET /export", 3000.0, 2999.0, None)]
    for pages, exports in ((19, 12), (150, 6)):
        assert [finding.status for finding in asked(*[*page * pages, *export] * exports)] == ["unknown"]


def test_what_is_slow_now_and_then_is_not_what_hangs_for_a_while() -> None:
    """One call in thirty or ninety takes 3 s: evenly, it misses a cache; all at one time, it hung."""
    usual, slow = [("op", 20.0, 19.0, None)], [("op", 3000.0, 2999.0, None)]
    for others in (29, 89):
        assert [finding.status for finding in asked(*[*usual * others, *slow] * 10)] == ["unknown"]
    (finding,) = asked(*usual * 150, *slow * 10, *usual * 140)
    assert (finding.status, finding.evidence["waits"], finding.evidence["suggested_timeout_ms"]) == ("found", 10, 40)


def test_a_timeout_leaves_time_for_the_slowest_operation() -> None:
    """Twice the p99 of the edge, unless that would end what takes longer in good times."""
    fast, slow, hung = [("GET", 10.0, 9.0, None)], [("PUT", 100.0, 99.0, None)], [("PUT", 6000.0, 5999.0, None)]
    (finding,) = asked(*[*fast * 199, *slow] * 110, *hung * 8)
    assert finding.evidence["suggested_timeout_ms"] == 200
    assert "twice the usual p99 of its slowest operation (100 ms)" in finding.advice
    (finding,) = asked(*[*fast, *slow] * 110, *hung * 8)
    assert "a timeout of 200 ms, twice its usual p99 (100 ms)" in finding.advice


def test_what_a_breaker_forbids_is_no_timeout() -> None:
    """Though it takes equally long each time; nor is an answer that was told a moment late."""
    (forbidden,) = asked(*[("op", 0.1, None, "CallNotPermitted")] * 50)
    late = asked(*[("op", 20.0, 19.0, None)] * 100, *[("op", 10.0 + n, 12.0 + n, "500") for n in range(6)])
    assert forbidden.evidence["edges_with_timeout"] == late[0].evidence["edges_with_timeout"] == 0


@pytest.mark.parametrize(
    ("failed", "others", "bound"),
    [
        ([1000.0] * 5, [10.0] * 500, 1000.0),
        ([985.0, 1000.0, 1000.0, 1000.0, 1019.0], [10.0] * 50, 1000.0),
        ([1000.0] * 4, [10.0] * 500, None),
        ([1000.0] * 9, [10.0] * 50 + [5000.0] * 2, None),
        ([1000.0] * 20, [10.0] * 50 + [5000.0] * 2, 1000.0),
        ([500.0, 600.0, 700.0, 800.0, 900.0, 1000.0], [10.0] * 50, None),
        ([0.0] * 50, [0.0] * 50, None),
        ([], [], None),
    ],
)
def test_a_cluster_is_where_failures_end(failed: list[float], others: list[float], bound: float | None) -> None:
    """Equally long to 2 % either way, five at least, and hardly a call goes beyond."""
    assert _cluster(np.array(failed), np.array(failed + others), Limits()) == bound
