"""A simulated change foretells what a system really does that is changed so: run twice with the same draws.

The systems run without queueing, which a replay does not model.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import polars as pl
import pytest

from analytics.analysis import Analysed, analyse
from analytics.changes import parse_changes
from analytics.simulate import Simulation
from tests.analytics.systems.market import MARKET
from tests.analytics.systems.simulator import (
    Call,
    Database,
    Endpoint,
    Failing,
    Fault,
    Inside,
    Maybe,
    Parallel,
    Query,
    Repeat,
    Send,
    Service,
    Slow,
    SlowDatabase,
    Starve,
    Steps,
    System,
    Time,
    Work,
    simulate,
)

if TYPE_CHECKING:
    from analytics.changes import Change

SEEDS = (1, 2, 3)
CLOSE = 0.05
QUANTILES = ("p50", "p99")


def work(mean_ms: float) -> Work:
    """Work that varies."""
    return Work(Time(mean_ms, 0.6))


def system(services: dict[str, Steps], *endpoints: str, databases: tuple[str, ...] = ()) -> System:
    """Services with one operation each, of which some are endpoints with 200 requests."""
    return System(
        services=tuple(Service(name, {f"GET /{name}": steps}) for name, steps in services.items()),
        endpoints=tuple(Endpoint(name, f"GET /{name}", levels=((2.0, 100.0),)) for name in endpoints),
        databases=tuple(map(Database, databases)),
    )


def call(service: str, *, optional: bool = False, retries: int = 0) -> Call:
    """A call of the one operation."""
    return Call(service, f"GET /{service}", optional=optional, retries=retries)


CHAIN = system(
    {
        "a": (work(2), call("b"), work(1)),
        "b": (work(3), Inside("compute", (work(2), call("c"))), work(1)),
        "c": (work(4), call("d"), Query("d-db", Time(3, 0.5))),
        "d": (work(5),),
    },
    "a", "c",
    databases=("d-db",),
)  # fmt: skip
FAN_OUT = system(
    {
        "a": (work(2), Parallel(((call("b"),), (call("c"),), (work(3), call("d")))), work(1), call("e"), work(1)),
        "b": (work(8),),
        "c": (work(6), Parallel(((call("e"),), (Query("c-db", Time(6, 0.8)),)))),
        "d": (work(5), Repeat(3, (call("e"),))),
        "e": (work(4),),
    },
    "a", "d",
    databases=("c-db",),
)  # fmt: skip
MIXED = system(
    {
        "a": (work(2), Maybe(0.4, (call("b"),)), Parallel(((call("c"), call("d")), (work(9), call("e")))), work(1)),
        "b": (work(3), Send("events", (("d", "GET /d"),)), call("d")),
        "c": (work(4), Maybe(0.5, (Repeat(4, (Query("c-db", Time(2, 0.7)),)),)), call("b")),
        "d": (work(5),),
        "e": (work(9), Maybe(0.3, (call("d"),))),
    },
    "a", "b",
    databases=("c-db",),
)  # fmt: skip
SYSTEMS = {"chain": CHAIN, "fan-out": FAN_OUT, "mixed": MIXED, "market": MARKET}


@cache
def run(name: str, seed: int, *faults: Fault) -> Analysed:
    """What a system does without queueing."""
    return analyse(simulate(SYSTEMS[name], seed=seed, faults=faults, queueing=False).traces)


def foretold(recorded: Analysed, **options: str | list[str]) -> pl.DataFrame:
    """The endpoints of a simulation."""
    given = {name.rstrip("_"): [value] if isinstance(value, str) else value for name, value in options.items()}
    changes: list[Change] = parse_changes(given)
    return Simulation(recorded, changes).endpoints


def check_times(told: pl.DataFrame, real: Analysed) -> None:
    """Compare p50 and p99 of every endpoint."""
    there = real.profile.endpoints.select("service", "operation", *(f"{name}_ms" for name in QUANTILES))
    both = told.join(there, on=["service", "operation"])
    assert both.height == told.height == there.height
    for name in QUANTILES:
        off = (both[f"{name}_after_ms"] / both[f"{name}_ms"] - 1).abs()
        assert off.to_numpy().max() < CLOSE, both.select("operation", f"{name}_after_ms", f"{name}_ms")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "slow"),
    [
        *(("chain", service) for service in "abcd"),
        *(("fan-out", service) for service in "abcde"),
        *(("mixed", service) for service in "abcde"),
        *(("market", service) for service in ("pricing", "stock", "orders")),
    ],
)
def test_a_slower_service(name: str, slow: str, seed: int) -> None:
    """Time added to each request, little and much."""
    for ms in (5, 200):
        real = run(name, seed, Slow(service=slow, ms=ms))
        check_times(foretold(run(name, seed), slow=f"{slow}=+{ms}ms"), real)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "database"), [("chain", "d-db"), ("fan-out", "c-db"), ("mixed", "c-db")])
def test_a_slower_database(name: str, database: str, seed: int) -> None:
    """Time added to each statement."""
    real = run(name, seed, SlowDatabase(database=database, ms=40))
    check_times(foretold(run(name, seed), slow=f"postgresql {database}-host/{database}=+40ms"), real)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "slow"), [("chain", "b"), ("fan-out", "d"), ("mixed", "c")])
def test_a_service_that_takes_a_multiple(name: str, slow: str, seed: int) -> None:
    """All of its own work, as on a starved processor."""
    real = run(name, seed, Starve(service=slow, factor=3))
    check_times(foretold(run(name, seed), slow=f"{slow}=x3"), real)


@pytest.mark.parametrize("seed", SEEDS)
def test_several_services_at_once(seed: int) -> None:
    """Changes combine as faults do."""
    faults = Slow(service="b", ms=30), Slow(service="d", ms=10), Starve(service="a", factor=2)
    check_times(foretold(run("mixed", seed), slow=["b=+30ms", "d=+10ms", "a=x2"]), run("mixed", seed, *faults))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_call_that_becomes_a_message(seed: int) -> None:
    """The caller no longer waits; whom it calls next does not change."""
    steps: dict[str, Steps] = {"a": (work(4), call("b"), work(20)), "b": (work(15),)}
    sent: dict[str, Steps] = steps | {"a": (work(4), Send("b", (("b", "GET /b"),)), work(20))}
    waits, sends = (analyse(simulate(system(s, "a"), seed=seed, queueing=False).traces) for s in (steps, sent))
    check_times(foretold(waits, async_="a->b"), sends)


OPTIONAL: dict[str, Steps] = {
    "a": (work(1), call("b"), call("c", optional=True)),
    "b": (work(1), Maybe(0.5, (call("d"),))),
    "c": (work(1), call("d")),
    "d": (work(1),),
}


def failures(endpoints: pl.DataFrame, service: str, rate: str) -> tuple[float, float]:
    """The error rate of an endpoint, and three standard deviations of what as many draws give."""
    row = endpoints.row(by_predicate=pl.col("service") == service, named=True)
    share = row[rate]
    return share, 3 * (share * (1 - share) / row["traces"]) ** 0.5 + 0.005


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fails", ["b", "c", "d"])
def test_a_failing_service(fails: str, seed: int) -> None:
    """Failures climb as often as they were seen to: those of a call that nobody minds do not."""
    shop = replace(system(OPTIONAL, "a", "c"))
    seen = (Failing(service="c", share=0.3),)
    recorded = analyse(simulate(shop, seed=seed, faults=seen, queueing=False).traces)
    more = (*seen, Failing(service=fails, share=0.4))
    real = analyse(simulate(shop, seed=seed, faults=more, queueing=False).traces)
    told = foretold(recorded, fail=f"{fails}=0.4")
    for service in ("a", "c"):
        expected, deviation = failures(told, service, "error_rate_after")
        assert failures(real.profile.endpoints, service, "error_rate")[0] == pytest.approx(expected, abs=deviation)
