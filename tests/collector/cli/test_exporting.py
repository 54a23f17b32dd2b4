"""An export holds every row once, a day a folder, within the collector's limits."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from analytics.service import TraceAnalysis
from collector.cli.exporting import ALL_TIME, ExportedFile, Window, export, window_since
from collector.cli.source import open_source
from collector.errors import ConfigurationError, LithoscopeError, QueryError

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from collector.client import Client

_START_NS = 1_795_435_200_000_000_000
_FILES = {"2026-11-23": ["op 1", "op 2", "op 3"], "2026-11-24": ["next day"]}


def _exported(folder: Path) -> dict[str, list[str]]:
    table = pq.read_table(folder / "spans", columns=["day", "span_name"])
    found: dict[str, list[str]] = {}
    for row in table.to_pylist():
        found.setdefault(str(row["day"]), []).append(row["span_name"])
    return found


def test_a_day_is_a_folder(shop_file: Path, tmp_path: Path) -> None:
    """Readers of partitioned Parquet get the day as a column, and the rows by time."""
    with open_source(None, shop_file, TraceAnalysis) as source:
        files = list(export(source, tmp_path))
    assert files == [
        ExportedFile(tmp_path / "spans" / "day=2026-11-23" / "spans.parquet", 3),
        ExportedFile(tmp_path / "spans" / "day=2026-11-24" / "spans.parquet", 1),
    ]
    assert _exported(tmp_path) == _FILES


def test_a_running_collector_is_exported_alike(client: Client, tmp_path: Path) -> None:
    """Through the query API the files are the same; writing them again replaces them."""
    list(export(client, tmp_path))
    list(export(client, tmp_path))
    assert _exported(tmp_path) == _FILES
    assert sorted(path.suffix for path in tmp_path.rglob("*") if path.is_file()) == [".parquet", ".parquet"]


def test_a_window_leaves_the_rest_out(client: Client, tmp_path: Path) -> None:
    """The start belongs to the window and the end does not."""
    list(export(client, tmp_path, Window(_START_NS + 2_000_000, _START_NS + 3_000_000)))
    assert _exported(tmp_path) == {"2026-11-23": ["op 2"]}


class _Narrow:
    """Answers ``most`` rows of a view at most, and with ``breaks`` nothing after the first slice."""

    def __init__(self, client: Client, *, most: int, breaks: bool = False) -> None:
        self._client = client
        self._most = most
        self._breaks = breaks
        self.refused: list[str] = []
        self.answered = 0

    def sql_arrow(self, query: str) -> pa.Table:
        """Answer, or refuse."""
        table = self._client.sql_arrow(query)
        if "SELECT *" not in query:
            return table
        if self._breaks and self.answered:
            raise QueryError("broken", code="bad_sql")
        if table.num_rows > self._most:
            self.refused.append(query)
            raise QueryError("refused", code="row_limit")
        self.answered += 1
        return table

    def trace(self, trace_id: str) -> dict[str, Any]:
        """See ``Client.trace``."""
        return self._client.trace(trace_id)


def test_a_limit_is_met_by_smaller_slices(client: Client, tmp_path: Path) -> None:
    """A slice that is refused is halved until its parts pass; nothing is lost, doubled or out of order."""
    narrow = _Narrow(client, most=1)
    list(export(narrow, tmp_path))
    assert _exported(tmp_path) == _FILES
    assert len(narrow.refused) > 1


def test_a_failure_leaves_no_file(client: Client, tmp_path: Path) -> None:
    """An export that breaks off leaves no half file that a reader could take for whole."""
    with pytest.raises(QueryError, match="broken"):
        list(export(_Narrow(client, most=1, breaks=True), tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_limit_that_halving_cannot_meet_is_told(client: Client, tmp_path: Path) -> None:
    """A collector that refuses everything ends the export instead of halving for ever."""
    with pytest.raises(QueryError, match="refused"):
        list(export(_Narrow(client, most=-1), tmp_path))


def test_a_folder_that_cannot_be_written_is_named(client: Client, tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "spans").write_text("in the way")
    with pytest.raises(LithoscopeError, match=r"cannot be written .*--to"):
        list(export(client, tmp_path))


def test_since_takes_durations_and_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A duration counts back from now."""
    monkeypatch.setattr("time.time_ns", lambda: _START_NS)
    assert window_since(None) == ALL_TIME
    assert window_since("1h") == Window(_START_NS - 3_600_000_000_000, ALL_TIME.end)
    assert window_since("2026-11-23T12:00:00Z") == Window(_START_NS, ALL_TIME.end)
    assert window_since("1795435200") == Window(_START_NS, ALL_TIME.end)
    with pytest.raises(ConfigurationError, match=r"--since 'soon' is neither"):
        window_since("soon")


def test_the_partition_column_is_a_date(shop_file: Path, tmp_path: Path) -> None:
    """The folder's name is an ISO date that other tools parse."""
    with open_source(None, shop_file, TraceAnalysis) as source:
        days = [date.fromisoformat(file.path.parent.name.removeprefix("day=")) for file in export(source, tmp_path)]
    assert days == [date(2026, 11, 23), date(2026, 11, 24)]
