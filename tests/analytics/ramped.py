"""Systems under load that comes and goes, simulated in time with their queues, as rules see them."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from analytics.analysis import analyse
from analytics.findings import Subject
from analytics.resources import resource_minutes
from analytics.saturation import resource_use, service_saturation
from tests.analytics.systems.simulator import Call, Database, Endpoint, Query, Service, System, Time, Work, simulate

if TYPE_CHECKING:
    from tests.analytics.systems.simulator import Fault, Run

RAMP = tuple((30.0, 12.0 * 1.3**step) for step in range(8))
"""Half a minute each, from 12 to 75 requests a second."""
LONG_RAMP = tuple((60.0, rate) for _, rate in RAMP)
"""A minute each: a knee is told of only where levels agree."""


def system(seed: int, ramp: tuple[tuple[float, float], ...] = RAMP, **backend: Any) -> System:
    """A front that asks a backend, which asks its database; ``backend`` is what the backend has otherwise.

    All have more than they need: at the greatest load each resource is used to a fifth at most.
    """
    chance = random.Random(seed)
    asks = Query("stock", Time(chance.uniform(3, 6), 0.3))
    steps = (Work(Time(chance.uniform(1, 2), 0.3)), asks)
    stock = Service(
        "stock", {"GET /stock": steps}, **{"instances": 2, "workers": 16, "cores": 4, "connections": 8} | backend
    )
    visit = (Work(Time(chance.uniform(1, 3), 0.3)), Call("stock", "GET /stock"))
    front = Service("front", {"GET /": visit}, instances=2, workers=32, cores=4)
    endpoint = Endpoint("front", "GET /", levels=ramp)
    return System(services=(front, stock), databases=(Database("stock"),), endpoints=(endpoint,))


def slower(system: System, ms: float) -> System:
    """The same, whose database needs so long for each statement of the backend."""
    front, stock = system.services
    steps = (Query("stock", Time(ms, 0.3)),)
    return replace(system, services=(front, replace(stock, operations={"GET /stock": steps})))


def subject_of_run(run: Run, *, metrics: bool = True) -> Subject:
    """What rules look at."""
    minutes = resource_minutes(run.metrics if metrics else run.metrics.clear())
    use = resource_use(minutes)
    return Subject(analyse(run.traces), use, service_saturation(use), minutes)


@cache
def loaded(
    seed: int, *faults: Fault, ms: float | None = None, ramp: tuple[tuple[float, float], ...] = RAMP, **backend: Any
) -> Subject:
    """The system under its load; with ``ms`` its database is slower."""
    made = system(seed, ramp, **backend)
    return subject_of_run(simulate(made if ms is None else slower(made, ms), seed=seed, faults=faults))
