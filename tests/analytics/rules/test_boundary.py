"""Two services that are one, and one that is two."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analytics.rules.boundary import RULE, Limits
from tests.analytics.call_trees import Call, subject_of
from tests.analytics.planted import SEEDS, clean_requests, found, mixed
from tests.analytics.shop import shop


def pair(calls: int = 5, *, own_data: bool = False, mode: str = "sync") -> Call:
    """A request to cart, which asks lines again and again."""
    lines = Call("lines", database="lines" if own_data else "cart", mode=mode)
    return Call("gateway", (Call("cart", (lines,) * calls, database="cart"),), operation="GET /cart")


def two(part: str) -> Call:
    """A request of one of two groups, each with its own operation and table of the service that serves both."""
    return Call(f"{part}-site", (Call("office", operation=part, database="office", table=part),))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_pair_is_found(seed: int) -> None:
    """It calls only each other, again and again, on one database."""
    (finding,) = found(RULE, subject_of(mixed(seed, *[pair()] * 30)))
    assert finding.services == ("cart", "lines")
    assert finding.edges == ("cart->lines",)
    assert finding.evidence["calls_per_trace"] == 5
    assert finding.evidence["calls_share"] == 1
    assert "Merge lines into cart" in finding.advice
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_double_is_found(seed: int) -> None:
    """Its two halves share nothing."""
    (finding,) = found(RULE, subject_of(mixed(seed, *[two("hiring"), two("travel")] * 30)))
    assert finding.services == ("office",)
    assert finding.evidence["parts"] == 2
    assert finding.severity == "info"
    assert "hiring; and travel" in finding.title


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """Each service has its own data and several partners."""
    assert not found(RULE, subject_of(clean_requests(seed, 200)))


@pytest.mark.parametrize(
    "request_", [pair(2), pair(own_data=True), pair(mode="async")], ids=["few calls", "own data", "messages"]
)
def test_one_sign_less_is_no_pair(request_: Call) -> None:
    """All three are needed: many calls, waited for, on one database."""
    assert RULE.find(subject_of([request_] * 40), Limits()) == []


def test_a_service_that_others_need_too_is_no_pair() -> None:
    """Most of what lines does is for others."""
    others = [Call("gateway", (Call(name, (Call("lines"),) * 5),), operation=name) for name in ("search", "offers")]
    assert RULE.find(subject_of([pair(), *others] * 30), Limits()) == []


def test_unknown_databases_are_said() -> None:
    """Where no span says what they store in, nobody knows."""
    lines = Call("cart", (Call("lines"),) * 5)
    (finding,) = RULE.find(subject_of([lines] * 40), Limits())
    assert finding.status == "unknown"
    assert "which databases" in finding.title


def test_too_few_traces_are_unknown() -> None:
    """The same pair, seen 29 times."""
    (finding,) = RULE.find(subject_of([pair()] * 29), Limits())
    assert (finding.status, finding.evidence) == ("unknown", {"traces": 29, "traces_limit": 30})


def test_operations_with_one_caller_belong_together() -> None:
    """Two tables are no two services when the same ones ask for both."""
    parts = [Call("site", (replace(two(part).calls[0]),)) for part in ("hiring", "travel")]
    assert RULE.find(subject_of(parts * 30), Limits()) == []


def test_a_small_part_is_no_service() -> None:
    """One request in ten, with a table of its own."""
    assert RULE.find(subject_of([two("hiring")] * 360 + [two("travel")] * 40), Limits()) == []


def test_nothing_is_said_of_nothing() -> None:
    """No services."""
    assert RULE.find(subject_of([]), Limits()) == []


@pytest.mark.parametrize("state", ["monolith", "incident"])
def test_the_shops_catalog_and_inventory_are_one(state: str) -> None:
    """Catalog asks inventory about each item, on the database that all share."""
    (finding,) = found(RULE, shop(state))
    assert finding.services == ("catalog", "inventory")


def test_the_decoupled_shop_has_none() -> None:
    """Services that send messages and keep their own data."""
    assert RULE.find(shop("decoupled"), Limits()) == []
