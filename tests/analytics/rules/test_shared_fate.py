"""Endpoints that need many things at once, and services that everybody waits for."""

from __future__ import annotations

import pytest

from analytics.coupling import hard_needs, series_availability
from analytics.rules.shared_fate import RULE, Limits
from tests.analytics.call_trees import Call, subject_of
from tests.analytics.planted import SEEDS, clean_requests, found, mixed
from tests.analytics.shop import shop, truth

PARTS = ("users", "stock", "prices", "taxes", "mails")


def order(failing: str | None = None) -> Call:
    """A request that needs five services, one of which may fail it."""
    parts = tuple(Call(name, failed=name == failing) for name in PARTS)
    return Call("shop", parts, operation="POST /orders", failed=failing is not None)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_endpoint_is_found(seed: int) -> None:
    """With all that it needs, the one that fails first, and how often all of them work."""
    requests = [order("taxes")] * 5 + [order("mails")] * 3 + [order()] * 32
    (finding,) = found(RULE, subject_of(mixed(seed, *requests)))
    assert finding.services[0] == "taxes"
    assert set(finding.services) == {"shop", *PARTS}
    assert finding.evidence["dependencies"] == 5
    assert finding.evidence["series_availability_share"] == pytest.approx((1 - 5 / 40) * (1 - 3 / 40))
    assert finding.severity == "critical"
    assert "taxes fails most" in finding.title
    assert "taxes" in finding.advice


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_everybodys_service_is_found(seed: int) -> None:
    """Most requests wait for it, through several callers."""
    requests = [Call("shop", (Call(name, (Call("session"),)),), operation=name) for name in ("stock", "prices")]
    (finding,) = found(RULE, subject_of(mixed(seed, *requests * 120)))
    assert finding.services == ("session",)
    assert set(finding.edges) == {"stock->session", "prices->session"}
    assert finding.evidence["blast_radius_share"] == pytest.approx(240 / 300)
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """Each request needs a few services, and each service few requests."""
    assert not found(RULE, subject_of(clean_requests(seed, 250)))


def test_who_never_failed_is_told_of_as_a_risk() -> None:
    """Nothing failed, and no weakest is made up."""
    (finding,) = found(RULE, subject_of([order()] * 40))
    assert finding.severity == "warning"
    assert finding.evidence["weakest"] is None
    assert finding.evidence["series_availability_share"] == 1


def test_what_few_requests_need_is_not_hard() -> None:
    """Five services, each in a fifth of the requests."""
    requests = [Call("shop", (Call(name),), operation="GET /") for name in PARTS] * 10
    assert RULE.find(subject_of(requests), Limits()) == []


def test_messages_tie_nobody() -> None:
    """The same order, with its parts told by messages."""
    parts = tuple(Call(name, mode="async") for name in PARTS)
    assert RULE.find(subject_of([Call("shop", parts)] * 40), Limits()) == []


def test_the_entry_is_not_everybodys() -> None:
    """All requests come to the gateway, and that is what it is for."""
    requests = [Call("gateway", (Call(name),), operation=name) for name in PARTS] * 10
    assert RULE.find(subject_of(requests), Limits()) == []


def test_users_who_come_to_it_are_its_own() -> None:
    """Most requests are for the shop itself; that others call it, too, makes it nobody's fate."""
    requests = [Call("shop")] * 80 + [Call(name, (Call("shop"),)) for name in ("web", "office")] * 10
    assert RULE.find(subject_of(requests), Limits()) == []


def test_too_few_traces_are_unknown() -> None:
    """Shares of 29 requests."""
    (finding,) = RULE.find(subject_of([order()] * 29), Limits())
    assert (finding.status, finding.evidence) == ("unknown", {"traces": 29, "traces_limit": 30})


@pytest.mark.parametrize("count", [0, 40])
def test_one_service_shares_no_fate(count: int) -> None:
    """Nor does none."""
    assert RULE.find(subject_of([Call("shop", database="shop")] * count), Limits()) == []


def test_series_availability_is_a_product() -> None:
    """Of the services' own failures: what is passed on counts once."""
    requests = [Call("a", (Call("b", (Call("c", failed=n < 2),), failed=n < 3),), failed=n < 3) for n in range(10)]
    row = series_availability(hard_needs(subject_of(requests).analysed)).row(0, named=True)
    assert (row["dependencies"], row["weakest"], row["weakest_availability"]) == (2, "c", pytest.approx(0.8))
    assert row["series_availability"] == pytest.approx(0.8 * 0.9)


def test_the_incident_names_payment() -> None:
    """The service whose faults the shop was configured with is the one that fails orders."""
    worst = found(RULE, shop("incident"))[0]
    assert {worst.services[0]} == {fault["service"] for fault in truth("incident")["faults"]}
    assert worst.severity == "critical"
    assert worst.evidence["weakest"] == worst.evidence["slowest"] == "payment"


def test_the_monolith_has_services_of_everybody() -> None:
    """Nothing is critical while orders succeed."""
    findings = found(RULE, shop("monolith"))
    assert [finding.services[0] for finding in findings[1:]] == ["catalog", "inventory"]
    assert {finding.severity for finding in findings} == {"warning"}


def test_the_decoupled_shop_has_none() -> None:
    """No endpoint needs five others."""
    assert RULE.find(shop("decoupled"), Limits()) == []
