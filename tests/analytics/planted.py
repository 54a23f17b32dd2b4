"""Clean systems with the noise of real ones, to plant smells in."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.analytics.call_trees import Call

if TYPE_CHECKING:
    from analytics.findings import Finding, Rule, Subject

SEEDS = range(10)


def clean_requests(seed: int, count: int = 60) -> list[Call]:
    """Requests to a gateway with five to eight services behind it.

    Each has a database of its own; half of them ask one other service, some tell another one what happened, and one in
    fifty fails without failing the gateway.
    """
    chance = random.Random(seed)
    backends = [f"backend{number}" for number in range(chance.randint(5, 8))]
    asks = {name: backends[place - 1] for place, name in enumerate(backends) if place % 2}
    tells = {name: chance.choice([other for other in backends if other != name]) for name in backends[::3]}
    requests = []
    for number in range(count):
        name = backends[number % len(backends)]
        below = [Call(asks[name], database=asks[name])] if name in asks else []
        if name in tells:
            below.append(Call(tells[name], mode="async", database=tells[name]))
        failed = chance.random() < 0.02
        stay = Call(name, tuple(below), ms=chance.uniform(1, 20), failed=failed, database=name)
        requests.append(Call("gateway", (stay,), operation=f"GET /{name}"))
    chance.shuffle(requests)
    return requests


def found(rule: Rule, subject: Subject) -> list[Finding]:
    """What the rule found, with its default limits, without what is unknown."""
    return [finding for finding in rule.find(subject, rule.limits()) if finding.status == "found"]


def mixed(seed: int, *planted: Call) -> list[Call]:
    """Clean requests and planted ones in any order."""
    requests = [*clean_requests(seed), *planted]
    random.Random(seed + 1).shuffle(requests)
    return requests
