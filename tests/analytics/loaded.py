"""Small simulated systems whose services are asked all the time, to plant faults of resilience and capacity in."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from analytics.analysis import analyse
from analytics.findings import Subject
from analytics.resources import resource_minutes
from analytics.saturation import resource_use, service_saturation
from tests.analytics.systems.simulator import (
    Call,
    Database,
    Endpoint,
    Query,
    Service,
    System,
    Time,
    Work,
    simulate,
)

if TYPE_CHECKING:
    from analytics.findings import Finding
    from tests.analytics.systems.simulator import Fault

NAMES = ("orders", "payment", "catalog", "stock", "mail", "search")
STEADY = ((12.0, 40.0),)
RISING = tuple((4.0, rate) for rate in (15.0, 30.0, 45.0, 60.0, 75.0, 90.0))


@dataclass(frozen=True)
class Loaded:
    """A gateway that asks ``caller``, which asks ``callee``; and ``other``, which nothing is wrong with."""

    system: System
    caller: str
    callee: str
    other: str

    @property
    def edge(self) -> str:
        """The edge in question."""
        return f"{self.caller}->{self.callee}"

    def changed(self, service: str, **changes: Any) -> Loaded:
        """The same with other properties of one service."""
        services = tuple(replace(s, **changes) if s.name == service else s for s in self.system.services)
        return replace(self, system=replace(self.system, services=services))

    def subject(self, seed: int, *faults: Fault) -> Subject:
        """What rules look at."""
        run = simulate(self.system, seed=seed, faults=faults)
        use = resource_use(resource_minutes(run.metrics))
        return Subject(analyse(run.traces), use, service_saturation(use))


def loaded(seed: int, levels: tuple[tuple[float, float], ...] = STEADY, **call: Any) -> Loaded:
    """Return a system with names, times and order of its own; ``call`` describes the call of caller to callee."""
    chance = random.Random(seed)
    caller, callee, other = chance.sample(NAMES, 3)
    steps = [Call(caller, "POST /work"), Call(other, "GET /more")]
    chance.shuffle(steps)
    asks = Call(callee, "POST /deed", **call)
    services = (
        Service("gateway", {"GET /": (_work(chance), *steps)}, workers=200),
        Service(caller, {"POST /work": (_work(chance), asks, _work(chance))}, workers=200, cores=2),
        Service(
            callee, {"POST /deed": (_work(chance), Query("deeds", Time(2.0, 0.4)))}, workers=64, connections=20, cores=2
        ),
        Service(
            other, {"GET /more": (_work(chance), Query("more", Time(2.0, 0.4)))}, workers=64, connections=20, cores=2
        ),
    )
    databases = (Database("deeds"), Database("more"))
    return Loaded(System(services, (Endpoint("gateway", "GET /", levels),), databases), caller, callee, other)


@cache
def clean(seed: int) -> Subject:
    """The system of this seed at steady load, with nothing wrong."""
    return loaded(seed).subject(seed)


def _work(chance: random.Random) -> Work:
    return Work(Time(chance.uniform(0.5, 2.5), 0.4))


def numbers(finding: Finding) -> dict[str, Any]:
    """The evidence, to be compared as numbers."""
    return dict(finding.evidence)
