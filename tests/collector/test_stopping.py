"""Signals stop the process, whatever it does when they come."""

from __future__ import annotations

import subprocess
import sys

STRUCK = """
import random, signal
from collector.stopping import StopSignals

signals = StopSignals()
signal.signal(signal.SIGALRM, signals._break_off)
random.seed(1)
signals._is_early = False
for number in range(20_000):
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 3e-5))
    signals.wait()
print("all were heard")
"""
TWICE = """
import os, signal
from collector.stopping import StoppedEarlyError, StopSignals

signals = StopSignals()
try:
    os.kill(os.getpid(), signal.SIGTERM)
except StoppedEarlyError:
    for _ in range(100_000):
        os.kill(os.getpid(), signal.SIGINT)
    signals.wait()
    print("cleaned up")
"""

STUCK = """
import threading
from collector.stopping import end_after

end_after(60).cancel()
end_after(0.1)
print("stuck", flush=True)
threading.Event().wait()
"""


def _output(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_a_signal_at_any_moment_is_heard() -> None:
    """Just before the wait, in the middle of its beginning, and while it lasts."""
    assert _output(STRUCK) == "all were heard\n"


def test_only_the_first_early_signal_breaks_off() -> None:
    """Impatience does not break into what the first one ends, and any number of signals fits."""
    assert _output(TWICE) == "cleaned up\n"


def test_what_is_stuck_is_ended() -> None:
    """With status 0: nothing that was acknowledged is lost by it."""
    assert _output(STUCK).startswith("stuck\n")
