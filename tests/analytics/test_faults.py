"""Whatever goes wrong in a system of twelve services, the comparison with a calm time names who is to blame.

The disturbed run is another one: other requests, and in every second case other traffic. What is right, by kind:

- ``Delay``: the edge, or the service when messages from all its callers are late.
- ``Starve``: the service, be it with its own time or with the gaps around it.
- ``SlowDatabase``: the database, or a service that waits for connections to it since they are all in use.
- ``HeldLock`` and ``LongTransaction``: the database whose statements wait, or the service that holds the lock.

Faults go from a millisecond to a standstill. One is known to be judged wrongly: ``pricing`` starved by 4.5 serves less
than what comes, every worker of ``cart`` waits for it, and the longest queue of all is then the one before ``cart``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from analytics.analysis import analyse
from analytics.comparison import Compared, build_diff
from analytics.resources import resource_minutes
from analytics.saturation import resource_use, service_saturation
from tests.analytics.systems.market import MARKET, USERS, node_name
from tests.analytics.systems.simulator import (
    Call,
    Delay,
    Endpoint,
    Fault,
    HeldLock,
    LongTransaction,
    Parallel,
    Service,
    Slow,
    SlowDatabase,
    Starve,
    System,
    Time,
    Work,
    simulate,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

ENOUGH = 28
CASES: tuple[Fault, ...] = (
    Delay(caller="gateway", callee="catalog", ms=25),
    Delay(caller="gateway", callee="recommendation", ms=5),
    Delay(caller="gateway", callee="cart", ms=30),
    Delay(caller="cart", callee="pricing", ms=15),
    Delay(caller="orders", callee="payment", ms=6),
    Delay(caller="orders", callee="shipping", ms=40),
    Delay(caller="catalog", callee="stock", ms=40),
    Delay(caller="recommendation", callee="catalog", ms=10),
    Delay(callee="auth", ms=1.5),
    Delay(callee="pricing", ms=300),
    Starve(service="auth", factor=2.5),
    Starve(service="catalog", factor=4),
    Starve(service="pricing", factor=4.5),
    Starve(service="stock", factor=6),
    Starve(service="cart", factor=12),
    Starve(service="recommendation", factor=3),
    Starve(service="search", factor=6),
    Starve(service="orders", factor=6),
    Starve(service="gateway", factor=9),
    SlowDatabase(database="sessions", factor=8),
    SlowDatabase(database="catalog-db", factor=4),
    SlowDatabase(database="stock-db", factor=5),
    SlowDatabase(database="carts", factor=20),
    SlowDatabase(database="index", factor=1.4),
    SlowDatabase(database="orders-db", factor=5),
    HeldLock(database="stock-db", lock="stock", hold_ms=1500, every_ms=200),
    HeldLock(database="stock-db", lock="stock", hold_ms=30, every_ms=30),
    HeldLock(database="orders-db", lock="order-number", hold_ms=150, every_ms=400),
    LongTransaction(service="stock", ms=30),
    LongTransaction(service="orders", ms=40),
)
HIDDEN: tuple[tuple[Fault, Fault], ...] = (
    (Slow(service="auth", ms=2), Slow(service="mail", ms=60)),
    (Slow(service="auth", ms=2), Slow(service="shipping", operation="ship order", ms=80)),
    (Slow(service="pricing", operation="pricing.List", ms=2), Slow(service="mail", ms=60)),
    (Slow(service="auth", ms=4), Slow(service="quick", ms=20)),
)
"""The first makes requests slower; the second works longer, but no request waits for that."""
BRANCHES = System(
    services=(
        Service(
            "front",
            {"GET /": (Call("auth", "GET /"), Parallel(((Call("quick", "GET /"),), (Call("long", "GET /"),))))},
        ),
        *(Service(name, {"GET /": (Work(Time(ms, 0.3)),)}) for name, ms in (("auth", 2), ("quick", 5), ("long", 60))),
    ),
    endpoints=(Endpoint("front", "GET /", levels=((8.0, 25.0),)),),
)
"""One branch has much time while the other runs."""


@dataclass(frozen=True)
class Verdict:
    """A fault, who comes first in ``diff``, and whose self time grew most."""

    fault: Fault
    culprit: dict[str, Any]
    worker: str

    def __str__(self) -> str:
        return f"{self.fault}: {self.culprit}; self time: {self.worker}"


def other_traffic(system: System) -> System:
    """The same system with other shares of requests, and slightly more of them."""
    rates = {"GET /home": 1.2, "POST /orders": 0.7, "GET /search": 1.4}
    return replace(system, endpoints=tuple(_scaled(one, rates[one.operation]) for one in system.endpoints))


def _scaled(endpoint: Endpoint, factor: float) -> Endpoint:
    return replace(endpoint, levels=tuple((seconds, rate * factor) for seconds, rate in endpoint.levels))


def observed(system: System, seed: int, *faults: Fault) -> Compared:
    """One side of a comparison."""
    run = simulate(system, seed=seed, faults=faults)
    minutes = resource_minutes(run.metrics)
    return Compared("test", analyse(run.traces), minutes, service_saturation(resource_use(minutes)))


def summed_self_time(side: Compared) -> pl.DataFrame:
    """Self time by service, in milliseconds a trace."""
    forest = side.analysed.forest
    service = forest.origins.services["service"].gather(pl.Series(forest.service))
    spans = pl.DataFrame({"service": service, "ns": side.analysed.self_time_ns})
    return spans.group_by("service").agg(ms=pl.col("ns").sum() / 1e6 / forest.traces.height)


def judge(before: Compared, after: Compared, fault: Fault) -> Verdict:
    """Compare a disturbed run with a calm one, both ways."""
    culprit = build_diff(before, after)["culprits"][0]
    both = summed_self_time(before).join(summed_self_time(after), on="service", suffix="_after")
    worker = both.sort(pl.col("ms_after") - pl.col("ms"), descending=True)["service"][0]
    return Verdict(fault, culprit, worker)


def is_right(fault: Fault, service: str, name: str) -> bool:
    """Tell whether blaming this service, or node, is right."""
    match fault:
        case Delay(callee=callee, caller=None):
            return service == callee
        case Delay(callee=callee, caller=caller):
            return name == f"{caller}->{callee}"
        case Starve(service=starved) | Slow(service=starved):
            return service == starved
        case SlowDatabase(database=database) | HeldLock(database=database):
            return name == node_name(database) or service in USERS[database]
        case LongTransaction(service=holder):
            return service == holder or name in {node_name(one) for one, users in USERS.items() if holder in users}
    raise AssertionError(fault)


def blames_right(verdict: Verdict) -> bool:
    """Tell whether ``diff`` names the right one."""
    return is_right(verdict.fault, verdict.culprit["service"], verdict.culprit["name"])


def works_right(verdict: Verdict) -> bool:
    """Tell whether self time does, which knows services only."""
    return is_right(verdict.fault, verdict.worker, verdict.worker)


@pytest.fixture(scope="module")
def calm() -> list[Compared]:
    """Undisturbed runs."""
    return [observed(MARKET, seed) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def verdicts(calm: list[Compared]) -> list[Verdict]:
    """What comes of each case."""
    systems: Callable[[int], System] = lambda number: MARKET if number % 2 else other_traffic(MARKET)  # noqa: E731
    return [
        judge(calm[number % len(calm)], observed(systems(number), 100 + number, fault), fault)
        for number, fault in enumerate(CASES)
    ]


def test_the_right_culprit_comes_first(verdicts: list[Verdict]) -> None:
    """In at least 28 of 30 cases."""
    wrong = [str(verdict) for verdict in verdicts if not blames_right(verdict)]
    assert len(verdicts) == 30
    assert len(verdicts) - len(wrong) >= ENOUGH, "\n".join(wrong)


def test_growth_of_self_time_blames_who_waited(verdicts: list[Verdict]) -> None:
    """Time on the network is the caller's self time: wrong in every case of late messages, where diff is right."""
    late = [verdict for verdict in verdicts if isinstance(verdict.fault, Delay)]
    misled = [verdict for verdict in late if blames_right(verdict) and not works_right(verdict)]
    assert [str(verdict.fault) for verdict in misled] == [str(case) for case in CASES if isinstance(case, Delay)]


@pytest.mark.parametrize("faults", HIDDEN, ids=lambda faults: f"{faults[0].service}-{faults[1].service}")
def test_growth_of_self_time_blames_who_nobody_waits_for(calm: list[Compared], faults: tuple[Fault, Fault]) -> None:
    """Work beside the path, or hidden behind a longer branch, grew more than what made requests slower."""
    real, harmless = faults
    branches = getattr(harmless, "service", "") == "quick"
    before, system = (observed(BRANCHES, 4), BRANCHES) if branches else (calm[0], MARKET)
    verdict = judge(before, observed(system, 200, *faults), real)
    assert blames_right(verdict), str(verdict)
    assert is_right(harmless, verdict.worker, verdict.worker), str(verdict)


def test_nothing_wrong_blames_nobody_for_much(calm: list[Compared]) -> None:
    """Two calm runs differ by noise: no node by more than a twentieth of the mean latency."""
    culprits = build_diff(calm[0], calm[1])["culprits"]
    latency = calm[0].analysed.profile.endpoints.select(pl.col("mean_ms").dot("weight") / pl.col("weight").sum()).item()
    assert max([row["delta_ms"] for row in culprits], default=0.0) < latency / 20
