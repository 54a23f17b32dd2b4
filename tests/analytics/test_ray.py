"""Over Ray's workers the analysis is what it is in one process, to the bit, whatever happens to a worker.

`make test-ray` runs these in an environment of their own: Ray takes 240 MB.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from analytics import reanalysis
from analytics.options import Options
from analytics.pools import OneProcess, RayPool
from analytics.sides import ALL_TIME
from collector.errors import LithoscopeError
from tests.analytics.kept import kept
from tests.analytics.test_reanalysis import MINUTES, fill, opened, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from analytics.pools import Pool
    from analytics.reanalysis import Outcome

pytest.importorskip("ray", reason="Ray is not installed here: `make test-ray` has an environment with it")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own, of its own


@pytest.fixture(scope="module")
def two_workers() -> Iterator[RayPool]:
    """Two worker processes."""
    with RayPool("local", workers=2) as pool:
        yield pool


def analysed(folder: Path, pool: Pool) -> tuple[Outcome, dict[str, list[str]]]:
    """What becomes of a file, and what is kept of it."""
    db = folder / "t.duckdb"
    fill(db)
    with opened(db) as store:
        outcome = reanalysis.analyse_again(store, ALL_TIME, Options(), pool)
    return outcome, kept(db)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What one process keeps."""
    return analysed(tmp_path_factory.mktemp("alone"), OneProcess())[1]


def test_two_workers_keep_the_same(tmp_path: Path, two_workers: RayPool, alone: dict[str, list[str]]) -> None:
    """Minutes and hours, bit for bit, and it was the workers that did it."""
    outcome, found = analysed(tmp_path, two_workers)
    assert (outcome.minutes, outcome.hours, outcome.failures) == (MINUTES, 1, [])
    assert found == alone


def test_it_is_workers_that_work(tmp_path: Path, two_workers: RayPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of it is done in this process."""
    here = os.getpid()

    def elsewhere(common: Any, rows: Any) -> Any:
        if os.getpid() == here:
            raise AssertionError("done here")
        return reanalysis.roll_up_rows(common, rows)

    monkeypatch.setattr(reanalysis, "roll_up_rows", elsewhere)
    outcome, _ = analysed(tmp_path, two_workers)
    assert outcome.failures == []


def test_a_worker_that_is_killed_changes_nothing(
    tmp_path: Path, two_workers: RayPool, alone: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a task, with SIGKILL: another does it."""
    died = tmp_path / "died"

    def dying(common: Any, rows: Any) -> Any:
        if not died.exists():
            died.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return reanalysis.roll_up_rows(common, rows)

    monkeypatch.setattr(reanalysis, "roll_up_rows", dying)
    outcome, found = analysed(tmp_path, two_workers)
    assert int(died.read_text()) != os.getpid()
    assert (outcome.minutes, outcome.failures) == (MINUTES, [])
    assert found == alone


def test_a_task_that_fails_is_told(tmp_path: Path, two_workers: RayPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words it would have in one process."""

    def failing(*_: Any) -> Any:
        raise ValueError("no good")

    monkeypatch.setattr(reanalysis, "roll_up_rows", failing)
    outcome, _ = analysed(tmp_path, two_workers)
    assert outcome.minutes == 0
    assert min(outcome.failures) == "minute 2026-11-23T12:00Z: ValueError: no good"
    assert len(outcome.failures) == MINUTES


def test_the_command_takes_workers_of_this_machine(tmp_path: Path, alone: dict[str, list[str]]) -> None:
    """And prints what was done, and nothing else."""
    fill(tmp_path / "t.duckdb")
    done = run("--db", tmp_path / "t.duckdb", "--ray", "local")
    assert (done.returncode, done.stdout) == (0, "4 minutes and 1 hour analysed again, 312 spans\n"), done.stderr
    assert kept(tmp_path / "t.duckdb") == alone


def test_no_ray_at_an_address_is_a_sentence() -> None:
    """With the remedy, and nothing is opened."""
    with pytest.raises(LithoscopeError, match=r"There is no Ray at nowhere\.invalid:6379 .*start one with `ray start"):
        RayPool("nowhere.invalid:6379").__enter__()
