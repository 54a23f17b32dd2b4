"""An import accounts for every record, wherever it goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from analytics.service import TraceAnalysis
from collector.cli import importing
from collector.cli.importing import Report, print_report, run_import
from collector.cli.source import open_source
from collector.errors import ConfigurationError, ImportFileError
from collector.importers.records import Problem, Request
from collector.service import Service
from collector.settings import load_settings
from collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_START_NS = 1_795_435_200_000_000_000


class _Files:
    """Files by name, each with what a reader would yield; remembers the shifts it was asked for."""

    def __init__(self, **files: list[Any]) -> None:
        self._files = files
        self.shifts: list[int] = []

    def read(self, path: Path, *, shift_ns: int, on_bytes: Callable[[int], None]) -> Iterator[Any]:
        """Stand in for ``read_requests``."""
        self.shifts.append(shift_ns)
        on_bytes(1)
        for item in self._files[path.name]:
            if isinstance(item, Exception):
                raise item
            yield item


@pytest.fixture
def good(shop: Any) -> Request:
    """Four spans."""
    return Request(Signal.TRACES, shop.request(), 4, "good:1")


def _install(monkeypatch: pytest.MonkeyPatch, files: _Files) -> None:
    monkeypatch.setattr(importing, "read_requests", files.read)
    monkeypatch.setattr(
        importing, "newest_unix_nano", lambda path, **_: {"a": _START_NS, "b": _START_NS - 5}.get(path.name)
    )


def _mixed(good: Request) -> list[Any]:
    """Good spans twice, a span with an id of zeros, bytes that are nothing, and a record the reader gave up on."""
    one_bad = bytes.replace(good.body, b"\2" * 16, b"\0" * 16)
    return [
        good,
        good,
        Request(Signal.TRACES, one_bad, 4, "a:2"),
        Request(Signal.TRACES, b"\xff\xff", 7, "a:3"),
        Problem("a:4", "no JSON"),
    ]


def test_a_database_gets_every_good_record_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, good: Request) -> None:
    """Read is stored, duplicate or rejected; the file goes on after what is bad, and so do the other files."""
    _install(monkeypatch, _Files(broken=[good, ImportFileError("broken: no format")], a=_mixed(good)))
    report = run_import([Path("broken"), Path("a")], url=None, db=tmp_path / "x.duckdb", to_now=False)
    counts = (report.records, report.stored, report.duplicates, report.rejected, report.bad)
    assert counts == (23, 4, 11, 8, 1)
    assert sorted(problem.partition(":")[0] + ":" + problem.split(":")[1] for problem in report.problems) == [
        "a:2",
        "a:3",
        "a:4",
    ]
    assert report.failures == ["broken: no format"]
    with open_source(None, tmp_path / "x.duckdb", TraceAnalysis) as source:
        assert source.sql_arrow("SELECT count(*) AS n FROM spans").to_pylist() == [{"n": 4}]


def test_a_running_collector_gets_them_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, good: Request) -> None:
    """The query API says where the receiver is; refusals come back in words."""
    _install(monkeypatch, _Files(a=_mixed(good)))
    anywhere = dict.fromkeys(("grpc", "http", "query"), "127.0.0.1:0")
    with Service(load_settings({"db": tmp_path / "x.duckdb", **anywhere})) as service:
        url = f"http://{service.addresses['query']}"
        report = run_import([Path("a")], url=url, db=None, to_now=False)
    assert (report.records, report.stored, report.rejected, report.bad) == (19, None, 8, 1)
    assert sorted(problem[:4] for problem in report.problems) == ["a:2:", "a:3:", "a:4:"]
    with open_source(None, tmp_path / "x.duckdb", TraceAnalysis) as source:
        assert source.sql_arrow("SELECT count(*) AS n FROM spans").to_pylist() == [{"n": 4}]


def test_now_shifts_all_files_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The newest of all files is now, so that the files keep their distances; without times nothing is shifted."""
    files = _Files(a=[], b=[], empty=[])
    _install(monkeypatch, files)
    monkeypatch.setattr(importing, "newest_unix_nano", lambda path, **_: {"a": 100, "b": 300}.get(path.name))
    monkeypatch.setattr("time.time_ns", lambda: 1000)
    run_import([Path("a"), Path("b"), Path("empty")], url=None, db=tmp_path / "x.duckdb", to_now=True)
    run_import([Path("empty")], url=None, db=tmp_path / "x.duckdb", to_now=True)
    run_import([Path("a")], url=None, db=tmp_path / "x.duckdb", to_now=False)
    assert files.shifts == [700, 700, 700, 0, 0]


def test_now_needs_files(tmp_path: Path) -> None:
    """Standard input cannot be read twice; a file that cannot be read at all keeps no other out."""
    with pytest.raises(ConfigurationError, match="standard input can be read once"):
        run_import([Path("-")], url=None, db=tmp_path / "x.duckdb", to_now=True)
    (tmp_path / "empty.json").write_text('{"resourceSpans": []}')
    files = [tmp_path / "absent.json", tmp_path / "empty.json"]
    report = run_import(files, url=None, db=tmp_path / "x.duckdb", to_now=True)
    assert report.failures == [f"{files[0]} cannot be read (No such file or directory): give a file that exists."]


def test_one_place_to_go(tmp_path: Path) -> None:
    """A database and a collector at once is wrong use."""
    with pytest.raises(ConfigurationError, match="not both"):
        run_import([], url="http://x", db=tmp_path / "x.duckdb", to_now=False)


def test_a_report_names_the_first_problems(capsys: pytest.CaptureFixture[str]) -> None:
    """Counts on standard output; problems and failures on standard error, five in words and the rest as a number."""
    report = Report(records=1234, stored=1000, duplicates=5)
    for number in range(7):
        report.add_problem(f"f:{number}: bad", bad=1)
    report.failures.append("g: no format")
    print_report(report)
    output = capsys.readouterr()
    assert output.out == "read 1,234, stored 1,000, duplicates 5, rejected 0, bad records 7\n"
    assert output.err.splitlines() == [
        *(f"f:{number}: bad" for number in range(5)),
        "… and 2 more problems",
        "lithoscope: 7 records were refused and left out; the rest is kept.",
        "lithoscope: g: no format",
    ]
