"""A collector in a process of its own, and what it takes while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterator

_PORTS = ("grpc", "http", "query")
_EVERY_S = 1.0


@contextmanager
def collector(db: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run ``lithoscope serve`` inside the block; yields the process and its addresses."""
    command = [sys.executable, "-m", "lithoscope", "serve", "--db", str(db)]
    command += [text for name in _PORTS for text in (f"--{name}", "127.0.0.1:0")]
    environment = os.environ | {"LITHOSCOPE_DASHBOARD": "off"} | settings
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, dict(process.stdout.readline().split() for _ in _PORTS)
        finally:
            process.terminate()
            process.wait(60)


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    """Start one of these scripts, that prints JSON in the end."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def figures_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a script, and return what it printed."""
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args!r} failed")
    figures: dict[str, Any] = json.loads(output)
    return figures


def metrics(query_address: str) -> dict[str, float]:
    """Return a collector's own metrics by name; those with labels are added up."""
    with urlopen(f"http://{query_address}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name] = values.get(sample.name, 0.0) + sample.value
    return values


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Repeating(ABC):
    """Takes a step every second inside the block, in a thread of its own."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(_EVERY_S):
            self.step()

    @abstractmethod
    def step(self) -> None:
        """What is done every second."""


class Samples(Repeating):
    """Takes a row of figures every second inside the block; ``rows`` has them."""

    def __init__(self, pid: int, db: Path, query_address: str) -> None:
        super().__init__()
        self._pid, self._db, self._address = pid, db, query_address
        self._started = time.monotonic()
        self.rows: list[dict[str, float]] = []

    def step(self) -> None:
        """Take a row."""
        now = metrics(self._address)
        files = [self._db, Path(f"{self._db}.wal"), *Path(f"{self._db}.log").glob("*")]
        self.rows.append(
            {
                "at_s": time.monotonic() - self._started,
                "rss_mib": resident_mib(self._pid),
                "queued_mib": now["lithoscope_queued_bytes"] / 2**20,
                "stored": now["lithoscope_records_stored_total"],
                "db_mib": self._size(files[:1]),
                "disk_mib": self._size(files),
            }
        )

    @staticmethod
    def _size(files: list[Path]) -> float:
        total = 0
        for file in files:
            try:
                total += file.stat().st_size
            except FileNotFoundError:  # a segment that was just deleted
                continue
        return total / 2**20
