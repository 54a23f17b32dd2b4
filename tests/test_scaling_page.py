"""docs/scaling.md shows what the worksheet prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def sizing(*arguments: str) -> str:
    """What the worksheet prints."""
    command = [sys.executable, "-m", "benchmarks.sizing", *arguments]
    environment = {"PATH": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_table_is_the_worksheets() -> None:
    """With its defaults."""
    assert sizing() in (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_more_takes_more() -> None:
    """Twice the days are twice the disk, twice the peak more collectors."""

    def cells(*arguments: str) -> list[str]:
        return [cell.strip() for cell in sizing("100000", *arguments).splitlines()[2].split("|")[1:-1]]

    week, month, peak = cells(), cells("--days", "14"), cells("--peak", "4")
    assert (week[6], month[6]) == ("4,409 GB", "8,818 GB")
    assert int(week[1]) < int(peak[1])
    assert week[5] == peak[5] == "70%"
