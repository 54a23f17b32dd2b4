"""Where commands read from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analytics.service import TraceAnalysis
from collector.cli.source import diff_files, open_source
from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_not_compared_with_itself(shop_file: Path) -> None:
    """DuckDB would open it once and find its settings locked; another name of the same file is no other file."""
    again = shop_file.parent / ".." / shop_file.parent.name / shop_file.name
    with pytest.raises(ConfigurationError, match="give another file, or compare two windows of it with --db"):
        diff_files(shop_file, again, TraceAnalysis(), None)


def test_views_that_nobody_has_filled_say_so(shop_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, once for each question about them; spans need no analysis."""
    with open_source(None, shop_file, TraceAnalysis) as source:
        assert source.sql_arrow("SELECT name FROM services").num_rows == 0
        assert "`lithoscope analyze --db FILE` fills them" in capsys.readouterr().err
        source.sql_arrow("SELECT count(*) FROM spans")
        assert not capsys.readouterr().err
