"""Shares, names and counts read as a person would write them."""

from __future__ import annotations

import pytest

from analytics.words import counted, listed, percent


@pytest.mark.parametrize(
    ("share", "text"),
    [
        *((0, "0 %"), (1, "100 %"), (0.5, "50 %"), (0.114, "11 %"), (0.0252, "2.5 %"), (0.001, "0.1 %")),
        *((0.99, "99 %"), (0.999, "99.9 %"), (0.9987, "99.87 %"), (0.999999999, "100 %"), (1e-9, "0 %")),
    ],
)
def test_shares_keep_the_digits_that_matter(share: float, text: str) -> None:
    """Two of what they are away from 0 or 100."""
    assert percent(share) == text


def test_names_are_listed() -> None:
    """With an "and", and the rest counted."""
    assert [listed(list("abcd"[:count])) for count in range(4)] == ["none", "a", "a and b", "a, b and c"]
    assert listed(list("abcd"), most=2) == "a, b and 2 more"


def test_nouns_agree_with_numbers() -> None:
    """One trace, many traces."""
    assert (counted(1, "trace"), counted(1234, "trace")) == ("1 trace", "1,234 traces")
