"""How a signal ends the process: by a byte in a pipe, which the system's own handler writes.

``threading.Event`` cannot be used for it. Python's handlers run in the main thread, and when that is inside ``wait()``,
``set()`` may want the lock that ``wait()`` holds; and one that has begun to sleep in the very moment of the signal runs
no handler at all.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress

import structlog

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_QUERY_THREAD = "AnyIO worker thread"  # as Starlette's thread pool names those that work; idle ones have ended

log = structlog.get_logger(__name__)


class StoppedEarlyError(BaseException):
    """A signal came before anybody waited for one."""


class StopSignals:
    """Takes SIGTERM and SIGINT from now on; to be made in the main thread, and lives as long as the process."""

    def __init__(self) -> None:
        self._reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)  # a full pipe is full of signals
        self._is_early = True
        for number in _SIGNALS:
            signal.signal(number, self._break_off)

    def _break_off(self, *_: object) -> None:
        if self._is_early:
            self._is_early = False  # the next one must not break into what this one ends
            raise StoppedEarlyError

    def wait(self) -> None:
        """Return when a signal has come; until this is called, the first one raises ``StoppedEarlyError`` instead."""
        self._is_early = False
        os.read(self._reading, 1)


def end_after(seconds: float) -> threading.Timer:
    """End the process when it is still there then; cancel what this returns once all is done.

    That is no loss: what was acknowledged is in the log, and the next start stores the rest of it.
    """
    timer = threading.Timer(seconds, _give_up)
    timer.daemon = True
    timer.start()
    return timer


def end_despite_queries() -> None:
    """End the process at once when queries still run, which are cut off: they read, so nothing is lost by it.

    For the end of a command, with everything else done: Python would take its libraries down under the threads of these
    queries, which complain or crash.
    """
    if any(thread.name == _QUERY_THREAD for thread in threading.enumerate()):
        _end()


def _give_up() -> None:
    log.warning("not everything could be stored in time, the next start does it")
    _end()


def _end() -> None:
    with suppress(OSError, ValueError):  # nobody reads them any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)
