"""A reader that closes its pipe early has seen enough: that is no failure of the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _unread(*arguments: object) -> tuple[int, str]:
    """Run a command whose output nobody reads; its status and what it says on standard error."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, str(ROOT / "lithoscope.py"), *map(str, arguments)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("trace", "01" * 16),
        ("trace", "01" * 16, "--format", "json"),
        ("report",),
        ("report", "--format", "html"),
        ("sql", "SELECT * FROM spans"),
        ("sql", "SELECT * FROM spans", "--format", "csv"),
        ("diff", "2020-01-01T00:00:00Z..2030-01-01T00:00:00Z", "2020-01-01T00:00:00Z..2030-01-01T00:00:00Z"),
        ("--help",),
    ],
)
def test_a_closed_pipe_is_no_failure(shop_file: Path, arguments: tuple[str, ...]) -> None:
    """Exit status 0, and nothing on standard error."""
    db = () if arguments == ("--help",) else ("--db", shop_file)
    assert _unread(*arguments, *db) == (0, "")


def test_a_terminal_without_unicode_gets_an_answer(shop_file: Path) -> None:
    """What it cannot show is replaced."""
    command = [sys.executable, str(ROOT / "lithoscope.py"), "trace", "01" * 16, "--db", str(shop_file)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "op 1" in done.stdout


def test_a_closed_pipe_hides_no_failure(shop_file: Path, tmp_path: Path) -> None:
    """A policy that is broken stays status 1: a build must not pass because nobody read why."""
    policy = tmp_path / "policy.toml"
    policy.write_text('[dependencies]\nforbid = ["web -> cart"]')
    for form in ("text", "json", "junit"):
        assert _unread("check", "--policy", policy, "--format", form, "--db", shop_file) == (1, "")
    assert _unread("import", tmp_path / "nowhere.json", policy, "--db", tmp_path / "new.duckdb")[0] == 1
