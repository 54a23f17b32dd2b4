"""The structural rules on a market that is simulated in time: parallel calls, queueing, and one service that fails."""

from __future__ import annotations

import pytest

from analytics.analysis import analyse
from analytics.coupling_index import coupling_index
from analytics.findings import Subject
from analytics.rules import boundary, cascade, cycle, hub, shared_fate, sync_chain
from analytics.schema import empty
from analytics.service_schema import RESOURCE_USE, SATURATION
from tests.analytics.planted import SEEDS, found
from tests.analytics.systems.market import MARKET
from tests.analytics.systems.simulator import Failing, Fault, simulate

SERVICES = ("auth", "catalog", "pricing", "stock", "cart", "search", "orders", "payment", "recommendation", "shipping")


def market(seed: int, *faults: Fault) -> Subject:
    """Some 480 requests in eight seconds."""
    run = simulate(MARKET, seed=seed, faults=faults)
    return Subject(analyse(run.traces), empty(RESOURCE_USE), empty(SATURATION))


@pytest.mark.parametrize(("seed", "service"), list(enumerate(SERVICES)))
def test_the_failing_service_is_where_it_begins(seed: int, service: str) -> None:
    """Each service once, failing three requests of ten, named by both rules about failures."""
    operation = "POST /quotes" if service == "shipping" else None
    subject = market(seed, Failing(service=service, share=0.3, operation=operation))
    worst, everybody = found(cascade.RULE, subject)[0], found(shared_fate.RULE, subject)[0]
    assert worst.evidence["origin"] == everybody.evidence["weakest"] == everybody.services[0] == service
    assert worst.severity == everybody.severity == "critical"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_market_that_works_is_no_monolith(seed: int) -> None:
    """Three hops, no circle, no hub, and nothing that fails; many services that are needed at once, though."""
    subject = market(seed)
    for rule in (sync_chain, cascade, cycle, hub, boundary):
        assert not found(rule.RULE, subject)
    assert {finding.severity for finding in found(shared_fate.RULE, subject)} == {"warning"}
    index = coupling_index(subject)
    assert index.grade == "moderate"
    assert index.lowers
