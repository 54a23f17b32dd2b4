"""Whatever the spans look like, rules about resilience and saturation say something finite that can be written down."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings

from analytics.analysis import analyse
from analytics.findings import Rule, Subject, describe_finding
from analytics.rules import (
    missing_circuit_breaker,
    missing_timeout,
    retry_storm,
)
from analytics.schema import LINKS, RESOURCES, SPANS, empty
from analytics.service_schema import RESOURCE_USE, SATURATION
from analytics.source import Traces
from tests.analytics.frames import FORESTS, PATIENT
from tests.analytics.loaded import clean, loaded
from tests.analytics.oracle import Span
from tests.analytics.rules.test_any_spans import subject_of_spans
from tests.analytics.rules.test_damaged_scripts import damaged
from tests.analytics.systems.market import MARKET
from tests.analytics.systems.simulator import Failing, Slow, simulate

KEEN = {
    retry_storm.RULE: retry_storm.Limits(amplification=1.0, error_rate=0.0, retries=0),
    missing_circuit_breaker.RULE: missing_circuit_breaker.Limits(
        calls=1, bad_share=0.0, slow_times=0.1, kept_share=0.0
    ),
    missing_timeout.RULE: missing_timeout.Limits(cluster=1, times=0.1, wait_ms=0.0, waits=1, after_ms=0.0, calls=1),
}
"""Limits so low that the rules find something wherever they can."""


def check(subject: Subject) -> set[Rule]:
    """Try all rules, and return those that found something."""
    found = set()
    for rule, keen in KEEN.items():
        for limits in (keen, rule.limits()):
            for finding in rule.find(subject, limits):
                json.dumps(describe_finding(finding), allow_nan=False)
                assert 0 <= finding.score <= 1
                assert len(finding.trace_ids) <= 5
                assert "nan" not in f"{finding.title} {finding.advice}".lower().split()
                assert finding.advice or finding.status == "unknown"
                found |= {rule} if finding.status == "found" else set()
    return found


@settings(PATIENT, max_examples=40)
@given(FORESTS)
def test_findings_are_finite(spans: list[Span]) -> None:
    """Of duplicates, orphans, circles of parents, traces without a root and with several."""
    said = {
        "status": ["error" if s.id % 2 else "unset" for s in spans],
        "resend_count": [s.id % 3 - 1 for s in spans],
        "error_type": [None if s.id % 3 else "CallNotPermittedException" for s in spans],
    }
    check(subject_of_spans(spans, **said))


@pytest.mark.parametrize(
    "null", ["span_name", "resource", "status", "kind", "parent_span_id", "error_type", "resend_count"]
)
def test_columns_may_be_null(null: str) -> None:
    """Every one that a sender can leave out."""
    spans = [Span(1, 1, None, 0, 2, 0, 9), Span(1, 2, 1, 0, 3, 1, 5), Span(1, 3, 2, 1, 2, 2, 3)]
    check(subject_of_spans(spans, **{null: [None for _ in spans]}))


def test_no_spans_have_nothing() -> None:
    """Neither found nor unknown."""
    nothing = Traces(empty(SPANS), empty(RESOURCES), empty(LINKS))
    subject = Subject(analyse(nothing), empty(RESOURCE_USE), empty(SATURATION))
    assert [finding for rule in KEEN for finding in rule.find(subject, rule.limits())] == []


@pytest.mark.parametrize("seed", range(10))
def test_damaged_spans_are_survived(seed: int) -> None:
    """Of a system in which most rules find something, with columns missing, null or mixed up."""
    system = loaded(seed, retries=1)
    faults = (
        Failing(service=system.callee, share=0.9, from_s=4, to_s=7),
        Slow(service=system.callee, ms=1500, from_s=9),
    )
    traces = simulate(system.system, seed=seed, faults=faults).traces
    assert len(check(Subject(analyse(traces), clean(seed).resources, empty(SATURATION)))) == 3
    spans = damaged(traces.spans, seed)
    check(Subject(analyse(Traces(spans, traces.resources, traces.links)), empty(RESOURCE_USE), empty(SATURATION)))


@pytest.mark.parametrize("seed", range(5))
def test_a_market_that_works_has_no_such_finding(seed: int) -> None:
    """Twelve services, parallel calls, messages and shared databases."""
    run = simulate(MARKET, seed=seed)
    subject = Subject(analyse(run.traces), empty(RESOURCE_USE), empty(SATURATION))
    findings = [finding for rule in KEEN for finding in rule.find(subject, rule.limits())]
    assert {finding.status for finding in findings} == {"unknown"}
    assert np.unique([finding.rule for finding in findings]).size == len(findings)
