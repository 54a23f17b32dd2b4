"""The analysis finds in the recorded shop what its truth files say, which were written before anything was recorded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from analytics.graph import service_edges, without_queues
from analytics.resources import resource_minutes
from analytics.saturation import resource_use, service_saturation
from analytics.service import TraceAnalysis
from analytics.sides import ALL_TIME
from analytics.source import read_metrics
from collector.store.protocol import TraceWindow
from tests.analytics.shop import STATES, shop, shop_store, truth

if TYPE_CHECKING:
    from analytics.analysis import Analysed
    from collector.store.protocol import Store

Edge = tuple[str, ...]

NS = 10**9
RESOURCES = {"db.client.connection": "db_pool"}
"""What the analysis calls the resources of the truth."""
SETTLING_S = 5
"""How long the recorded shop takes to feel a fault."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One state's recording, the analysis of all of it, and what is true of it."""

    store: Store
    analysed: Analysed
    truth: dict[str, Any]


def load(state: str) -> Sample:
    """The sample of a state."""
    return Sample(shop_store(state), shop(state).analysed, truth(state))


@pytest.fixture(params=STATES)
def sample(request: pytest.FixtureRequest) -> Sample:
    """Each state in turn."""
    return load(request.param)


def edges_of(frame: pl.DataFrame, *columns: str) -> list[Edge]:
    """These columns of EDGES, sorted, without what calls come from users: those the truth leaves out."""
    return sorted(frame.filter(pl.col("caller_type") != "user").select(*columns).cast(pl.String).rows())


def seconds(sample: Sample, begin: float, end: float) -> TraceWindow:
    """A window in seconds since the first trace."""
    start = sample.analysed.forest.traces["start_unix_nano"].min()
    assert isinstance(start, int)
    return TraceWindow(start + round(begin * NS), start + round(end * NS))


def side(window: TraceWindow) -> str:
    """A window as a side of a comparison."""
    return f"{window.begin / NS:.3f}..{window.end / NS:.3f}"


def compared(sample: Sample, other: Sample, before: str = "", after: str = "") -> list[dict[str, Any]]:
    """Who is to blame for what changed."""
    culprits: list[dict[str, Any]] = TraceAnalysis().diff((sample.store, before), (other.store, after))["culprits"]
    return culprits


def test_services_call_each_other_as_configured(sample: Sample) -> None:
    """In the truth's mode and by its protocol, none is missing and none is too much."""
    direct = service_edges(without_queues(sample.analysed.graph), sample.analysed.weights)
    found = edges_of(direct.filter(pl.col("callee_type") == "service"), "caller", "callee", "mode", "protocol")
    assert found == sorted((e["caller"], e["callee"], e["mode"], e["protocol"]) for e in sample.truth["edges"])


def test_messages_go_through_the_queues_of_the_truth(sample: Sample) -> None:
    """From each sender to the queue, and from there to each consumer."""
    queues = pl.any_horizontal(pl.col("caller_type", "callee_type") == "queue")
    sent = {(e["caller"], e["queue"], "async") for e in sample.truth["edges"] if e["mode"] == "async"}
    taken = {(e["queue"], e["callee"], "async") for e in sample.truth["edges"] if e["mode"] == "async"}
    assert edges_of(sample.analysed.edges.filter(queues), "caller", "callee", "mode") == sorted(sent | taken)


def test_databases_are_used_by_whom_the_truth_names(sample: Sample) -> None:
    """One edge a service and database; where it listens is not in the truth."""
    found = edges_of(sample.analysed.edges.filter(pl.col("callee_type") == "database"), "caller", "callee", "mode")
    named = [(caller, *re.split(r" .*/", callee), mode) for caller, callee, mode in found]
    databases = sample.truth["databases"]
    assert named == sorted((user, d["system"], d["namespace"], "sync") for d in databases for user in d["services"])


def test_nothing_else_was_called(sample: Sample) -> None:
    """Users call the gateway alone, no call lacks an answer, no callee is guessed, and all nodes are the truth's."""
    edges = sample.analysed.edges
    assert edges.filter(pl.col("caller_type") == "user")["callee"].to_list() == ["gateway"]
    graph = sample.analysed.graph
    assert (graph.unnamed_calls, graph.unknown_links, edges["inferred_calls"].sum()) == (0, 0, 0)
    services = sample.analysed.nodes.filter(pl.col("type") == "service")["name"].to_list()
    assert services == sorted(service["name"] for service in sample.truth["services"])
    assert "external" not in sample.analysed.nodes["type"].cast(pl.String).to_list()


def test_no_edge_waits_for_less_than_nothing(sample: Sample) -> None:
    """Also where callers gave up before their callees did."""
    assert sample.analysed.edges["gap_ms"].drop_nulls().min() > 0  # type: ignore[operator]


def test_the_service_that_broke_is_to_blame_for_the_incident() -> None:
    """The monolith before and on its bad day differ by what was injected."""
    (broken,) = {fault["service"] for fault in load("incident").truth["faults"]}
    first = compared(load("monolith"), load("incident"))[0]
    assert (first["service"], first["name"]) == (broken, broken)
    assert re.search(r"its fullest resource went from [\d.]+ % to 100 % full, now db_pool: ", first["explanation"])


def test_a_resource_that_filled_up_a_little_is_no_cause() -> None:
    """The databases of both shops have room, whatever else is slow."""
    changed = compared(load("decoupled"), load("monolith"))
    assert changed
    assert not [culprit for culprit in changed if "went from" in culprit["explanation"]]


def test_each_slow_fault_is_named_within_its_recording(sample: Sample) -> None:
    """What was made slow is to blame for the time of the fault against the time before any fault."""
    faults = sample.truth["faults"]
    calm = side(seconds(sample, 0, min([fault["from_s"] for fault in faults], default=0) - SETTLING_S))
    for fault in faults:
        if fault["kind"] == "slow":
            ill = side(seconds(sample, fault["from_s"], fault["to_s"]))
            assert compared(sample, sample, calm, ill)[0]["service"] == fault["service"]


def test_the_starved_resource_is_the_scarcest() -> None:
    """Of all services and resources, over the whole incident and in each of its phases."""
    incident = load("incident")
    starved = incident.truth["starved_resources"]
    phases = [seconds(incident, one["from_s"], one["to_s"]) for one in starved]
    for window, one in [(ALL_TIME, starved[0]), *zip(phases, starved, strict=True)]:
        use = resource_use(resource_minutes(read_metrics(incident.store, window, {})))
        assert use.select("service", "resource").row(0) == (one["service"], RESOURCES[one["resource"]])
        worst = service_saturation(use).row(0, named=True)
        assert (worst["service"], worst["severity"]) == (one["service"], "critical")
        assert worst["saturation_source"].startswith(RESOURCES[one["resource"]])
