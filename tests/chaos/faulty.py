"""``python faulty.py serve …``: the real command, hurried, with one fault planted from outside.

The variable ``CHAOS`` holds JSON: ``point`` (see ``POINTS``), ``nth`` (at which call it strikes), ``after`` (whether
the call is let through before), or ``errors`` (the share of the log's writes that fail) and ``seed``. The product knows
nothing of this: functions are wrapped here, before it starts.
"""

from __future__ import annotations

import errno
import importlib
import itertools
import json
import os
import random
import signal
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

POINTS = {
    "receiver: submit": "collector.receiver.export:Exporter.submit",
    "receiver: answer": "collector.receiver.export:Exporter.response",
    "receiver: decode": "collector.ingest.intake:Intake._decode",
    "log: new segment": "collector.log:DurableLog._open_segment",
    "log: torn write": "",
    "log: write": "collector.log:DurableLog._write",
    "log: sync": "collector.log:_sync",
    "log: settle": "collector.ingest.intake:Intake.settle",
    "log: delete": "collector.log:DurableLog.delete_before",
    "insert: begin": "collector.store.duckdb_store:DuckDBStore._append",
    "insert: table": "collector.store.duckdb_store:_insert",
    "insert: position": "collector.store.duckdb_store:_record",
    "insert: append": "collector.store.duckdb_store:DuckDBStore.append",
    "insert: replay": "collector.ingest.applying:Applier.apply",
    "rollup: touch": "collector.store.minutes:touch_minutes",
    "rollup: begin": "collector.store.minutes:finish_minutes",
    "rollup: finish": "collector.store.duckdb_store:DuckDBStore.finish_minutes",
    "rollup: hour": "collector.store.hours:finish_hour",
    "retention: begin": "collector.store.duckdb_store:DuckDBStore.delete_before",
    "retention: unused": "collector.store.duckdb_store:DuckDBStore.delete_unused",
    "retention: compact": "collector.store.duckdb_store:DuckDBStore.compact",
    "migration: step": "collector.store.migrations:_apply",
    "migration: views": "collector.store.migrations:migrate",
    "stop: pipeline": "collector.ingest.pipeline:Pipeline.close",
    "stop: store": "collector.store.duckdb_store:DuckDBStore.close",
}
"""Where a run may be killed: the function that is called when it happens."""


def main() -> None:
    """Plant, and run the command."""
    plan = json.loads(os.environ.get("CHAOS", "{}"))
    _hurry()
    if plan.get("point"):
        _plant(plan)
    if plan.get("errors"):
        _fail_now_and_then(random.Random(plan["seed"]), plan["errors"])
    importlib.import_module("lithoscope").main()


def _hurry() -> None:
    """What happens every minute in life happens many times a second here; segments and checkpoints are small."""
    hurried: dict[str, dict[str, Any]] = {
        "collector.ingest.inserter": {"_LONGEST_WAIT_S": 0.02, "_FIRST_PAUSE_S": 0.05, "_LONGEST_PAUSE_S": 0.2},
        "collector.retention": {"_EVERY_S": 0.1},
        "collector.store.database": {"_CHECKPOINT": "300KB"},
        "analytics.hours": {"_EVERY_S": 0.3},
        "analytics.pipeline": {"_TICK_S": 0.05, "_SETTLE_S": 0.1, "_LONGEST_S": 0.2, "_MOST_LAG_S": 1e9},
    }
    for module, values in hurried.items():
        for name, value in values.items():
            setattr(importlib.import_module(module), name, value)
    log = importlib.import_module("collector.log")
    log.DurableLog.__init__.__kwdefaults__["segment_bytes"] = 10_000


def _plant(plan: dict[str, Any]) -> None:
    if plan["point"] == "log: torn write":
        _tear(plan["nth"], plan["seed"])
        return
    module, _, path = POINTS[plan["point"]].partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    setattr(owner, name, _deadly(getattr(owner, name), plan["nth"], after=plan["after"]))


def _deadly(function: Callable[..., Any], nth: int, *, after: bool) -> Callable[..., Any]:
    calls = itertools.count(1)

    def deadly(*arguments: Any, **options: Any) -> Any:
        is_last = next(calls) == nth
        if is_last and not after:
            _die()
        answer = function(*arguments, **options)
        if is_last:
            _die()
        return answer

    return deadly


def _tear(nth: int, seed: int) -> None:
    """Die in the middle of a write of the log."""
    log = importlib.import_module("collector.log")
    write, calls = log.DurableLog._write, itertools.count(1)

    def torn(self: Any, buffers: list[bytes]) -> None:
        if next(calls) == nth:
            content = b"".join(buffers)
            os.write(self._file, content[: random.Random(seed).randrange(len(content))])
            _die()
        write(self, buffers)

    log.DurableLog._write = torn


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fail_now_and_then(rng: random.Random, share: float) -> None:
    """Let writes, syncs and deletions of files fail, and writes be short, as a sick disk does."""
    log: Any = importlib.import_module("collector.log")
    writev, unlink = os.writev, os.unlink

    def is_sick() -> bool:
        return rng.random() < share

    def sick_writev(file: int, buffers: Sequence[bytes]) -> int:
        if not is_sick():
            return writev(file, buffers)
        content = b"".join(buffers)
        os.write(file, content[: rng.randrange(len(content) + 1)])
        raise OSError(errno.ENOSPC, "No space left on device")

    def sick(function: Callable[..., Any], number: int) -> Callable[..., Any]:
        def sick_function(*arguments: Any, **options: Any) -> Any:
            if is_sick():
                raise OSError(number, os.strerror(number))
            return function(*arguments, **options)

        return sick_function

    os.writev = cast("Any", sick_writev)
    os.unlink = cast("Any", sick(unlink, errno.EIO))
    os.ftruncate = cast("Any", sick(os.ftruncate, errno.EIO))
    log._sync = sick(log._sync, errno.EIO)


if __name__ == "__main__":
    main()
