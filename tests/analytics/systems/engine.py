"""A small discrete-event engine: processes are generators that yield how long to sleep, or what to wait for."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Generator

Process: TypeAlias = "Generator[int | Event, Any, Any]"
"""Yields nanoseconds to sleep or an Event to wait for; the event's value is what the yield gives back."""


class Event:
    """Something that happens once; firing it again changes nothing."""

    __slots__ = ("_loop", "fired", "value", "waiting")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.fired = False
        self.value: Any = None
        self.waiting: list[Process] = []

    def fire(self, value: Any = None) -> None:
        """Wake everybody who waits, in the order in which they came."""
        if self.fired:
            return
        self.fired, self.value = True, value
        for process in self.waiting:
            self._loop.wake(process, 0, value)


class Loop:
    """Runs processes in the order of time; ``now`` is in nanoseconds since the start."""

    def __init__(self) -> None:
        self.now = 0
        self._heap: list[tuple[int, int, Process, Any]] = []
        self._entries = 0

    def wake(self, process: Process, delay: int, value: Any = None) -> None:
        """Start or go on with a process after a delay; of equal times the first to ask comes first."""
        self._entries += 1
        heappush(self._heap, (self.now + delay, self._entries, process, value))

    def run(self) -> None:
        """Run until nothing is left to do."""
        heap = self._heap
        while heap:
            self.now, _, process, value = heappop(heap)
            try:
                wanted = process.send(value)
            except StopIteration:
                continue
            if isinstance(wanted, int):
                self.wake(process, wanted)
            elif wanted.fired:
                self.wake(process, 0, wanted.value)
            else:
                wanted.waiting.append(process)


class Pool:
    """Equal things that are taken and given back, first come first served; no size means as many as are asked for."""

    def __init__(self, loop: Loop, size: int | None) -> None:
        self._loop = loop
        self._queue: deque[Event] = deque()
        self.size = size
        self.used = 0
        self.busy_ns = 0
        """Of work done while holding one, which whoever works adds to."""

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._queue)

    def take(self) -> Process:
        """Wait for one."""
        if self.size is None or self.used < self.size:
            self.used += 1
            return
        turn = Event(self._loop)
        self._queue.append(turn)
        yield turn

    def give(self) -> None:
        """Give one back, to who waits longest."""
        if self._queue:
            self._queue.popleft().fire()
        else:
            self.used -= 1
