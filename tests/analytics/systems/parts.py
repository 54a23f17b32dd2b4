"""The parts of a running system: instances and databases with what they have, breakers, and which faults are on."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from tests.analytics.systems.draws import Key, exponential, key_of, uniform
from tests.analytics.systems.engine import Pool
from tests.analytics.systems.system import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.analytics.systems.engine import Loop
    from tests.analytics.systems.system import Breaker, Database, Endpoint, Service

MS, SECOND = 10**6, 10**9
_F = TypeVar("_F", bound=Fault)


class Instance:
    """One instance of a service; without ``queueing`` it has as many workers, cores and connections as it likes."""

    def __init__(self, service: Service, number: int, loop: Loop, *, queueing: bool) -> None:
        self.service = service
        self.number = number
        self.name = f"{service.name}-{number}"
        self.workers = Pool(loop, service.workers if queueing else None)
        self.cores = Pool(loop, service.cores if queueing else None)
        self._connections: dict[str, Pool] = {}
        self._loop = loop
        self._size = service.connections if queueing else None

    def connections(self, database: str) -> Pool:
        """Return the pool of connections to a database."""
        if database not in self._connections:
            self._connections[database] = Pool(self._loop, self._size)
        return self._connections[database]

    def all_connections(self) -> Iterator[tuple[str, Pool]]:
        """Return the pools that were ever used, with their databases."""
        return iter(self._connections.items())

    def version(self, now: int) -> str:
        """Return what runs now."""
        done = [version for at_s, version in self.service.deploys if now >= at_s * SECOND]
        return done[-1] if done else self.service.version


class RunningDatabase:
    """A database with its locks."""

    def __init__(self, database: Database, loop: Loop, *, queueing: bool) -> None:
        self.system = database.system
        self.statements = Pool(loop, database.capacity if queueing else None)
        self._locks: dict[str, Pool] = {}
        self._loop = loop
        self._holders = 1 if queueing else None

    def lock(self, name: str) -> Pool:
        """Return a lock, of which there is one."""
        if name not in self._locks:
            self._locks[name] = Pool(self._loop, self._holders)
        return self._locks[name]


class RunningBreaker:
    """The state of a breaker."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._last: deque[bool] = deque(maxlen=breaker.calls)
        self._open_until = 0

    def forbids(self, now: int) -> bool:
        """Tell whether it is open."""
        return now < self._open_until

    def note(self, now: int, *, failed: bool) -> None:
        """Count a call; what it saw is forgotten when it opens."""
        self._last.append(failed)
        if len(self._last) == self._breaker.calls and sum(self._last) >= self._breaker.failures * len(self._last):
            self._open_until = now + round(self._breaker.open_ms * MS)
            self._last.clear()


class Faults:
    """Which faults are on, by kind and by whom they hit."""

    def __init__(self, faults: tuple[Fault, ...], loop: Loop) -> None:
        self._loop = loop
        self._by_kind: dict[tuple[type[Fault], str], list[Fault]] = {}
        for fault in faults:
            names = (getattr(fault, name, None) for name in ("service", "callee", "database"))
            hit = next(name for name in names if name is not None)
            self._by_kind.setdefault((type(fault), hit), []).append(fault)

    def on(self, kind: type[_F], name: str) -> list[_F]:
        """Return the faults of a kind that hit a service or database now."""
        found = self._by_kind.get((kind, name))
        if not found:
            return []
        now = self._loop.now
        return [f for f in found if isinstance(f, kind) and f.from_s * SECOND <= now < f.to_s * SECOND]


def choose(instances: list[Instance], key: Key) -> Instance:
    """Return the instance that the balancer draws."""
    shares = instances[0].service.shares or (1.0,) * len(instances)
    place = uniform(key) * sum(shares)
    for instance, share in zip(instances, shares, strict=True):
        place -= share
        if place < 0:
            return instance
    return instances[-1]


def arrivals(endpoint: Endpoint, key: Key) -> Iterator[int]:
    """Return when requests come, in nanoseconds since the start: a Poisson stream whose rate changes with the level."""
    begin = number = 0
    gap = exponential(key_of(key, -1))  # in requests: what the rates have to add up to until the next one
    for seconds, rate in endpoint.levels:
        at = 0.0
        while rate > 0 and at + gap / rate < seconds:
            at += gap / rate
            yield begin + round(at * SECOND)
            number += 1
            gap = exponential(key_of(key, -1 - number))
        gap -= (seconds - at) * rate
        begin += round(seconds * SECOND)
