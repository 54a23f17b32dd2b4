"""Simulates systems of services in time, queueing included, and gives the traces and metrics that they would send.

The public surface, all of it importable from here::

    shop = System(
        services=(
            Service("web", {"GET /": (Work(Time(2, 0.3)), Call("cart", "GET /cart"))}, workers=16, cores=2),
            Service("cart", {"GET /cart": (Query("carts", Time(4, 0.5)),)}, instances=2, connections=5),
        ),
        databases=(Database("carts"),),
        endpoints=(Endpoint("web", "GET /", levels=((20.0, 50.0), (20.0, 100.0))),),  # (seconds, requests a second)
    )
    before, after = simulate(shop, seed=1), simulate(shop, seed=1, faults=(SlowDatabase(database="carts", factor=4),))
    analyse(after.traces), resource_minutes(after.metrics)

An operation is a tuple of steps: Work, Call, Parallel, Repeat, Maybe, Inside (an INTERNAL span), Send (a message),
Query, Transaction (holds a lock) and Fail. ``tests/analytics/systems/system.py`` says what each does, and what faults
there are: Slow, Starve, Delay, SlowDatabase, LongTransaction, HeldLock and Failing, each from one second to another.

Common random numbers: every draw depends on the seed, the request's number at its endpoint and the place in the program
alone (the index of the step, the turn, the attempt). So the same seed gives each request the same arrival, work,
network and instances, and each span the same ids, whatever faults are on and whether requests queue; join runs on
``trace_low`` and ``span_id``. Replacing a step by another at the same place leaves the others' draws alone; inserting
one shifts those after it. ``queueing=False`` gives everybody as many workers, cores, connections, statements and locks
as they ask for, so that nobody waits for anybody: what remains is what a replay of traces can foretell.

A smell is planted by the program: a sync chain is Calls in Calls, N+1 is Repeat around a Query or Call, a shared
database is one name in two services' queries, a cycle is a Call back, a retry storm is ``retries`` with Failing,
lock-step deploys are ``Service.deploys``, a hot instance is ``Service.shares`` or a Slow with ``instance``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.analytics.systems.draws import Time
from tests.analytics.systems.recorder import POINTS, START_NS
from tests.analytics.systems.running import Simulation
from tests.analytics.systems.system import (
    Breaker,
    Call,
    Database,
    Delay,
    Endpoint,
    Fail,
    Failing,
    Fault,
    HeldLock,
    Inside,
    LongTransaction,
    Maybe,
    Parallel,
    Query,
    Repeat,
    Send,
    Service,
    Slow,
    SlowDatabase,
    Starve,
    Step,
    Steps,
    System,
    Transaction,
    Work,
)

if TYPE_CHECKING:
    import polars as pl

    from analytics.source import Traces

__all__ = [
    "POINTS", "START_NS", "Breaker", "Call", "Database", "Delay", "Endpoint", "Fail", "Failing", "Fault", "HeldLock",
    "Inside", "LongTransaction", "Maybe", "Parallel", "Query", "Repeat", "Run", "Send", "Service", "Slow",
    "SlowDatabase", "Starve", "Step", "Steps", "System", "Time", "Transaction", "Work", "simulate",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """What a simulated system sent: SPANS, RESOURCES and LINKS, and points with columns of the view ``metrics``."""

    traces: Traces
    metrics: pl.DataFrame


def simulate(
    system: System, *, seed: int = 0, faults: tuple[Fault, ...] = (), queueing: bool = True, sample_s: float = 1.0
) -> Run:
    """Return what the system sends until all requests of its endpoints are done; metrics every ``sample_s`` seconds.

    The same arguments give the same result. Instances tell of CPU, of busy threads and of connections, each where it is
    bounded; times begin at START_NS.
    """
    running = Simulation(system, seed, faults, queueing=queueing)
    running.run(sample_s)
    return Run(running.recorder.traces(), running.recorder.metrics())
