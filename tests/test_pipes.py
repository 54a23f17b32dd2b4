"""A reader that closes its pipe early has seen enough: that is no failure of the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


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
    reading, writing = os.pipe()
    os.close(reading)
    db = () if arguments == ("--help",) else ("--db", str(shop_file))
    command = [sys.executable, str(ROOT / "lithoscope.py"), *arguments, *db]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
