"""A load from which latency bends is found with the service that bends; where load tells nothing that is said."""

from __future__ import annotations

import polars as pl
import pytest

from analytics.load_points import load_points
from analytics.rules.hot_instance import resources_of
from analytics.rules.throughput_knee import RULE, Limits
from analytics.schema import empty
from analytics.service_schema import LOAD_POINTS
from tests.analytics.call_trees import subject_of
from tests.analytics.planted import SEEDS, found
from tests.analytics.ramped import LONG_RAMP, loaded


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_knee_is_found(seed: int) -> None:
    """One worker that needs 13 ms can serve 77 a second, which is the ramp's end; the front bends only with it."""
    (finding,) = found(RULE, loaded(seed, ms=13, ramp=LONG_RAMP, workers=1, instances=1))
    assert finding.services[0] == "stock"
    assert finding.edges == ("front->stock",)
    assert 45 < float(str(finding.evidence["knee_load"])) < 70
    assert float(str(finding.evidence["rise"])) > 3
    assert finding.evidence["needed_instances"] == 2
    assert "Run 2 instances of stock instead of 1" in finding.advice
    assert len(finding.trace_ids) == 5


def test_even_load_is_unknown() -> None:
    """Whatever its latency; the service with most levels is told of."""
    (finding,) = RULE.find(loaded(0, ramp=((60.0, 40.0),)), Limits())
    assert (finding.status, finding.evidence["services_unknown"]) == ("unknown", 2)
    assert "not enough load levels" in finding.title


def test_few_requests_are_unknown() -> None:
    """A p99 needs a hundred."""
    (finding,) = RULE.find(loaded(0, ramp=((20.0, 2.0),)), Limits())
    assert finding.evidence["windows"] == 0
    assert RULE.find(subject_of([]), Limits()) == []


def test_points_are_an_instance_s_and_a_caller_s() -> None:
    """Rates add up to the requests, windows hold a hundred, and time is what the caller saw."""
    subject = loaded(1, ms=13, ramp=LONG_RAMP, workers=1, instances=1)
    analysed = subject.analysed
    points = load_points(analysed.graph, resources_of(analysed), analysed.weights)
    assert points.schema == empty(LOAD_POINTS).schema
    assert points["requests"].to_numpy().min() >= 100
    counted = points["rate"] * points["instances"] * points["width_s"]
    assert (counted - points["requests"]).abs().to_numpy().max() < 1e-6
    stock = points.filter(pl.col("service_code") == 1)
    assert stock["p99_ms"].to_numpy().max() > 5 * 13, "its one worker is never so slow: its queue is"
