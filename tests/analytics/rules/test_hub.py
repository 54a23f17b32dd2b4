"""A service in the middle of everything stands out; gateways and libraries of data do not."""

from __future__ import annotations

import pytest

from analytics.rules.hub import RULE, Limits
from tests.analytics.call_trees import Call, chain, subject_of
from tests.analytics.planted import SEEDS, clean_requests, found, mixed
from tests.analytics.shop import STATES, shop

CALLERS = ("web", "mobile", "partners", "office")
CALLEES = ("users", "mails", "files", "rates")


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_hub_is_found(seed: int, mode: str) -> None:
    """Whether it is waited for or not."""
    planted = [Call(caller, (Call("core", tuple(map(Call, CALLEES)), mode=mode),)) for caller in CALLERS]
    (finding,) = found(RULE, subject_of(mixed(seed, *planted * 3)))
    assert finding.services == ("core",)
    assert (finding.evidence["fan_in"], finding.evidence["fan_out"]) == (4, 4)
    assert finding.evidence["instability"] == 0.5
    assert set(finding.edges) == {f"{name}->core" for name in CALLERS} | {f"core->{name}" for name in CALLEES}
    assert finding.trace_ids


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """Gateways have no callers, and backends few."""
    assert not found(RULE, subject_of(clean_requests(seed)))


def test_gateways_and_shared_services_are_no_hubs() -> None:
    """Many callees or many callers alone are a role."""
    fan = [Call("gateway", tuple(Call(name) for name in CALLERS))]
    shared = [chain(name, "users") for name in CALLERS]
    assert RULE.find(subject_of(fan + shared), Limits()) == []


def test_where_all_are_hubs_nobody_stands_out() -> None:
    """Six services that all call each other are a circle, and no hub."""
    names = "abcdef"
    requests = [Call(name, tuple(Call(other) for other in names if other != name)) for name in names]
    assert RULE.find(subject_of(requests), Limits()) == []


def test_with_few_services_it_is_unknown() -> None:
    """Four services that call each other have nobody to be compared with."""
    requests = [Call(name, tuple(Call(other) for other in "abcd" if other != name)) for name in "abcd"]
    (finding,) = RULE.find(subject_of(requests), Limits())
    assert (finding.status, finding.evidence) == ("unknown", {"services": 4, "services_limit": 5})


def test_nothing_is_said_of_nothing() -> None:
    """No services."""
    assert RULE.find(subject_of([]), Limits()) == []


@pytest.mark.parametrize("state", STATES)
def test_the_shop_has_none(state: str) -> None:
    """No service of it has three callers and three callees."""
    assert RULE.find(shop(state), Limits()) == []
