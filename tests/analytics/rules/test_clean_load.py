"""Systems that have more of everything than they need are left alone by the rules about load."""

from __future__ import annotations

import pytest

from analytics.rules import find_all, hot_instance, queueing, saturated_resource, throughput_knee
from tests.analytics.planted import SEEDS
from tests.analytics.ramped import loaded
from tests.analytics.shop import shop

MODULES = (saturated_resource, throughput_knee, hot_instance, queueing)


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_nothing(seed: int) -> None:
    """Not even unknown: six times the load, two instances each, all their metrics."""
    subject = loaded(seed)
    assert [finding for module in MODULES for finding in module.RULE.find(subject, module.Limits())] == []


def test_the_decoupled_shop_has_nothing_critical() -> None:
    """Of all rules."""
    assert [finding.title for finding in find_all(shop("decoupled")) if finding.severity == "critical"] == []


@pytest.mark.parametrize("state", ["monolith", "decoupled"])
def test_shops_without_an_incident_have_none(state: str) -> None:
    """Found, that is: their load tells little."""
    found = [finding for module in MODULES for finding in module.RULE.find(shop(state), module.Limits())]
    assert {finding.status for finding in found} <= {"unknown"}
