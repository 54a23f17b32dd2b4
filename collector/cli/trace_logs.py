"""The log lines of one trace, below its waterfall: the severest ones, in the order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from collector.cli.fitting import page_width
from collector.cli.text import printable
from collector.units import format_duration

if TYPE_CHECKING:
    from collector.cli.source import SqlSource

_MOST_LINES = 8
_AROUND_NS = 60 * 10**9  # of logs that are stamped before or after the spans, by another clock
_ERROR, _WARN = 17, 13  # the least severity numbers of OpenTelemetry's levels
_QUERY = """
    SELECT epoch_ns("time") AS unix_nano, service_name, coalesce(severity_text, '') AS severity,
        coalesce(severity_number, 0) AS number, left(coalesce(body, ''), 500) AS body, count(*) OVER () AS lines
    FROM logs
    WHERE trace_id = '{trace_id}' AND "time" BETWEEN make_timestamp_ns({begin}) AND make_timestamp_ns({end})
    ORDER BY number DESC, "time"
    LIMIT {most}
"""


def find_logs(source: SqlSource, trace: dict[str, Any]) -> list[dict[str, Any]]:
    """Return log lines of a ``trace`` object, the severest few, by time.

    Each has ``unix_nano``, ``service_name``, ``severity``, ``number``, ``body``, and ``lines``: how many there are.
    """
    starts = [int(span["start_unix_nano"]) for span in trace["spans"]]
    ends = [int(span["start_unix_nano"]) + int(span["duration_ns"]) for span in trace["spans"]]
    window = {"begin": max(min(starts) - _AROUND_NS, 0), "end": min(max(ends) + _AROUND_NS, 2**63 - 1)}
    found = source.sql_arrow(_QUERY.format(trace_id=trace["trace_id"], most=_MOST_LINES, **window)).to_pylist()
    return sorted(found, key=lambda line: int(line["unix_nano"]))


def print_logs(lines: list[dict[str, Any]], trace: dict[str, Any], console: Console | None = None) -> None:
    """Print a line each, with the time since the trace began; what is left out is said at the end."""
    if not lines:
        return
    console = console or Console()
    begin = min(int(span["start_unix_nano"]) for span in trace["spans"])
    console.print(Text("\nLog lines", style="bold"))
    for line in lines:
        console.print(_line(line, begin, page_width(console)), soft_wrap=True)
    rest = lines[0]["lines"] - len(lines)
    if rest:
        where = f"SELECT * FROM logs WHERE trace_id = '{trace['trace_id']}'"
        console.print(Text(f'{rest:,} more, less severe: lithoscope sql "{where}"', style="dim"), soft_wrap=True)


def _line(line: dict[str, Any], begin: int, width: int) -> Text:
    number = line["number"]
    since = int(line["unix_nano"]) - begin
    text = Text(f"{'-' if since < 0 else '+'}{format_duration(abs(since)):>9} ", style="dim")
    text.append(f"{printable(line['service_name'] or '?')} ", style="cyan")
    text.append(
        f"{printable(line['severity'])} ", style="red" if number >= _ERROR else "yellow" if number >= _WARN else ""
    )
    text.append(printable(" ".join(line["body"].split())))
    text.truncate(width, overflow="ellipsis")
    return text
