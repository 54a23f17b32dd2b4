"""A trace in the terminal, however broken it is."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from collector.cli.waterfall import Row, kept_rows, print_waterfall, tree_rows


def _span(number: int, parent: int | None, start: int = 0, duration: int = 10, **more: Any) -> dict[str, Any]:
    span = {"span_id": str(number), "parent_span_id": None if parent is None else str(parent)}
    plain = {"service": "s", "name": f"op {number}", "status": "unset", "kind": "server"}
    return {**span, **plain, "start_unix_nano": start, "duration_ns": duration, **more}


def _shape(rows: list[Row]) -> list[tuple[str, int, str]]:
    return [(row.span["span_id"], row.depth, row.note) for row in rows]


def _printed(
    spans: list[dict[str, Any]],
    *,
    width: int = 60,
    most: int = 400,
    path: list[tuple[str, int, int]] | None = None,
    terminal: bool = True,
) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None, legacy_windows=False)
    keys = ("span_id", "start_unix_nano", "end_unix_nano")
    sections = [dict(zip(keys, section, strict=True)) for section in path or []]
    trace = {"trace_id": "ab", "complete": True, "spans": spans, "critical_path": sections}
    print_waterfall(trace, console, most)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_children_follow_their_parent_by_start() -> None:
    """Depth first, siblings by start, whatever the order of arrival."""
    spans = [_span(4, 2, 6), _span(3, 1, 5), _span(2, 1, 2), _span(1, None, 1)]
    assert _shape(tree_rows(spans)) == [("1", 0, ""), ("2", 1, ""), ("4", 2, ""), ("3", 1, "")]


def test_orphans_and_circles_stand_at_the_top() -> None:
    """A missing parent and a circle of parents are said, and no span is lost or shown twice."""
    spans = [_span(1, None, 1), _span(2, 9, 2), _span(3, 2, 3), _span(4, 5, 4), _span(5, 4, 5), _span(6, 6, 6)]
    assert _shape(tree_rows(spans)) == [
        ("1", 0, ""),
        ("2", 0, "parent missing"),
        ("3", 1, ""),
        ("4", 0, "parents form a circle"),
        ("5", 1, ""),
        ("6", 0, "parents form a circle"),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9), st.integers(0, 99)), min_size=1, max_size=30)
)
def test_every_span_is_shown_once(drawn: list[tuple[int, int | None, int]]) -> None:
    """Also with repeated ids, several roots and any circles; a child stands one level below its parent."""
    spans = [_span(number, parent, start) for number, parent, start in drawn]
    rows = tree_rows(spans)
    assert sorted(id(row.span) for row in rows) == sorted(id(span) for span in spans)
    for index, row in enumerate(rows):
        above = next((other for other in reversed(rows[:index]) if other.depth == row.depth - 1), None)
        assert row.depth == 0 or (above is not None and above.span["span_id"] == row.span["parent_span_id"])


def test_bars_stand_where_the_time_is() -> None:
    """The whole picture: head line, names by depth, durations, bars, errors and events in words."""
    spans = [
        _span(1, None, 1000, 1000),
        _span(2, 1, 1000, 500, name="first half"),
        _span(3, 1, 1500, 500, status="error", event_count=2),
    ]
    assert _printed(spans, width=64) == [
        "trace ab  1 µs  3 spans  1 service  complete",
        "s op 1                            1 µs ━━━━━━━━━━━━━━━━━━━━━━━━",
        "  s first half                  500 ns ━━━━━━━━━━━━",
        "  s op 3 (2 events) [error]     500 ns             ━━━━━━━━━━━━",
    ]


def test_the_critical_path_is_heavy() -> None:
    """Each span's own part of it, also as a time; what the trace did not wait for is light."""
    spans = [
        _span(1, None, 1000, 1000, critical_path_ns=500),
        _span(2, 1, 1250, 500, critical_path_ns=500),
        _span(3, 1, 1250, 250, critical_path_ns=0),
    ]
    path = [("1", 1750, 2000), ("2", 1250, 1750), ("1", 1000, 1250)]
    assert _printed(spans, width=64, path=path)[1:] == [
        "           duration    on path",
        "s op 1         1 µs     500 ns ━━━━━━━━────────────────━━━━━━━━",
        "  s op 2     500 ns     500 ns         ━━━━━━━━━━━━━━━━",
        "  s op 3     250 ns                    ────────",
    ]


def test_a_span_without_a_time_is_not_in_1970() -> None:
    """It stands at the left, and the others keep the width."""
    spans = [_span(1, None, 10**18, 1000), _span(2, 1, 10**18 + 500, 500), _span(3, 1, 0, 0)]
    assert _printed(spans, width=64)[1:] == [
        "s op 1         1 µs ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━",
        "  s op 3       0 ns ━",
        "  s op 2     500 ns                      ━━━━━━━━━━━━━━━━━━━━━━",
    ]


def test_a_point_in_time_has_a_bar() -> None:
    """A span without duration shows as one character, inside the picture even at its very end."""
    lines = _printed([_span(1, None, 0, 100), _span(2, 1, 100, 0)], width=40)
    assert lines[2].endswith("━")
    assert max(len(line) for line in lines[1:]) <= 40


def test_a_trace_of_one_instant_is_shown() -> None:
    """No division by a duration of zero."""
    assert len(_printed([_span(1, None, 5, 0)])) == 2


def test_a_large_deep_trace_is_cut_with_a_note() -> None:
    """10,000 spans below each other: the longest stay, and the note says how many are missing."""
    spans = [_span(n, n - 1 if n else None, n, 20_000 - n) for n in range(10_000)]
    lines = _printed(spans, width=100, most=50)
    assert len(lines) == 52
    assert lines[1].startswith("s op 0 ")
    assert lines[50].lstrip().startswith("49> s op 49")
    assert lines[51] == "9,950 shorter spans are left out; --format json has all 10,000."


def test_errors_are_kept_before_long_spans() -> None:
    """What is cut is what matters least, and the order stays."""
    rows = tree_rows(
        [_span(1, None, 0, 100), _span(2, 1, 1, 5, status="error"), _span(3, 1, 2, 50), _span(4, 1, 3, 60)]
    )
    assert _shape(kept_rows(rows, 3)) == [("1", 0, ""), ("2", 1, ""), ("4", 1, "")]


def test_telemetry_cannot_command_the_terminal() -> None:
    """Escape sequences and markup in names are shown and not obeyed."""
    lines = _printed([_span(1, None, name="[red]x\x1b[2J\nnew")], width=100)
    assert lines[1].startswith("s [red]x\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}new")


def test_a_span_says_why_it_failed() -> None:
    """Below it: its exceptions by type, and its status message where that says more; the first line of each."""
    exceptions = [
        {"type": "TimeoutError", "message": "no connection\nafter 5 s"},
        {"type": "RpcError", "message": "ended with:\n\tstatus 9\n\tdetails"},
        {"type": None, "message": None},
    ]
    failed: dict[str, Any] = {"status": "error", "status_message": "payment declined"}
    spans = [
        _span(1, None, **failed, exceptions=exceptions),
        _span(2, 1, **failed | {"status_message": "TimeoutError: no connection"}, exceptions=exceptions[:1]),
        _span(3, 1, status_message="fine", exceptions=exceptions),
        _span(4, 1, status="error", status_message=None),
    ]
    assert [line for line in _printed(spans) if "━" not in line][1:] == [
        "  payment declined",
        "  TimeoutError: no connection",
        "  RpcError: ended with: status 9",
        "    TimeoutError: no connection",
    ]


def test_names_are_cut_in_the_middle_on_a_terminal_alone() -> None:
    """What is redirected is whole."""
    name = "GET /carts/<int:cart>/lines/" + "x" * 200 + "/end"
    cut, whole = (_printed([_span(1, None, name=name)], terminal=terminal)[1] for terminal in (True, False))
    assert cut.split()[:3] == ["s", "GET", "/carts/<i…xxxxxxxxxx/end"]
    assert name in whole
