"""A table keeps its figures whole, however narrow the terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analytics.text_table import Heading, table_lines

HEADINGS = (Heading("ms"), Heading("", "left", bar=True), Heading("more"), Heading("why", "left", spare=True))
ROWS = [("a service with a long name", "17,654.3", "█████", "+1.0 ms", "cpu"), ("b", "1.0", "█", "", "100% pool")]


def lines(width: int) -> list[str]:
    """The table as text."""
    return [line.plain for line in table_lines(HEADINGS, ROWS, width)]


@given(st.integers(1, 120))
def test_figures_are_never_cut(width: int) -> None:
    """Whatever the width; and where the table fits, no line is wider than it."""
    found = lines(width)
    assert "17,654.3" in found[1]
    assert "+1.0 ms" in found[1]
    assert width < 35 or max(map(len, found)) <= width


def test_what_gives_way_first() -> None:
    """Bars, then the middle of names, then spare columns, which are named."""
    assert lines(70)[1] == "a service with a long name  17,654.3  █████  +1.0 ms  cpu"
    assert lines(60)[1] == "a service with a long name  17,654.3  +1.0 ms  cpu"
    assert lines(54)[1:] == [
        "a service wi…a long name  17,654.3  +1.0 ms  cpu",
        "b                              1.0           100% pool",
    ]
    assert lines(40)[1:] == [
        "a service … long name  17,654.3  +1.0 ms",
        "b                           1.0",
        "No room for: why.",
    ]


def test_no_rows_are_the_titles() -> None:
    """An empty table is no error."""
    assert [line.plain for line in table_lines(HEADINGS, [], 80)] == ["  ms    more  why"]
