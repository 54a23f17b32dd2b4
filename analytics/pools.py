"""Where tasks are worked off: in this process, or by the workers of Ray; in both by the same functions.

A task gets what it works on as Arrow tables: workers never see the database file, which one process alone may hold.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from collector.errors import ConfigurationError, LithoscopeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

LOCAL = "local"
"""In place of an address: Ray's workers are started on this machine, one a processor."""
_RETRIES = 5
"""Times that a task begins again whose worker died."""
_AHEAD = 4
"""Tasks a worker: one it works on and some that wait, so that memory is bounded by the number of workers."""


@dataclass(frozen=True, slots=True)
class Task:
    """A function of a module, called with what all tasks share and then with ``args``; ``key`` tells whose it is."""

    key: Any
    function: Callable[..., Any]
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a task; ``failure`` says in words why there is no ``result``."""

    key: Any
    result: Any = None
    failure: str | None = None


class Pool(Protocol):
    """Works tasks off; a context manager."""

    def run(self, tasks: Iterator[Task], shared: Any) -> Iterator[Done]:
        """Yield each task's result as it comes, in any order; takes no more tasks than are needed to keep it busy."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """End what was begun."""


class OneProcess:
    """Works tasks off here, one after the other."""

    def run(self, tasks: Iterator[Task], shared: Any) -> Iterator[Done]:
        """See ``Pool``."""
        for task in tasks:
            try:
                done = Done(task.key, task.function(shared, *task.args))
            except Exception as error:  # noqa: BLE001  (one minute must not keep the others from being analysed)
                done = Done(task.key, failure=_said(error))
            yield done

    def __enter__(self) -> Self:
        """See ``Pool``."""
        return self

    def __exit__(self, *_: object) -> None:
        """See ``Pool``."""


class RayPool:
    """Workers of Ray: those of a cluster at an address, or for LOCAL some on this machine."""

    def __init__(self, address: str, *, workers: int | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray tells its makers of its use unless told not to
        try:
            import ray  # noqa: PLC0415  (an extra)
        except ImportError as error:
            raise ConfigurationError(
                "--ray needs the package ray: `pip install 'lithoscope[ray]'`, or leave --ray out."
            ) from error
        self._ray: Any = ray
        self._address = address
        self._workers = workers

    def __enter__(self) -> Self:
        """See ``Pool``; raises ``LithoscopeError`` when there is no Ray at the address."""
        where: dict[str, Any] = {"address": self._address}
        if self._address == LOCAL:
            workers = self._workers or os.cpu_count()
            where = {"num_cpus": workers, "_node_ip_address": "127.0.0.1", "include_dashboard": False}
        try:
            self._ray.init(**where, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # of all kinds, a plain Exception too
            if self._address == LOCAL:
                raise LithoscopeError(f"Ray does not start here ({_said(error)}): leave --ray out.") from error
            raise LithoscopeError(
                f"There is no Ray at {self._address} ({type(error).__name__}): start one with `ray start --head`, or "
                "give --ray local."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        """See ``Pool``."""
        self._ray.shutdown()

    def run(self, tasks: Iterator[Task], shared: Any) -> Iterator[Done]:
        """See ``Pool``; a task whose worker died begins again elsewhere."""
        remote = self._ray.remote(max_retries=_RETRIES)(_call)
        common = self._ray.put(shared)
        ahead = _AHEAD * max(int(self._ray.cluster_resources().get("CPU", 1)), 1)
        running: dict[Any, Any] = {}
        for task in tasks:
            running[remote.options(name=task.function.__name__).remote(common, task.function, *task.args)] = task.key
            while len(running) >= ahead:
                yield self._next(running)
        while running:
            yield self._next(running)

    def _next(self, running: dict[Any, Any]) -> Done:
        (ready,), _ = self._ray.wait(list(running), num_returns=1)
        key = running.pop(ready)
        try:
            return Done(key, self._ray.get(ready))
        except self._ray.exceptions.RayError as error:
            return Done(key, failure=_said(getattr(error, "cause", None) or error))


def _call(shared: Any, function: Callable[..., Any], *args: Any) -> Any:
    return function(shared, *args)


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{f': {lines[0]}' if lines else ''}"
