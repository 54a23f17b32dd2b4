"""Failures that climb are found with where they begin, and failures that are caught are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analytics.rules.cascade import RULE, Limits
from tests.analytics.call_trees import Call, subject_of
from tests.analytics.planted import SEEDS, clean_requests, found, mixed
from tests.analytics.shop import shop, truth


def request(*, failed: bool, caught_by: str | None = None) -> Call:
    """A request that waits for shop, orders and stock, of which the last fails; all above fail unless one catches."""
    stay = Call("stock", failed=failed)
    for name in ("orders", "shop"):
        failed = failed and caught_by != name
        stay = Call(name, (stay,), failed=failed)
    return replace(stay, operation="POST /orders")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_cascade_is_found(seed: int) -> None:
    """With its origin, the way up and the endpoint that fails."""
    failing, healthy = request(failed=True), request(failed=False)
    (finding,) = found(RULE, subject_of(mixed(seed, *[failing] * 25, *[healthy] * 75)))
    assert finding.services == ("stock", "orders", "shop")
    assert finding.edges == ("orders->stock", "shop->orders")
    assert finding.severity == "critical"
    assert finding.evidence["origin"] == "stock"
    assert finding.evidence["worst_endpoint_share"] == 0.25
    assert finding.evidence["failed_requests"] == 25
    assert "shop POST /orders" in finding.title
    assert "orders->stock" in finding.advice
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """Single failures that nobody passes on."""
    assert not found(RULE, subject_of(clean_requests(seed, 250)))


@pytest.mark.parametrize("caught_by", ["orders", "shop"])
def test_what_is_caught_does_not_climb(caught_by: str) -> None:
    """Whether the first caller answers without it, or the next: one hop and no user's failure is no cascade."""
    failing, healthy = request(failed=True, caught_by=caught_by), request(failed=False)
    assert RULE.find(subject_of([*[failing] * 25, *[healthy] * 75]), Limits()) == []


def test_one_hop_to_a_user_is_a_cascade() -> None:
    """The service that users come to fails with the one it calls."""
    failing = Call("shop", (Call("stock", failed=True),), failed=True)
    (finding,) = found(RULE, subject_of([failing] * 20 + [Call("shop", (Call("stock"),))] * 80))
    assert (finding.services, finding.evidence["hops"]) == (("stock", "shop"), 1)


def test_callers_that_fail_anyway_prove_nothing() -> None:
    """Requests fail as often when the call does as when it does not."""
    outcomes = [(True, True), (True, False), (False, True), (False, False)]
    requests = [
        Call("shop", (Call("stock", failed=below),), failed=above) for below, above in outcomes for _ in range(30)
    ]
    assert RULE.find(subject_of(requests), Limits()) == []


def test_the_caller_that_passes_on_is_no_origin() -> None:
    """Failures that orders only passes on are those of stock alone."""
    subject = subject_of([request(failed=True)] * 30 + [request(failed=False)] * 30)
    assert [finding.evidence["origin"] for finding in RULE.find(subject, Limits())] == ["stock"]


@pytest.mark.parametrize(("failures", "says"), [(0, "no call has failed yet"), (19, "19 of 20 times")])
def test_too_few_failures_are_unknown(failures: int, says: str) -> None:
    """Nobody knows what would happen."""
    subject = subject_of([request(failed=True)] * failures + [request(failed=False)] * 80)
    (finding,) = RULE.find(subject, Limits())
    assert finding.status == "unknown"
    assert says in finding.title


def test_without_calls_nothing_is_said() -> None:
    """There is nothing to climb."""
    assert RULE.find(subject_of([Call("shop", failed=True)] * 50), Limits()) == []
    assert RULE.find(subject_of([]), Limits()) == []


def test_the_incident_began_in_payment() -> None:
    """The service whose faults the shop was configured with."""
    (finding,) = found(RULE, shop("incident"))
    assert {finding.evidence["origin"]} == {fault["service"] for fault in truth("incident")["faults"]}
    assert finding.severity == "critical"
    assert finding.edges == ("checkout->payment", "gateway->checkout")
    assert "POST /orders" in finding.title


@pytest.mark.parametrize("state", ["monolith", "decoupled"])
def test_nothing_climbs_where_it_is_caught(state: str) -> None:
    """Cards that are declined, and recommendations that fail behind a breaker."""
    assert RULE.find(shop(state), Limits()) == []
