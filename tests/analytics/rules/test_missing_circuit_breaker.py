"""A breaker is missing where the caller goes on calling, and not where calls stop, one way or another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analytics.rules.missing_circuit_breaker import RULE, Limits
from tests.analytics.loaded import STEADY, clean, loaded, numbers
from tests.analytics.oracle import CLIENT, SERVER, Span
from tests.analytics.planted import SEEDS, found
from tests.analytics.rules.test_any_spans import subject_of_spans
from tests.analytics.systems.simulator import Breaker, Failing, Slow

if TYPE_CHECKING:
    from analytics.findings import Finding

MS = 1_000_000


@pytest.mark.parametrize("seed", SEEDS)
def test_a_caller_that_goes_on_is_found(seed: int) -> None:
    """While its callee fails; the gateway, to which the failures are passed on, comes second."""
    system = loaded(seed)
    first, second = found(RULE, system.subject(seed, Failing(service=system.callee, share=0.9, from_s=3, to_s=9)))
    assert (first.edges, second.edges) == ((system.edge,), (f"gateway->{system.caller}",))
    assert first.evidence["failed_share"] == pytest.approx(0.9, abs=0.06)
    assert first.evidence["kept_share"] == pytest.approx(1, abs=0.05)
    assert first.severity == "warning"
    assert "opens when 10 % of the last 100 calls fail" in first.advice


@pytest.mark.parametrize("seed", SEEDS)
def test_calls_that_hang_are_as_bad(seed: int) -> None:
    """And worse, since callers are held up: critical."""
    system = loaded(seed)
    first, second = found(RULE, system.subject(seed, Slow(service=system.callee, ms=300, from_s=3, to_s=9)))
    assert (first.edges, second.edges) == ((system.edge,), (f"gateway->{system.caller}",))
    assert first.severity == "critical"
    assert first.evidence["failed_share"] == 0
    assert numbers(first)["slow_share"] > 0.9
    assert numbers(first)["healthy_p99_ms"] < 60


def test_it_is_the_last_hundred_calls_that_count() -> None:
    """At 58 % many a twenty of calls fails by less than half, and no hundred does."""
    system = loaded(3)
    first, _ = found(RULE, system.subject(3, Failing(service=system.callee, share=0.58, from_s=1, to_s=11)))
    assert first.edges == (system.edge,)
    assert first.evidence["failed_share"] == pytest.approx(0.58, abs=0.05)
    assert numbers(first)["calls"] > 300


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_breaker_is_seen_at_work(seed: int, silent: bool) -> None:  # noqa: FBT001
    """With spans for the calls that it forbids and without."""
    system = loaded(seed, breaker=Breaker(silent=silent), optional=True)
    assert found(RULE, system.subject(seed, Failing(service=system.callee, share=1, from_s=3, to_s=9))) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_what_never_failed_is_unknown(seed: int) -> None:
    """Nor what failed now and then."""
    system = loaded(seed)
    for subject in (clean(seed), system.subject(seed, Failing(service=system.callee, share=0.3))):
        (unknown,) = RULE.find(subject, Limits())
        assert unknown.status == "unknown"
        assert "3 of 3 edges never had 100 calls in a row" in unknown.title


def test_low_rates_are_judged_over_longer_times() -> None:
    """Two requests a second, for two minutes of failure."""
    system = loaded(1, ((300.0, 2.0),))
    findings = found(RULE, system.subject(1, Failing(service=system.callee, share=0.9, from_s=100, to_s=220)))
    assert findings[0].edges == (system.edge,)
    assert findings[0].evidence["outage_s"] == pytest.approx(120, rel=0.2)


def test_where_all_calls_failed_there_is_nothing_to_suggest() -> None:
    """But the breaker."""
    system = loaded(1, STEADY)
    first, _ = found(RULE, system.subject(1, Failing(service=system.callee, share=1)))
    assert first.evidence["healthy_p99_ms"] is None
    assert "usual" not in first.advice


def outside(count: int, error: str | None, **failing: range) -> list[Finding]:
    """What is said when as many requests call each of these external systems, which fail these calls at once."""
    spans: list[Span] = []
    status: list[str] = []
    errors: list[str | None] = []
    for trace in range(1, count + 1):
        begin = trace * 1000 * MS
        spans.append(Span(trace, 1, None, 0, SERVER, begin, 500 * MS))
        for place, (system, bad) in enumerate(failing.items()):
            length = MS // 10 if trace in bad else 20 * MS
            spans.append(Span(trace, place + 2, 1, 0, CLIENT, begin + 100 * place * MS, length, peer=system))
        status += ["ok", *("error" if trace in bad else "ok" for bad in failing.values())]
        errors += [None, *(error if trace in bad else None for bad in failing.values())]
    return RULE.find(subject_of_spans(spans, status=status, error_type=errors), Limits())


def test_outside_systems_never_answer_so_only_names_tell_of_breakers() -> None:
    """A failure at once may be theirs."""
    (missing,) = outside(400, None, x=range(100, 300))
    assert (missing.status, missing.edges) == ("found", ("s0->x",))
    assert outside(400, "CallNotPermitted", x=range(100, 300)) == []


def test_failures_of_several_edges_make_no_hundred() -> None:
    """The last forty of one system and the first forty of another."""
    (unknown,) = outside(120, "ConnectError", x=range(81, 121), y=range(1, 41))
    assert (unknown.status, unknown.evidence["edges_that_failed"]) == ("unknown", 0)


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        ("io.github.resilience4j.circuitbreaker.CallNotPermittedException", False),
        ("Polly.CircuitBreaker.BrokenCircuitException", False),
        ("pybreaker.CircuitBreakerError", False),
        ("sample.CircuitOpenError", False),
        (None, False),
        ("java.net.ConnectException", True),
        ("ConnectionRefusedError", True),
        ("503", True),
    ],
)
def test_fast_errors_without_an_answer_are_a_breakers_unless_the_network_says_so(
    error: str | None,
    missing: bool,  # noqa: FBT001
) -> None:
    """400 calls, of which the middle 200 fail at once and never reach the other service."""
    spans: list[Span] = []
    status: list[str] = []
    errors: list[str | None] = []
    for trace in range(1, 401):
        begin, bad = trace * 1000 * MS, 100 <= trace < 300
        spans.append(Span(trace, 1, None, 0, SERVER, begin, 50 * MS))
        spans.append(Span(trace, 2, 1, 0, CLIENT, begin + MS, MS // 10 if bad else 20 * MS, peer=None))
        spans += [] if bad else [Span(trace, 3, 2, 1, SERVER, begin + 2 * MS, 18 * MS)]
        status += ["ok", "error"] if bad else ["ok", "ok", "ok"]
        errors += [None, error] if bad else [None, None, None]
    subject = subject_of_spans(spans, status=status, error_type=errors, peer_service=["s1"] * len(spans))
    assert bool(found(RULE, subject)) is missing
