"""The dashboard lives and dies beside the collector, and never takes it along."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from collector.client import connect
from dashboard import launch

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "lithoscope", "serve", "--dashboard", "127.0.0.1:0"]
ANYWHERE = [part for name in ("grpc", "http", "query") for part in (f"--{name}", "127.0.0.1:0")]
PATIENCE_S = 20.0


def answers(address: str) -> bool:
    """Whether a dashboard is there."""
    try:
        with urllib.request.urlopen(f"http://{address}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_it_ends_when_the_collector_is_killed(tmp_path: Path) -> None:
    """With ``kill -9``, after which nobody can clean up; until then it is where the link says."""
    with subprocess.Popen([*COMMAND, "--db", str(tmp_path / "x.duckdb"), *ANYWHERE], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        addresses = dict(process.stdout.readline().decode().split() for _ in range(4))
        links = [process.stdout.readline().decode().split() for _ in range(3)]
        said = {name: f"http://{addresses[name]}" for name in ("dashboard", "query")}
        assert links == [[], ["Dashboard:", said["dashboard"]], ["Queries:", said["query"]]]
        assert answers(addresses["dashboard"])
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while answers(addresses["dashboard"]):
        assert time.monotonic() < deadline, "the dashboard outlives its collector"


def test_the_collector_runs_without_a_dashboard_that_cannot_start(tmp_path: Path) -> None:
    """It says so in one sentence, and answers."""
    broken = tmp_path / "streamlit"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise SystemExit(3)\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(
        [*COMMAND, "--db", str(tmp_path / "x.duckdb"), *ANYWHERE],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        addresses = dict(process.stdout.readline().split() for _ in range(3))
        said = next(line for line in process.stderr if "dashboard" in line)
        assert "The dashboard ended with status 3 while it started. The collector runs without it." in said
        assert connect(f"http://{addresses['query']}").status()["failure"] is None
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize("command", ["serve", "dashboard"])
def test_a_port_that_is_taken_is_named(command: str, tmp_path: Path, empty: str) -> None:
    """Before anything is created."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        db = tmp_path / "x.duckdb"
        options = (
            ["--bind", address, "--url", empty] if command == "dashboard" else ["--dashboard", address, "--db", str(db)]
        )
        done = subprocess.run(
            [sys.executable, "-m", "lithoscope", command, *options, *(ANYWHERE if command == "serve" else [])],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert address.rpartition(":")[2] in done.stderr
    assert ("--bind" if command == "dashboard" else "--dashboard") in done.stderr
    assert not db.exists()


def test_a_dashboard_that_crashes_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as it does, each time after a longer pause; and it ends with the block."""
    monkeypatch.setattr(launch, "_FIRST_PAUSE_S", 0.01)
    started: list[subprocess.Popen[bytes]] = []
    many = threading.Semaphore(0)

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE))
        many.release()
        return started[-1]

    with launch.Supervisor(start(), start):
        for _ in range(3):
            assert many.acquire(timeout=PATIENCE_S)
            started[-1].kill()
        assert many.acquire(timeout=PATIENCE_S)
        assert started[-1].poll() is None
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 3 + [-signal.SIGTERM]


def test_pandas_is_whole_before_the_first_page() -> None:
    """Pages that two browsers open at once are drawn by two threads: Altair takes pandas as it finds it."""
    code = "import sys, dashboard.__main__; assert 'pandas' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
