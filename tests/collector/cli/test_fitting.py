"""What is cut keeps both ends, and is never wider than it may be."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from collector.cli.fitting import cut_middle, page_width


def test_names_that_begin_alike_still_differ() -> None:
    """Both ends stay, the front one the longer."""
    names = ("postgresql 127.0.0.1/cart", "postgresql 127.0.0.1/checkout")
    assert [cut_middle(Text(name), 16).plain for name in names] == ["postgres….1/cart", "postgres…heckout"]
    assert cut_middle(Text(names[0]), 25).plain == names[0]


@given(st.text(), st.integers(0, 30))
def test_nothing_is_wider_than_it_may_be(text: str, width: int) -> None:
    """Letters that take two cells or none too; what fits stays as it is."""
    whole = Text(text)
    cut = cut_middle(whole, width)
    assert cut.cell_len <= width
    assert cut.plain == whole.plain or whole.cell_len > width


def test_only_a_terminal_has_a_width() -> None:
    """A file has all the room that there is."""
    terminal, file = (Console(file=io.StringIO(), width=40, force_terminal=is_one) for is_one in (True, False))
    assert page_width(terminal) == 40
    assert page_width(file) > 1000
