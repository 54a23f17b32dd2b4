"""What a crash at any moment leaves on the disk: all that was acknowledged, and nothing twice."""

from __future__ import annotations

import random
import shutil
import threading
from typing import TYPE_CHECKING, Any, cast

from collector.ingest import inserter
from collector.log import DurableLog
from collector.signals import Signal
from tests.collector.ingest.pipelines import WAIT_S, body, running, stored

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from collector.ingest.pipeline import Pipeline


def test_a_crash_image_yields_exactly_what_was_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files copied at random moments under load: all that was acknowledged before, nothing twice, nothing else."""
    monkeypatch.setitem(cast("Any", DurableLog.__init__).__kwdefaults__, "segment_bytes", 3000)
    monkeypatch.setattr(inserter, "_LONGEST_WAIT_S", 0.01)
    rng = random.Random(5)
    images: list[tuple[Path, set[int]]] = []
    original = tmp_path / "original"
    original.mkdir()
    with running(original, keep_log=True) as (pipeline, _):
        load = Load(pipeline)
        for number in range(6):
            load.wait_for(load.acknowledged_count() + rng.randrange(1, 60))
            image, acknowledged = tmp_path / f"image-{number}", load.snapshot()
            image.mkdir()
            # The store first: the log may be ahead of it, never behind.
            for name in ("t.duckdb", "t.duckdb.wal"):
                shutil.copyfile(original / name, image / name)
            shutil.copytree(original / "t.duckdb.log", image / "t.duckdb.log")
            images.append((image, acknowledged))
        submitted = load.stop()
    for image, acknowledged in images:
        with running(image) as (_, store):
            found = stored(store)
        assert acknowledged <= found.keys() <= submitted
        assert set(found.values()) == {3}


class Load:
    """Two senders that submit new requests until they are stopped."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._acknowledged: list[int] = []
        self._progress = threading.Condition()
        self._stopping = threading.Event()
        self._submitted: list[int] = []
        self._threads = [threading.Thread(target=self._send, args=(first,)) for first in range(2)]
        for thread in self._threads:
            thread.start()

    def _send(self, first: int) -> None:
        for number in range(first, 100_000, 2):
            if self._stopping.is_set():
                return
            self._submitted.append(number)
            self._pipeline.submit(Signal.TRACES, body(number)).result(WAIT_S)
            with self._progress:
                self._acknowledged.append(number)
                self._progress.notify_all()

    def acknowledged_count(self) -> int:
        """How many requests were acknowledged."""
        return len(self._acknowledged)

    def wait_for(self, count: int) -> None:
        """Wait until so many requests were acknowledged."""
        with self._progress:
            assert self._progress.wait_for(lambda: len(self._acknowledged) >= count, WAIT_S)

    def snapshot(self) -> set[int]:
        """What was acknowledged by now."""
        with self._progress:
            return set(self._acknowledged)

    def stop(self) -> set[int]:
        """Stop, and return all that was submitted."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        return set(self._submitted)
