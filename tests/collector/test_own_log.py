"""What the collector says of itself never stops it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SAYS = """
import structlog
from collector.own_log import configure_log

configure_log()
structlog.get_logger().error("the disk is full")
print("goes on")
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_behind_standard_error_changes_nothing() -> None:
    """Standard error is often a file on the very disk that is full."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", SAYS], stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert done.stdout == "goes on\n"
