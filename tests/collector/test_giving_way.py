"""Threads that let others go first."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from collector.giving_way import give_way


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a priority is a process's")
def test_a_thread_gives_way_with_those_that_it_starts_and_nobody_else() -> None:
    """Receiving stays as it is."""
    found: dict[str, int] = {}

    def tell(name: str) -> None:
        found[name] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def analyse() -> None:
        give_way()
        tell("own")
        inner = threading.Thread(target=tell, args=("started",))
        inner.start()
        inner.join()

    tell("before")
    thread = threading.Thread(target=analyse)
    thread.start()
    thread.join()
    tell("after")
    assert found == {"before": found["before"], "own": 10, "started": 10, "after": found["before"]}
    assert found["before"] <= 10
