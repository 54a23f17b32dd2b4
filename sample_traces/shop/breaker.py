"""A circuit breaker: after some failures in a row the callee is left alone for a while."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FAILURES_TO_OPEN = 3
OPEN_S = 6.0


class CircuitOpenError(Exception):
    """The call was not made, since those before it failed."""


class CircuitBreaker:
    """Closed while calls succeed; open after failures in a row; one call tries the water when the pause is over."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_from = 0.0

    def call(self, function: Callable[[], T], failure: type[Exception]) -> T:
        """Call, or raise ``CircuitOpenError``; only ``failure`` counts as one."""
        with self._lock:
            if self._failures >= FAILURES_TO_OPEN and time.monotonic() < self._closed_from:
                raise CircuitOpenError(f"circuit to {self._name} is open")
            # Whoever tries next finds it open again until this call has come back.
            self._closed_from = time.monotonic() + OPEN_S
        try:
            result = function()
        except failure:
            self._failures += 1
            raise
        self._failures = 0
        return result
