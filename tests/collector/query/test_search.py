"""Traces are found by what any of their spans says, and options are data, never SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.errors import QueryError

if TYPE_CHECKING:
    from collector.client import Client
    from tests.conftest import Shop


def test_all_traces_come_newest_first(client: Client, shop: Shop) -> None:
    """With the figures of their root and of all their spans."""
    found = client.traces()
    assert found.select("trace_id", "service", "operation", "duration_ms", "spans", "services", "errors").rows() == [
        (shop.second, "web", "next day", 7 / 1e6, 1, 1, 0),
        (shop.first, "web", "op 1", 99.0, 3, 2, 1),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"service": "cart"},
        {"operation": "op 3"},
        {"status": "error"},
        {"min_duration": "99ms"},
        {"min_duration": "50ms", "max_duration": "1s", "service": "web"},
        {"to": "2026-11-24T00:00:00Z"},
        {"env": "", "operation": "op 1"},
    ],
)
def test_conditions_hold_together(client: Client, shop: Shop, options: dict[str, str]) -> None:
    """Each of these leaves the first trace alone."""
    assert client.traces(**options)["trace_id"].to_list() == [shop.first]


@pytest.mark.parametrize(
    "options",
    [
        {"service": "nobody"},
        {"service": "' OR true --"},
        {"attribute": "x'] = 'y' OR true --=1"},
        {"env": "prod"},
        {"from": "2027-01-01"},
        {"min_duration": "1h"},
    ],
)
def test_what_fits_nothing_finds_nothing(client: Client, options: dict[str, str]) -> None:
    """Quotes in a value are part of it."""
    assert client.traces(**options).height == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"colour": "red"}, "colour is no option of a search"),
        ({"limit": "0"}, "limit: '0' is no number from 1 to 5,000"),
        ({"limit": "9999"}, "limit: '9999' is no number"),
        ({"status": "bad"}, "status: 'bad' is none of unset, ok, error"),
        ({"attribute": "novalue"}, "attribute: 'novalue' is not of the form KEY=VALUE"),
        ({"min_duration": "long"}, "min_duration: 'long' is not a duration"),
        ({"from": "yesterday"}, "from: "),
    ],
)
def test_a_wrong_option_is_one_sentence(client: Client, options: dict[str, str], said: str) -> None:
    """That names it."""
    with pytest.raises(QueryError, match=said):
        client.traces(**options)


def test_the_limit_takes_the_newest(client: Client, shop: Shop) -> None:
    """Before anything is counted."""
    assert client.traces(limit="1")["trace_id"].to_list() == [shop.second]
