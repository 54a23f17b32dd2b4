"""One trace as a waterfall in the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from collector.cli.fitting import cut_middle, page_width
from collector.cli.text import printable
from collector.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

Span = dict[str, Any]

_MOST_ROWS = 400
_MOST_INDENT = 10  # deeper, the level is written instead, or the names would have no room
_DURATION_WIDTH = 10
_LABEL_SHARE = 0.5
_NARROWEST_BAR = 10
_WIDEST_PAGE = 160  # without a terminal, where bars would be as wide as the page
_MOST_REASONS = 3  # of one span
_HEAVY, _LIGHT = "━", "─"  # on the critical path, and not

_ORPHAN = "parent missing"
_CIRCLE = "parents form a circle"


@dataclass(frozen=True, slots=True)
class Row:
    """A span at its place in the tree; ``note`` says why it stands at the top without being a root."""

    span: Span
    depth: int
    note: str = ""


def tree_rows(spans: list[Span]) -> list[Row]:
    """Return every span once, parents before children, siblings by start.

    A span whose parent is missing stands at the top, as does the earliest span of a circle of parents.
    """
    spans = sorted(spans, key=lambda span: int(span["start_unix_nano"]))
    children: dict[str, list[int]] = {}
    for index, span in enumerate(spans):
        children.setdefault(span["parent_span_id"], []).append(index)
    rows: list[Row] = []
    seen: set[int] = set()
    for start, note in _tops(spans):
        rows.extend(_descend(spans, children, seen, Row(spans[start], 0, note), start))
    return rows


def _tops(spans: list[Span]) -> Iterator[tuple[int, str]]:
    """Roots and orphans by start; then every span again, for those that no top leads to."""
    ids = {span["span_id"] for span in spans}
    for index, span in enumerate(spans):
        parent = span["parent_span_id"]
        if parent is None or parent not in ids:
            yield index, "" if parent is None else _ORPHAN
    yield from ((index, _CIRCLE) for index in range(len(spans)))


def _descend(spans: list[Span], children: dict[str, list[int]], seen: set[int], top: Row, start: int) -> Iterator[Row]:
    """Depth first with a stack of its own: a trace may be deeper than Python's."""
    stack = [(start, top)]
    while stack:
        index, row = stack.pop()
        if index in seen:
            continue
        seen.add(index)
        yield row
        below = children.get(row.span["span_id"], [])
        stack.extend((child, Row(spans[child], row.depth + 1)) for child in reversed(below))


def kept_rows(rows: list[Row], most: int = _MOST_ROWS) -> list[Row]:
    """Return at most ``most`` rows in the same order: spans in error first, then the longest."""
    if len(rows) <= most:
        return rows
    ranked = sorted(
        range(len(rows)), key=lambda index: (rows[index].span["status"] != "error", -_duration(rows[index]))
    )
    return [rows[index] for index in sorted(ranked[:most])]


def _duration(row: Row) -> int:
    return int(row.span["duration_ns"])


@dataclass(frozen=True, slots=True)
class Picture:
    """What all lines share: the time that the bars' width stands for, and each span's sections of the critical path.

    ``sections`` is None when the trace was not analysed, or has no critical path; then all bars are heavy.
    """

    start: int
    total: int
    label_width: int
    width: int
    sections: dict[str, list[tuple[int, int]]] | None

    @property
    def bar_width(self) -> int:
        """Characters left for the bars."""
        columns = 1 if self.sections is None else 2
        return max(_NARROWEST_BAR, self.width - self.label_width - columns * (_DURATION_WIDTH + 1) - 2)


def print_waterfall(trace: dict[str, Any], console: Console | None = None, most: int = _MOST_ROWS) -> None:
    """Print a ``trace`` object: a head line, then a line a span with its bar; what is cut is said at the end.

    With a critical path, the second time of a line is the span's part of it, and its bar is heavy there.
    """
    console = console or Console()
    rows = tree_rows(trace["spans"])
    kept = kept_rows(rows, most)
    picture = _picture(trace, kept, page_width(console))
    console.print(_head(trace, picture.total), soft_wrap=True)
    if picture.sections is not None:
        console.print(_column_names(picture), style="dim", soft_wrap=True)
    for row in kept:
        console.print(_line(row, picture), soft_wrap=True)
        for reason in span_reasons(row):
            console.print(_reason(row, reason, page_width(console)), soft_wrap=True)
    if len(kept) < len(rows):
        cut = f"{len(rows) - len(kept):,} shorter spans are left out; --format json has all {len(rows):,}."
        console.print(Text(cut, style="dim"), soft_wrap=True)


def _picture(trace: dict[str, Any], kept: list[Row], width: int) -> Picture:
    spans: list[Span] = trace["spans"]
    timed = [span for span in spans if int(span["start_unix_nano"])] or spans  # without a time is not in 1970
    start = min(int(span["start_unix_nano"]) for span in timed)
    total = max(1, max(int(span["start_unix_nano"]) + int(span["duration_ns"]) for span in timed) - start)
    sections: dict[str, list[tuple[int, int]]] = {}
    for section in trace["critical_path"]:
        times = int(section["start_unix_nano"]), int(section["end_unix_nano"])
        sections.setdefault(section["span_id"], []).append(times)
    labels = _label_width(kept, width)
    return Picture(start, total, labels, min(width, max(_WIDEST_PAGE, labels + _WIDEST_PAGE // 2)), sections or None)


def _column_names(picture: Picture) -> str:
    return f"{'':{picture.label_width}} {'duration':>{_DURATION_WIDTH}} {'on path':>{_DURATION_WIDTH}}"


def _head(trace: dict[str, Any], total: int) -> Text:
    spans = trace["spans"]
    services = len({span["service"] for span in spans})
    state = "complete" if trace["complete"] else "incomplete"
    return Text(
        f"trace {trace['trace_id']}  {format_duration(total)}  {_plural(len(spans), 'span')}  "
        f"{_plural(services, 'service')}  {state}",
        style="bold",
    )


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _label_width(rows: list[Row], width: int) -> int:
    longest = max(span_label(row).cell_len for row in rows)
    return max(1, min(longest, int(width * _LABEL_SHARE), width - _DURATION_WIDTH - _NARROWEST_BAR - 3))


def span_label(row: Row) -> Text:
    """Return a span's name behind its service, indented by its depth, and what is remarkable about it."""
    span = row.span
    label = Text("  " * min(row.depth, _MOST_INDENT))
    if row.depth > _MOST_INDENT:
        label.append(f"{row.depth}> ", style="dim")
    label.append(printable(span["service"] or "?"), style="cyan")
    label.append(f" {printable(span['name'])}", style="red" if span["status"] == "error" else "")
    if span.get("event_count"):
        label.append(f" ({_plural(span['event_count'], 'event')})", style="dim")
    if span["status"] == "error":
        # In words too: not every terminal and eye has the colour.
        label.append(f" [{' '.join(filter(None, ('error', str(span.get('http_status_code') or ''))))}]", style="red")
    if row.note:
        label.append(f" [{row.note}]", style="yellow")
    return label


def span_reasons(row: Row) -> list[str]:
    """Return why a span failed: its exceptions, its status message where that says something else; first lines."""
    if row.span["status"] != "error":
        return []
    exceptions = [
        ": ".join(filter(None, (_first_line(said["type"]), _first_line(said["message"]))))
        for said in row.span.get("exceptions") or []
    ]
    message = _first_line(row.span.get("status_message"))
    said_already = any((message.partition(": ")[2] or message) in said for said in exceptions)
    return list(dict.fromkeys(filter(None, ["" if said_already else message, *exceptions])))[:_MOST_REASONS]


def _first_line(text: str | None) -> str:
    """The first line, and the second one when the first only announces it."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])


def _reason(row: Row, reason: str, width: int) -> Text:
    line = Text("  " * (min(row.depth, _MOST_INDENT) + 1))
    line.append(printable(reason), style="dim red")
    line.truncate(width, overflow="ellipsis")
    return line


def _line(row: Row, picture: Picture) -> Text:
    line = cut_middle(span_label(row), picture.label_width)
    line.pad_right(picture.label_width - line.cell_len)
    line.append(f" {format_duration(_duration(row)):>{_DURATION_WIDTH}} ")
    if picture.sections is not None:
        on_path = row.span.get("critical_path_ns")
        line.append(f"{format_duration(on_path) if on_path else '':>{_DURATION_WIDTH}} ")
    line.append(_bar(row.span, picture), style="red" if row.span["status"] == "error" else "green")
    return line


def _bar(span: Span, picture: Picture) -> str:
    """A bar of at least one character, inside the width."""
    begin = int(span["start_unix_nano"])
    left, right = _cells(begin, begin + int(span["duration_ns"]), picture)
    if picture.sections is None:
        return " " * left + _HEAVY * (right - left)
    bar = [_LIGHT] * (right - left)
    for section in picture.sections.get(span["span_id"], []):
        first, last = (min(max(cell, left), right) - left for cell in _cells(*section, picture))
        bar[first:last] = _HEAVY * (last - first)
    return " " * left + "".join(bar)


def _cells(begin: int, end: int, picture: Picture) -> tuple[int, int]:
    """The first cell of a time and the one behind its last."""
    width = picture.bar_width
    left = max(0, min((begin - picture.start) * width // picture.total, width - 1))
    return left, left + max(1, min(round((end - begin) * width / picture.total), width - left))
