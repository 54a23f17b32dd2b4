"""Whatever the spans look like, structural rules and index say something finite that can be written down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from analytics.analysis import analyse
from analytics.coupling_index import coupling_index
from analytics.findings import Subject, describe_finding
from analytics.rules import (
    boundary,
    cascade,
    cycle,
    hot_instance,
    hub,
    lock_step_deploy,
    queueing,
    saturated_resource,
    shared_fate,
    sync_chain,
    throughput_knee,
)
from analytics.schema import LINKS, empty
from analytics.service_schema import RESOURCE_USE, SATURATION
from analytics.source import Traces
from tests.analytics.frames import FORESTS, PATIENT, resource_frame, span_frame
from tests.analytics.oracle import Span

KEEN = {
    sync_chain.RULE: sync_chain.Limits(depth=1, critical_depth=2, share=0.0, traces=1),
    cascade.RULE: cascade.Limits(failures=1, rise=-1.0, hops=1),
    shared_fate.RULE: shared_fate.Limits(blast_radius=0.1, callers=1, dependencies=1, traces=1),
    cycle.RULE: cycle.Limits(calls=1, re_entries=1, traces=1),
    hub.RULE: hub.Limits(outlier=-1.0, fan_in=1, fan_out=1, services=1),
    lock_step_deploy.RULE: lock_step_deploy.Limits(deploys=1, share=0.0, lift=0.0, chance=1.0),
    saturated_resource.RULE: saturated_resource.Limits(minutes=1),
    throughput_knee.RULE: throughput_knee.Limits(requests=1, rise=0.0),
    hot_instance.RULE: hot_instance.Limits(ratio=0.0, requests=1),
    queueing.RULE: queueing.Limits(0.0, 0.0, 0.0, windows=1, calls=1, load_range=0.0, window_s=1e-9),
    boundary.RULE: boundary.Limits(share=0.1, calls_per_trace=1.0, part_share=0.0, traces=1),
}
"""Limits so low that the rules find something wherever they can."""


@settings(PATIENT, max_examples=40)
@given(FORESTS)
def test_findings_are_finite(spans: list[Span]) -> None:
    """Of duplicates, orphans, circles of parents, traces without a root and with several."""
    subject = subject_of_spans(spans, status=["error" if s.id % 2 else "unset" for s in spans])
    json.dumps(coupling_index(subject).describe(), allow_nan=False)
    for rule, keen in KEEN.items():
        for limits in (keen, rule.limits()):
            for finding in rule.find(subject, limits):
                json.dumps(describe_finding(finding), allow_nan=False)
                assert 0 <= finding.score <= 1
                assert finding.title
                assert len(finding.trace_ids) <= 5
                assert finding.advice or finding.status == "unknown"


@pytest.mark.parametrize("null", ["span_name", "resource", "status", "kind", "parent_span_id"])
def test_columns_may_be_null(null: str) -> None:
    """Every one that a sender can leave out."""
    spans = [Span(1, 1, None, 0, 2, 0, 9), Span(1, 2, 1, 0, 3, 1, 5), Span(1, 3, 2, 1, 2, 2, 3)]
    subject = subject_of_spans(spans, **{null: [None for _ in spans]})
    coupling_index(subject)
    for rule, limits in KEEN.items():
        rule.find(subject, limits)


def subject_of_spans(spans: list[Span], **columns: Any) -> Subject:
    """What rules look at."""
    traces = Traces(span_frame(spans, **columns), resource_frame(), empty(LINKS))
    return Subject(analyse(traces), empty(RESOURCE_USE), empty(SATURATION))
