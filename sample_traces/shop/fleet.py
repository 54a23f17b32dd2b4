"""All processes of the shop: started, replaced by newer versions without losing a request, and stopped."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sample_traces.recording import program, read_address, running, telemetry
from sample_traces.shop.world import write_world

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from threading import Event
    from types import TracebackType

    from sample_traces.shop.system import State

STARTS_AT_ONCE = 3
GRACE_S = 1.0
"""How long an old process still serves those who looked its address up before it was taken off the list."""

# Nine services share the recording machine, so its own figures say nothing of any of them; the rest is said twice.
EXCLUDED_METRICS = "system.*,process.runtime.*,cpython.*,process.disk.*"


@dataclass(frozen=True, slots=True)
class Instance:
    """A running process; closing ``life`` ends it."""

    address: str
    life: ExitStack


class Fleet:
    """The running shop."""

    def __init__(self, state: State, world: Path, endpoint: str, settings: dict[str, str]) -> None:
        self._state = state
        self._world = world
        self._endpoint = endpoint
        self._settings = {**settings, "SHOP_STATE": state.name, "SHOP_WORLD": str(world)}
        self._instances: dict[str, list[Instance]] = {}
        self._begun = dict.fromkeys((service.name for service in state.services), 0)
        self._deployed = dict.fromkeys((service.name for service in state.services), 0)
        self._started: float | None = None

    def __enter__(self) -> Self:
        """Start all services; they find each other once all are there."""
        self._publish()
        try:
            self._replace([service.name for service in self._state.services])
        except BaseException:
            self._stop(instance for group in self._instances.values() for instance in group)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        """Stop all."""
        self._stop(instance for group in self._instances.values() for instance in group)

    def gateway(self) -> str:
        """Return where people enter."""
        return self._instances["gateway"][0].address

    def open(self) -> float:
        """Say that the load begins; return when that is."""
        self._started = time.time()
        self._publish()
        return self._started

    def deploy_on_time(self, started: float, over: Event) -> None:
        """Do all deployments of the state, each at its second, unless all is over before."""
        for deployment in self._state.deployments:
            if over.wait(max(0.0, started + deployment.at_s - time.time())):
                return
            for name in deployment.services:
                self._deployed[name] += 1
            self._replace(deployment.services)

    def _replace(self, names: Iterable[str]) -> None:
        """Start new processes of some services, send everybody there, then stop the old ones."""
        wanted = [(name, self._begin(name)) for name in names for _ in range(self._state.service(name).instances)]
        with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
            started = list(pool.map(lambda pair: (pair[0], self._start(*pair)), wanted))
        old = [instance for name in names for instance in self._instances.get(name, [])]
        for name in names:
            self._instances[name] = [instance for service, instance in started if service == name]
        self._publish()
        if old:
            time.sleep(GRACE_S)
            self._stop(old)

    def _begin(self, name: str) -> int:
        """Number a service's processes from 1."""
        self._begun[name] += 1
        return self._begun[name]

    def _start(self, name: str, number: int) -> Instance:
        service = self._state.service(name)
        resource = {
            "service.version": self._state.version(name, self._deployed[name]),
            "service.instance.id": f"{name}-{number}",
            "deployment.environment.name": self._state.environment,
        }
        environment = {
            **telemetry(name, self._endpoint, resource, current_names=service.current_names),
            "OTEL_PYTHON_SYSTEM_METRICS_EXCLUDED_METRICS": EXCLUDED_METRICS,
            **self._settings,
            "SHOP_SERVICE": name,
        }
        command = [program("opentelemetry-instrument"), sys.executable, "-m", f"sample_traces.shop.services.{name}"]
        with ExitStack() as stack:
            process = stack.enter_context(running(command, environment))
            return Instance(read_address(process, name), stack.pop_all())

    def _stop(self, instances: Iterable[Instance]) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda instance: instance.life.close(), instances))

    def _publish(self) -> None:
        addresses = {name: [each.address for each in group] for name, group in self._instances.items()}
        write_world(self._world, addresses, self._started)
