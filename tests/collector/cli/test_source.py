"""Where commands read from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analytics.service import TraceAnalysis
from collector.cli.source import diff_files
from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_not_compared_with_itself(shop_file: Path) -> None:
    """DuckDB would open it once and find its settings locked; another name of the same file is no other file."""
    again = shop_file.parent / ".." / shop_file.parent.name / shop_file.name
    with pytest.raises(ConfigurationError, match="give another file, or compare two windows of it with --db"):
        diff_files(shop_file, again, TraceAnalysis(), None)
