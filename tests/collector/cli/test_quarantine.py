"""What the store refused is shown with its reason, and sent again, whether a collector runs or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from typer.testing import CliRunner

from collector.cli.quarantine import quarantine_app
from collector.ingest import quarantine
from collector.ingest.pipeline import Pipeline
from collector.log import log_folder
from collector.signals import Signal
from collector.store import open_store
from tests.collector.ingest.pipelines import WAIT_S, ChoosyStore, body, running, stored
from tests.collector.receiver.running import run_collector

if TYPE_CHECKING:
    from pathlib import Path

    from collector.store.protocol import Store


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database beside which the request 2 is in quarantine."""
    path = tmp_path / "test.duckdb"
    store = open_store(path)
    pipeline = Pipeline(cast("Store", ChoosyStore(store, 2)), log_folder(path))
    for number in (1, 2):
        pipeline.submit(Signal.TRACES, body(number)).result(WAIT_S)
    pipeline.close()
    store.close()
    return path


def run(*arguments: object) -> tuple[int, str]:
    """The command's status and output."""
    result = CliRunner().invoke(quarantine_app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout


def test_the_list_says_why(db: Path) -> None:
    """File, size and reason, also of an empty quarantine."""
    (entry,) = quarantine.entries(quarantine.quarantine_folder(db))
    assert run("list", "--db", db) == (0, f"{entry.path} {len(body(2))} no column for this\n")
    assert run("list", "--db", db.with_name("other.duckdb")) == (0, "")


def test_a_replay_stores_what_is_taken_now(db: Path) -> None:
    """Its file is gone then, and its reason too."""
    assert run("replay", "--db", db) == (0, "sent 1, kept 0\n")
    assert list(quarantine.quarantine_folder(db).iterdir()) == []
    store = open_store(db)
    assert stored(store) == {1: 3, 2: 3}
    store.close()
    assert run("replay", "--db", db) == (0, "sent 0, kept 0\n")


def test_a_replay_into_a_running_collector(db: Path, tmp_path: Path) -> None:
    """It need not be stopped."""
    with run_collector(tmp_path) as collector:
        assert run("replay", "--db", db, "--url", collector.client.url) == (0, "sent 1, kept 0\n")
        assert len(collector.rows("SELECT * FROM spans", 6)) == 6


def test_what_is_not_taken_at_all_is_kept(db: Path) -> None:
    """A file that somebody has spoiled, say."""
    (entry,) = quarantine.entries(quarantine.quarantine_folder(db))
    entry.path.write_bytes(b"\xff")
    assert run("replay", "--db", db) == (1, "sent 0, kept 1\n")
    assert entry.path.read_bytes() == b"\xff"


def test_a_request_without_a_reason_is_still_one(db: Path, tmp_path: Path) -> None:
    """The reason is for people; and half a file, which a crash has left, is none."""
    folder = quarantine.quarantine_folder(db)
    next(folder.glob("*.reason.txt")).unlink()
    (folder / "half.traces.otlp.part").write_bytes(b"")
    (entry,) = quarantine.entries(folder)
    assert (entry.reason, entry.signal) == ("its reason is lost", Signal.TRACES)
    with running(tmp_path):
        pass
