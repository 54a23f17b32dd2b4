"""One run of chaos: a real collector under load, a fault, restarts, and what is stored in the end."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from analytics.pipeline import MinutePipeline
from collector.store import migrations, open_store
from tests.chaos.faulty import POINTS
from tests.chaos.load import Load, analysed, differences

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS = (*POINTS, "any moment", "pauses", "full disk", "sick disk")
"""Each is taken in turn; all but the last three end in a kill at that place."""

_FAULTY = Path(__file__).with_name("faulty.py")
_PORTS = ("grpc", "http", "query")
_START_S, _STOP_S = 120.0, 30.0  # far more than it takes: what is looked for here is not how long
_LATEST_S = 1.5  # after that much load the process is killed, if its fault has not struck
_ROLLUPS_S = 6.0  # the first analysis takes seconds
_MOST_CALLS = {"log": 30, "receiver": 60, "insert": 12, "rollup": 2, "retention": 3, "migration": 1, "stop": 1}
_SELDOM = {"log: new segment": 4, "log: delete": 4, "insert: replay": 1, "rollup: hour": 1, "retention: unused": 2}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found: ``wrong`` is empty when all is as it must be; ``struck`` whether the planted fault did it."""

    seed: int
    fault: str
    acknowledged: int
    struck: bool
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Running:
    """A collector that listens."""

    process: subprocess.Popen[str]
    grpc: str
    http: str


def run(seed: int, fault: str | None = None) -> Outcome:
    """Carry out the run of a seed, in a folder of its own that is deleted when all is right."""
    fault = fault or FAULTS[seed % len(FAULTS)]
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
    rng = random.Random(seed)
    load = Load(random.Random(seed))
    db = folder / "chaos.duckdb"
    if fault.startswith("migration") or fault == "insert: replay":
        _fill_log(db, load)
    if fault.startswith("migration"):
        _go_back(db, rng)
    struck = _strike(db, load, fault, rng)
    _kill_again(db, load, rng)
    wrong = _settle(db, load)
    if not wrong:
        wrong = _judge(db, load)
    if not wrong:
        shutil.rmtree(folder)
    return Outcome(seed, fault, len(load.acknowledged), struck, tuple(wrong))


@contextmanager
def _collector(db: Path, plan: dict[str, Any], **settings: str) -> Iterator[Running | None]:
    """A collector with a fault in it, killed at the end if it still runs; None when it died before it listened."""
    ports = [text for name in _PORTS for text in (f"--{name}", "127.0.0.1:0")]
    environment = os.environ | {"CHAOS": json.dumps(plan), "LITHOSCOPE_DASHBOARD": "off", "LITHOSCOPE_RETAIN": "1h"}
    environment |= {"LITHOSCOPE_LOG_FORMAT": "json", "LITHOSCOPE_MAX_DISK": "10GB"} | settings
    with (
        (db.parent / "collector.log").open("a") as log,
        subprocess.Popen(
            [sys.executable, _FAULTY, "serve", "--db", str(db), *ports],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield _listening(process)
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def _listening(process: subprocess.Popen[str]) -> Running | None:
    assert process.stdout is not None
    watchdog = threading.Timer(_START_S, process.kill)
    watchdog.start()
    try:
        addresses = dict(line.split() for line in (process.stdout.readline() for _ in _PORTS) if line.strip())
    finally:
        watchdog.cancel()
    return Running(process, addresses["grpc"], addresses["http"]) if len(addresses) == len(_PORTS) else None


def _strike(db: Path, load: Load, fault: str, rng: random.Random) -> bool:
    """Let the fault strike under load; whether it was the fault that ended the process."""
    plan: dict[str, Any] = {"seed": rng.randrange(2**32)}
    if fault in POINTS:
        most = _SELDOM.get(fault) or _MOST_CALLS[fault.partition(":")[0]]
        plan |= {"point": fault, "nth": rng.randint(1, most), "after": rng.random() < 0.5}
    if fault == "sick disk":
        plan["errors"] = rng.choice((0.02, 0.2, 0.6))
    with _collector(db, plan) as running:
        if running is None:
            return True
        with load.sending(running.grpc, running.http):
            return _disturb(running.process, db, fault, rng)


def _disturb(process: subprocess.Popen[str], db: Path, fault: str, rng: random.Random) -> bool:
    """Do to a running collector what the fault says, then kill it; whether it ended before."""
    seconds = {"any moment": rng.uniform(0.02, _LATEST_S), "rollup": _ROLLUPS_S, "stop": 0.5}
    ends = time.monotonic() + seconds.get(fault.partition(":")[0], _LATEST_S)
    while process.poll() is None and time.monotonic() < ends:
        if fault == "pauses":
            _pause(process, rng)
        elif fault == "full disk":
            _fill_disk(process, db, rng)
        else:
            _wait(process, ends - time.monotonic())
    if fault.startswith("stop"):
        process.terminate()
        _wait(process, _STOP_S)
    ended = process.poll() is not None
    process.kill()
    process.wait()
    return ended


def _pause(process: subprocess.Popen[str], rng: random.Random) -> None:
    process.send_signal(signal.SIGSTOP)
    time.sleep(rng.uniform(0.01, 0.6))
    process.send_signal(signal.SIGCONT)
    _wait(process, rng.uniform(0.01, 0.3))


def _fill_disk(process: subprocess.Popen[str], db: Path, rng: random.Random) -> None:
    """Let no file become larger than the database is, or a little more, for a while.

    A limit below that would tear blocks that DuckDB overwrites, which a full disk does not.
    """
    unlimited = resource.RLIM_INFINITY
    limit = db.stat().st_size + rng.choice((0, 5_000, 300_000))
    with suppress(ProcessLookupError):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, unlimited))
        _wait(process, rng.uniform(0.05, 0.5))
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        _wait(process, rng.uniform(0.05, 0.4))


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(seconds, 0))


def _kill_again(db: Path, load: Load, rng: random.Random) -> None:
    """In half of the runs the restart is killed too, while it starts, replays or has just begun to listen."""
    if rng.random() < 0.5:
        return
    killer: list[threading.Timer] = []
    with _collector(db, {}) as running:
        if running is None:
            return
        killer.append(threading.Timer(rng.uniform(0, 0.3), running.process.kill))
        killer[0].start()
        with load.sending(running.grpc, running.http):
            running.process.wait()
    killer[0].join()


def _settle(db: Path, load: Load) -> list[str]:
    """Run without a fault for a moment under load, and stop in order."""
    with _collector(db, {}) as running:
        if running is None:
            return ["it did not start again"]
        with load.sending(running.grpc, running.http):
            time.sleep(0.3)
            running.process.terminate()
            _wait(running.process, _STOP_S)
        if running.process.poll() != 0:
            return [f"it did not stop within {_STOP_S} s" if running.process.poll() is None else "it stopped badly"]
    return []


def _judge(db: Path, load: Load) -> list[str]:
    """Compare what is stored with what was sent, and the rollups with what is stored."""
    if any(db.with_name(f"{db.name}.quarantine").glob("*")):
        return ["something went to quarantine"]
    with closing(open_store(db)) as store:
        wrong = differences(load, store)
        now = [0.0]
        rollups = MinutePipeline(store, clock=lambda: now[0])
        for now[0] in (0.0, 30.0):  # what was stored last rests for 20 s before it is analysed
            rollups.step()
        stored, known = analysed(store)
    return wrong if stored == known else [*wrong, f"{stored} traces are stored, and the rollups know {known}"]


def _fill_log(db: Path, load: Load) -> None:
    """Leave a log for the next start to replay."""
    with _collector(db, {}, LITHOSCOPE_KEEP_LOG="true") as running:
        assert running is not None
        with load.sending(running.grpc, running.http):
            time.sleep(0.5)
            running.process.kill()
            running.process.wait()


def _go_back(db: Path, rng: random.Random) -> None:
    """Put an empty file of an older version in the place of the database: all that was acknowledged is in the log."""
    for name in (db.name, f"{db.name}.wal"):
        db.with_name(name).unlink(missing_ok=True)
    with duckdb.connect(str(db)) as connection:
        for step in migrations.MIGRATIONS[: rng.randrange(1, migrations.VERSION)]:
            migrations._apply(connection, step)
