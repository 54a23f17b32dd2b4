"""A lake without its extension, as on DuckDB 2.0, for which there is none yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

from collector.errors import StoreError
from collector.store import open_lake

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(duckdb.__version__.startswith("1."), reason="this DuckDB may have the extension")
def test_the_remedy_names_the_version_that_has_it(tmp_path: Path) -> None:
    """One sentence, before any file is made of the lake."""
    with pytest.raises(StoreError, match=r"needs DuckDB's extension ducklake.*install duckdb==1\.5\.5.*docs/lake\.md"):
        open_lake(f"ducklake:{tmp_path / 'lake'}", str(tmp_path / "data"), "0" * 32)
    assert not (tmp_path / "lake").exists()
