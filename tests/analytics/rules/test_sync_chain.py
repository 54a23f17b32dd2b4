"""Long chains of waiting are found wherever they are, and short ones are let be."""

from __future__ import annotations

import pytest

from analytics.rules.sync_chain import RULE, Limits
from tests.analytics.call_trees import Call, chain, subject_of
from tests.analytics.planted import SEEDS, clean_requests, found, mixed
from tests.analytics.shop import shop, truth

LONG = ("gateway", "orders", "stock", "prices", "taxes", "rates")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_chain_is_found(seed: int) -> None:
    """With its services in order, and the call behind which the wait should end."""
    requests = mixed(seed, *[chain(*LONG, operation="op")] * 40)
    (finding,) = found(RULE, subject_of(requests))
    assert finding.services == LONG
    assert finding.edges[0] == "gateway->orders"
    assert (finding.evidence["hops"], finding.evidence["depth_limit"]) == (5, 4)
    assert finding.severity == "warning"
    assert "prices->taxes" in finding.advice
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """Two hops are no chain."""
    assert not found(RULE, subject_of(clean_requests(seed, 250)))


def test_a_message_ends_the_wait() -> None:
    """The same services, the third told by a message: neither half is long."""
    tail = chain("prices", "taxes", "rates")
    request = Call("gateway", (Call("orders", (Call("stock", (Call("prices", tail.calls, mode="async"),)),)),))
    assert RULE.find(subject_of([request] * 40), Limits()) == []


def test_calls_one_after_the_other_are_no_chain() -> None:
    """Six services that are asked in turn: one hop each."""
    request = Call("gateway", tuple(Call(name) for name in LONG[1:]))
    assert RULE.find(subject_of([request] * 40), Limits()) == []


@pytest.mark.parametrize(("depth", "severity"), [(3, None), (4, "warning"), (6, "warning"), (7, "critical")])
def test_the_limits_are_reached_when_they_are_met(depth: int, severity: str | None) -> None:
    """Hops, not services, are counted."""
    subject = subject_of([chain(*(f"s{number}" for number in range(depth + 1)))] * 30)
    assert [finding.severity for finding in RULE.find(subject, Limits())] == ([severity] if severity else [])


def test_the_deepest_comes_first() -> None:
    """Each endpoint is told of by itself."""
    requests = [chain(f"web{depth}", *(f"s{number}" for number in range(depth))) for depth in (4, 6, 5)]
    assert [f.evidence["hops"] for f in RULE.find(subject_of(requests * 30), Limits())] == [6, 5, 4]


def test_too_few_traces_are_unknown() -> None:
    """A chain that was seen twice is neither found nor denied."""
    (finding,) = RULE.find(subject_of([chain(*LONG)] * 2), Limits())
    assert (finding.status, finding.evidence) == ("unknown", {"traces": 2, "limit": 30})


def test_nothing_is_said_of_nothing() -> None:
    """No trace, no chain."""
    assert RULE.find(subject_of([]), Limits()) == []


@pytest.mark.parametrize("state", ["monolith", "incident"])
def test_the_shops_orders_are_a_chain(state: str) -> None:
    """Of five hops, over edges that the shop is configured with."""
    configured = {f"{edge['caller']}->{edge['callee']}" for edge in truth(state)["edges"] if edge["mode"] == "sync"}
    (finding,) = found(RULE, shop(state))
    assert finding.evidence["hops"] == 5
    assert set(finding.edges) <= configured
    assert "POST /orders" in finding.title


def test_the_decoupled_shop_has_none() -> None:
    """One hop is all that anybody waits for."""
    assert RULE.find(shop("decoupled"), Limits()) == []
