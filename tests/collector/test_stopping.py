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

QUERIED = """
import os, signal, tempfile, threading, urllib.error, urllib.request
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from collector.service import serve
from collector.settings import load_settings
from collector.stopping import end_despite_queries

asked = threading.Event()

def report(store, options):
    asked.set()
    threading.Event().wait()

def ask(url):
    try:
        urllib.request.urlopen(f"{url}/v1/report")
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode(), flush=True)

@contextmanager
def asked_while_stopping(service):
    asking = threading.Thread(target=ask, args=[service.url])
    asking.start()
    asked.wait()
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGTERM]).start()
    yield

anywhere = dict.fromkeys(("grpc", "http", "query"), "127.0.0.1:0")
analysis = SimpleNamespace(report=report, running=lambda *_: nullcontext())
with tempfile.TemporaryDirectory() as folder:
    settings = load_settings({"db": Path(folder, "t.duckdb"), "dashboard": "off"} | anywhere)
    serve(settings, asked_while_stopping, analysis)
print("deleted" if not Path(folder).exists() else "left behind", flush=True)
end_despite_queries()
print("never reached")
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


def test_a_query_that_does_not_end_is_cut_off_in_silence() -> None:
    """Its client is told; nothing is torn down under its thread, so that no library complains."""
    done = subprocess.run([sys.executable, "-c", QUERIED], capture_output=True, text=True, timeout=60, check=True)
    assert "503" in done.stdout
    assert "The collector stops" in done.stdout
    assert "deleted" in done.stdout  # what comes after serving, as in the demo, is done
    assert "never reached" not in done.stdout
    assert "Traceback" not in done.stderr
    assert "leaked" not in done.stderr
