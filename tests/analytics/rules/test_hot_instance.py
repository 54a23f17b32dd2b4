"""An instance that stands out by load or by latency is found; operations, modes and deployments make none hot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest

from analytics.analysis import analyse
from analytics.findings import Subject
from analytics.rules.hot_instance import RULE, Limits
from analytics.schema import LINKS, RESOURCES, SPANS, conform, empty
from analytics.service_schema import RESOURCE_USE, SATURATION
from analytics.source import Traces
from tests.analytics.call_trees import Call, subject_of
from tests.analytics.planted import SEEDS, found
from tests.analytics.ramped import loaded, subject_of_run, system
from tests.analytics.systems.simulator import Slow, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

STEADY = ((20.0, 60.0),)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_instance_with_most_of_the_load_is_found(seed: int) -> None:
    """With its share, and what an even share is."""
    (finding,) = found(RULE, loaded(seed, ramp=STEADY, shares=(0.2, 0.8)))
    assert (finding.services, finding.edges) == (("stock",), ("front->stock",))
    assert (finding.evidence["instance"], finding.evidence["instances"]) == ("stock-1", 2)
    assert finding.evidence["load_ratio"] == pytest.approx(4, rel=0.2)
    assert "instead of 50 %" in finding.title
    assert "takes 3" in finding.advice
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slow_instance_is_found(seed: int) -> None:
    """Though its load is like its peers', which the advice says."""
    (finding,) = found(RULE, loaded(seed, Slow(service="stock", ms=30, instance=0), ramp=STEADY, instances=3))
    assert (finding.evidence["instance"], finding.severity) == ("stock-0", "critical")
    assert float(str(finding.evidence["latency_ratio"])) > 4
    assert finding.title.startswith("stock-0 of stock takes ")
    assert "start another in its place" in finding.advice


def requests(
    service: str, instance: str | None, times_ms: Sequence[float], begin_s: float = 0, name: str = "op"
) -> pl.DataFrame:
    """A request every tenth of a second, each of which takes so long."""
    return pl.DataFrame(
        {
            "service": service,
            "instance": instance,
            "span_name": name,
            "start_unix_nano": [int((begin_s + 0.1 * number) * 1e9) for number in range(len(times_ms))],
            "duration_ns": [int(ms * 1e6) for ms in times_ms],
        },
        schema_overrides={"instance": pl.String},
    )


def subject(*frames: pl.DataFrame) -> Subject:
    """Requests as traces of one span."""
    rows = pl.concat(frames)
    who = rows.select("service", "instance").unique(maintain_order=True).with_row_index("resource")
    spans = rows.join(who, on=["service", "instance"], nulls_equal=True, maintain_order="left").with_columns(
        trace_high=pl.lit(7), trace_low=pl.int_range(1, pl.len() + 1), span_id=pl.lit(1), kind=pl.lit("server")
    )
    traces = Traces(conform(spans, SPANS), conform(who, RESOURCES), empty(LINKS))
    return Subject(analyse(traces), empty(RESOURCE_USE), empty(SATURATION))


def test_slow_operations_make_no_instance_slow() -> None:
    """One that gets the slow ones only, as a reader beside a writer."""
    made = subject(
        requests("a", "a-1", [5.0] * 120 + [50.0] * 80, name="fast"),
        requests("a", "a-2", [50.0] * 200, name="slow"),
    )
    assert RULE.find(made, Limits()) == []


def test_a_median_between_two_modes_proves_nothing() -> None:
    """Half of the requests hit a cache, a little more here, a little less there."""
    hits, misses = [2.0], [40.0]
    made = subject(requests("a", "a-1", hits * 105 + misses * 95), requests("a", "a-2", hits * 95 + misses * 105))
    assert RULE.find(made, Limits()) == []
    assert found(RULE, subject(requests("a", "a-1", hits * 200), requests("a", "a-2", misses * 200)))


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([requests("a", "a-1", [5] * 200), requests("a", "a-2", [50] * 200, begin_s=100)], "at the same time"),
        ([requests("a", "a-1", [5] * 99), requests("a", "a-2", [50] * 99)], "the busiest has 99"),
        ([requests("a", None, [5] * 200), requests("b", None, [5] * 200)], "a and b do not tell their instances apart"),
    ],
)
def test_too_little_to_compare_is_unknown(frames: list[pl.DataFrame], says: str) -> None:
    """One after the other, too few requests, or instances without a name."""
    (finding,) = RULE.find(subject(*frames), Limits())
    assert finding.status == "unknown"
    assert says in finding.title


def test_single_instances_have_no_peers() -> None:
    """Nothing can be balanced."""
    assert RULE.find(subject(requests("a", "a-1", [5] * 200), requests("b", "b-1", [5] * 200)), Limits()) == []
    assert RULE.find(subject_of([]), Limits()) == []


def test_limits_are_the_rule_s_own() -> None:
    """A keener one finds what the default leaves."""
    made = subject(requests("a", "a-1", [5] * 90), requests("a", "a-2", [8] * 90))
    assert not found(RULE, made)
    (finding,) = RULE.find(made, Limits(ratio=1.5, requests=50))
    assert (finding.evidence["ratio_limit"], finding.evidence["latency_ratio"]) == (1.5, 1.6)


def test_grpc_connections_are_named_as_what_they_are() -> None:
    """Its callers keep one connection each."""
    made = system(0, STEADY, shares=(0.2, 0.8))
    front, stock = made.services
    run = simulate(replace(made, services=(front, replace(stock, protocol="grpc"))), seed=0)
    (finding,) = found(RULE, subject_of_run(run))
    assert "front call it by gRPC" in finding.advice


def test_versions_of_calls_are_all_left_alone() -> None:
    """A system of single instances without names."""
    (finding,) = RULE.find(subject_of([Call("a")] * 5), Limits())
    assert finding.status == "unknown"
