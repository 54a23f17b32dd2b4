"""What a system of services is made of, and what can go wrong in it. Times are milliseconds unless names say more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from tests.analytics.systems.draws import Time


@dataclass(frozen=True)
class Work:
    """Local work; ``cpu`` needs a core while it lasts and is what starvation slows, otherwise it only waits."""

    time: Time
    cpu: bool = True


@dataclass(frozen=True)
class Breaker:
    """Opens for ``open_ms`` when this share of the last ``calls`` failed; one breaker a caller and callee.

    A call that it forbids fails at once: a CLIENT span with the error CallNotPermitted, none when ``silent``.
    """

    failures: float = 0.5
    calls: int = 20
    open_ms: float = 2_000.0
    silent: bool = False


@dataclass(frozen=True)
class Call:
    """A synchronous call: CLIENT span, network, wait for a worker, SERVER span, network.

    ``retries`` are further attempts after a failure, each ``backoff_ms`` later. What fails for good fails the caller,
    unless ``optional``. A server whose caller timed out goes on working. ``client_span`` False leaves the CLIENT span
    out, as callers without instrumentation of it do.
    """

    service: str
    operation: str
    timeout_ms: float | None = None
    retries: int = 0
    backoff_ms: float = 0.0
    breaker: Breaker | None = None
    optional: bool = False
    client_span: bool = True


@dataclass(frozen=True)
class Parallel:
    """Branches (each a sequence of steps) that begin together; it ends with the last, and fails when one did."""

    branches: tuple[Steps, ...]


@dataclass(frozen=True)
class Repeat:
    """Steps that are done ``times`` times, one after the other (a query for each row is the N+1 smell)."""

    times: int
    steps: Steps


@dataclass(frozen=True)
class Maybe:
    """Steps that this share of the requests does."""

    share: float
    steps: Steps


@dataclass(frozen=True)
class Inside:
    """An INTERNAL span around steps."""

    name: str
    steps: Steps


@dataclass(frozen=True)
class Send:
    """A message: PRODUCER span here; each of ``consumers`` (service, operation) takes it in a CONSUMER span.

    The consumers' spans are children of the producer's, or with ``linked`` begin traces of their own that link to it.
    ``delivery`` is the way through the queue; then a consumer waits for one of its workers.
    """

    queue: str
    consumers: tuple[tuple[str, str], ...]
    delivery: Time = field(default_factory=lambda: Time(2.0, 0.3))
    linked: bool = False


@dataclass(frozen=True)
class Query:
    """One statement: waits for a connection of the instance's pool (before the span), then a CLIENT span with db.*.

    ``lock`` names a lock of the database that is held while the statement runs; waiting for it is within the span.
    """

    database: str
    time: Time
    statement: str = "SELECT 1"
    table: str | None = None
    lock: str | None = None


@dataclass(frozen=True)
class Transaction:
    """Takes a connection and (in the span of its SELECT FOR UPDATE) a lock, does the steps and commits.

    Queries among the steps use a connection of their own if they name another database.
    """

    database: str
    lock: str
    steps: Steps
    time: Time = field(default_factory=lambda: Time(1.0, 0.2))
    table: str | None = None


@dataclass(frozen=True)
class Fail:
    """Fails this share of the requests at this point."""

    share: float
    error: str = "RuntimeError"


Step: TypeAlias = Work | Call | Parallel | Repeat | Maybe | Inside | Send | Query | Transaction | Fail
Steps: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True)
class Service:
    """A service and what each of its instances has; None is without bound.

    ``workers`` serve a request each from begin to end, ``connections`` are those of its pool to each database.
    ``io`` is CPU time for every message that it sends or receives: what makes a starved caller late on all its edges.
    ``shares`` says how requests spread over instances (default: evenly). ``deploys`` are (second, version): what
    ``version`` becomes then. ``metrics`` False: it tells nothing of its resources.
    """

    name: str
    operations: dict[str, Steps]
    instances: int = 1
    workers: int | None = None
    cores: int | None = None
    connections: int | None = None
    io: Time = field(default_factory=lambda: Time(0.05, 0.3))
    shares: tuple[float, ...] = ()
    protocol: str = "http"
    version: str = "1.0.0"
    deploys: tuple[tuple[float, str], ...] = ()
    namespace: str | None = None
    metrics: bool = True


@dataclass(frozen=True)
class Database:
    """A database; ``capacity`` statements run at once (None: any number), the others wait within their spans."""

    name: str
    system: str = "postgresql"
    capacity: int | None = None


@dataclass(frozen=True)
class Endpoint:
    """Where requests come in, as a Poisson stream that waits for nobody; ``levels`` are (seconds, requests a second).

    Without requests of its own an endpoint is of no use: give at least one level above 0.
    """

    service: str
    operation: str
    levels: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class System:
    """Services, databases and endpoints; ``network`` is the way of a message, ``links`` that of (caller, callee)."""

    services: tuple[Service, ...]
    endpoints: tuple[Endpoint, ...]
    databases: tuple[Database, ...] = ()
    network: Time = field(default_factory=lambda: Time(0.3, 0.2))
    links: dict[tuple[str, str], Time] = field(default_factory=dict)
    environment: str | None = "test"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is wrong from one second to another, as a rule all the time."""

    from_s: float = 0.0
    to_s: float = float("inf")


@dataclass(frozen=True, kw_only=True)
class Slow(Fault):
    """The service needs ``ms`` more for every request, before all else; it holds a worker meanwhile but no core.

    ``operation`` and ``instance`` restrict it.
    """

    service: str
    ms: float
    operation: str | None = None
    instance: int | None = None


@dataclass(frozen=True, kw_only=True)
class Starve(Fault):
    """All CPU work of the service takes ``factor`` times as long."""

    service: str
    factor: float
    instance: int | None = None


@dataclass(frozen=True, kw_only=True)
class Delay(Fault):
    """Messages to the callee and back need ``ms`` more both ways together; ``caller`` restricts it to one edge."""

    callee: str
    ms: float
    caller: str | None = None


@dataclass(frozen=True, kw_only=True)
class SlowDatabase(Fault):
    """Every statement of the database takes ``factor`` times as long and ``ms`` more."""

    database: str
    factor: float = 1.0
    ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LongTransaction(Fault):
    """Transactions of the service do ``ms`` more while they hold their lock."""

    service: str
    ms: float


@dataclass(frozen=True, kw_only=True)
class HeldLock(Fault):
    """Something that is not traced takes the lock for ``hold_ms``, again ``every_ms`` after it gave it back."""

    database: str
    lock: str
    hold_ms: float
    every_ms: float


@dataclass(frozen=True, kw_only=True)
class Failing(Fault):
    """This share of the service's requests fails, before all else."""

    service: str
    share: float
    operation: str | None = None
    error: str = "RuntimeError"
