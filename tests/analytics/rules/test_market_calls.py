"""Rules about calls and data say of a simulated market what it was built with, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from analytics.analysis import analyse
from analytics.findings import Subject
from analytics.rules import (
    async_candidate,
    chatty_call,
    distributed_lock,
    distributed_transaction,
    incomplete_saga,
    shared_database,
)
from analytics.schema import empty
from analytics.service_schema import RESOURCE_USE, SATURATION
from tests.analytics.planted import found
from tests.analytics.systems.market import MARKET, USERS, node_name
from tests.analytics.systems.simulator import Call, Repeat, System, simulate


@cache
def market(seed: int) -> Subject:
    """The market as it is."""
    return _subject(MARKET, seed)


def _subject(system: System, seed: int) -> Subject:
    return Subject(analyse(simulate(system, seed=seed).traces), empty(RESOURCE_USE), empty(SATURATION))


def _asking_each(times: int) -> System:
    """The market whose search asks pricing for each row."""
    loop = Repeat(times, (Call("pricing", "pricing.List"),))
    search = next(service for service in MARKET.services if service.name == "search")
    asking = replace(search, operations={"GET /search": (*search.operations["GET /search"], loop)})
    services = tuple(asking if service is search else service for service in MARKET.services)
    return replace(MARKET, services=services)


@pytest.mark.parametrize("seed", range(5))
def test_shared_databases_are_those_with_several_users(seed: int) -> None:
    """Of six databases two."""
    wanted = {node_name(name): tuple(sorted(users)) for name, users in USERS.items() if len(users) > 1}
    findings = found(shared_database.RULE, market(seed))
    assert {finding.title.split(" database ")[1]: finding.services for finding in findings} == wanted


@pytest.mark.parametrize("seed", range(5))
def test_nothing_else_is_more_than_information(seed: int) -> None:
    """Its calls are few, its locks short, its transactions local; nothing fails."""
    for rule in (chatty_call, async_candidate, distributed_transaction, incomplete_saga):
        assert found(rule.RULE, market(seed)) == []
    locks = found(distributed_lock.RULE, market(seed))
    assert {(finding.services, finding.severity) for finding in locks} == {(("stock",), "info"), (("orders",), "info")}


def test_a_loop_that_is_built_in_is_found() -> None:
    """Search asks pricing ten times."""
    (finding,) = found(chatty_call.RULE, _subject(_asking_each(10), 0))
    assert finding.edges == ("search->pricing",)
    assert finding.evidence["calls_mean"] == 10
