"""The log lines below a waterfall."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.console import Console

from collector.cli.trace_logs import find_logs, print_logs
from collector.store import open_store
from collector.store.protocol import LogPosition, QueryLimits
from tests.collector.store.telemetry import START_NS, logs

if TYPE_CHECKING:
    import pyarrow as pa

    from collector.store.protocol import Store

MS = 10**6
TRACE = {"trace_id": "01" * 16, "spans": [{"start_unix_nano": str(START_NS), "duration_ns": str(100 * MS)}]}


class Answering:
    """A store as the commands see it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def sql_arrow(self, query: str) -> pa.Table:
        """See ``SqlSource``."""
        return self._store.query(query, QueryLimits())


def line(at_ms: float, number: int, body: str, trace: bytes = b"\1" * 16) -> dict[str, Any]:
    """A log record."""
    severity = {5: "DEBUG", 9: "INFO", 13: "WARN", 17: "ERROR"}[number]
    times = {"time_unix_nano": START_NS + int(at_ms * MS)}
    return {"trace_id": trace, "severity_number": number, "severity_text": severity, "body": body} | times


def printed(*records: dict[str, Any], terminal: bool = False) -> list[str]:
    """What is shown of these, in a terminal of 80 columns or in a file."""
    store = open_store(":memory:")
    store.append(logs(*records), LogPosition(1, 1))
    console = Console(file=io.StringIO(), width=80, color_system=None, force_terminal=terminal)
    print_logs(find_logs(Answering(store), TRACE), TRACE, console)
    store.close()
    assert isinstance(console.file, io.StringIO)
    return [text.rstrip() for text in console.file.getvalue().splitlines()]


def test_the_severest_are_shown_by_time() -> None:
    """With the time since the trace began, on one line each; how many are not shown is said."""
    chatter = [line(at, 9, f"step {at}") for at in range(9)]
    found = printed(line(50, 17, "no answer\nat all"), line(-2, 13, "slow \x1b[31mdisk"), *chatter)
    assert found[:3] == ["", "Log lines", "-     2 ms shop WARN slow \N{REPLACEMENT CHARACTER}[31mdisk"]
    assert found[-2] == "+    50 ms shop ERROR no answer at all"
    assert len(found) == 2 + 8 + 1
    assert found[-1] == f"3 more, less severe: lithoscope sql \"SELECT * FROM logs WHERE trace_id = '{'01' * 16}'\""


def test_other_traces_and_long_lines_do_not_matter() -> None:
    """A line is cut where the terminal ends; a file has more of it."""
    records = (line(1, 17, "x" * 900), line(1, 17, "another trace's", b"\2" * 16))
    found = printed(*records, terminal=True)
    assert len(found) == 3
    assert len(found[-1]) == 80
    assert printed(*records)[-1].endswith("x" * 500)
    assert found[-1].endswith("x…")


def test_a_trace_without_logs_has_no_such_part() -> None:
    """Nor has one whose logs are an hour away."""
    assert printed(line(3_600_000, 17, "later")) == []
