"""Services deployed together are told from services that are deployed often."""

from __future__ import annotations

import random

import pytest

from analytics.rules.lock_step_deploy import RULE, Limits, version_starts
from tests.analytics.call_trees import HOUR_MS, Call, timed_subject
from tests.analytics.planted import SEEDS, found
from tests.analytics.shop import shop, truth

HOURS = 24 * 10
NAMES = ("web", "orders", "stock", "mails")


def days(versions: dict[str, list[float]]) -> list[tuple[float, Call]]:
    """Requests to all services every ten minutes around each deploy, and each two hours."""
    deploys = {at for times in versions.values() for at in times}
    minutes = {at + minute * 60_000 for at in deploys for minute in (0, 1, 10)}
    hours = {float(hour * HOUR_MS) for hour in range(0, HOURS, 2)}
    return [(at, Call("web", tuple(map(Call, NAMES[1:])))) for at in sorted(minutes | hours)]


def independent(chance: random.Random) -> list[float]:
    """Eight deploys at any time."""
    return sorted(chance.uniform(1, HOURS - 1) * HOUR_MS for _ in range(8))


@pytest.mark.parametrize("seed", SEEDS)
def test_planted_lock_step_is_found(seed: int) -> None:
    """Two services within minutes of each other, while others go their own way."""
    chance = random.Random(seed)
    together = independent(chance)
    after = [at + chance.uniform(0, 300_000) for at in together]
    versions = {"web": independent(chance), "orders": together, "stock": after, "mails": independent(chance)}
    (finding,) = found(RULE, timed_subject(days(versions), versions))
    assert finding.services == ("orders", "stock")
    assert finding.evidence["deploys"] == 8
    assert finding.evidence["together"] in {7, 8}
    assert finding.trace_ids


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """Four services, each deployed when it is ready."""
    chance = random.Random(seed)
    versions = {name: independent(chance) for name in NAMES}
    assert not found(RULE, timed_subject(days(versions), versions))


def test_frequent_deploys_are_no_lock_step() -> None:
    """Two services that deploy all the time are always near each other, which means nothing."""
    hours = [float(hour * HOUR_MS) for hour in range(2, HOURS, 4)]
    versions = {"orders": hours, "stock": [at + HOUR_MS for at in hours]}
    assert RULE.find(timed_subject(days(versions), versions), Limits()) == []


@pytest.mark.parametrize("limits", [Limits(), Limits(lift=1e9), Limits(chance=1e-99), Limits(share=1.01)])
def test_every_limit_must_be_met(limits: Limits) -> None:
    """How often, how much more often than by chance, and how surely."""
    times = [day * 24.0 * HOUR_MS for day in range(2, 9)]
    versions = {"orders": times, "stock": times}
    assert bool(RULE.find(timed_subject(days(versions), versions), limits)) == (limits == Limits())


def test_three_in_lock_step_are_one_finding() -> None:
    """Not three pairs; and calls between them are named."""
    times = [day * 24.0 * HOUR_MS for day in range(2, 9)]
    versions = dict.fromkeys(("web", "orders", "stock"), times)
    (finding,) = found(RULE, timed_subject(days(versions), versions))
    assert finding.services == ("orders", "stock", "web")
    assert finding.edges == ("web->orders", "web->stock")


@pytest.mark.parametrize(("deploys", "says"), [(0, "none of 4 was deployed"), (4, "the most that one of 4 had is 4")])
def test_too_few_deploys_are_unknown(deploys: int, says: str) -> None:
    """Four deploys together may be chance."""
    times = [day * 24.0 * HOUR_MS for day in range(1, deploys + 1)]
    versions = dict.fromkeys(NAMES, times)
    (finding,) = RULE.find(timed_subject(days(versions), versions), Limits())
    assert finding.status == "unknown"
    assert says in finding.title


def test_one_service_has_nobody_to_be_deployed_with() -> None:
    """However often."""
    versions = {"web": [hour * float(HOUR_MS) for hour in range(1, 9)]}
    assert RULE.find(timed_subject([(hour * HOUR_MS, Call("web")) for hour in range(10)], versions), Limits()) == []
    assert RULE.find(timed_subject([]), Limits()) == []


def test_the_first_version_is_no_deploy() -> None:
    """Nor is an instance more of it."""
    versions = {"orders": [100.0 * HOUR_MS]}
    starts = version_starts(timed_subject(days(versions), versions))
    assert {node: labels for node, (labels, _) in starts.items()} == {0: [], 1: ["1.1"], 2: [], 3: []}


def test_the_monoliths_lock_step() -> None:
    """Exactly the services that the shop is configured to deploy together."""
    (finding,) = found(RULE, shop("monolith"))
    assert list(finding.services) == truth("monolith")["lock_step"]
    assert finding.evidence["deploys"] == 5


@pytest.mark.parametrize("state", ["decoupled", "incident"])
def test_the_other_shops_deployed_too_little_to_tell(state: str) -> None:
    """Which is not the same as fine."""
    assert truth(state)["lock_step"] == []
    assert [finding.status for finding in RULE.find(shop(state), Limits())] == ["unknown"]
