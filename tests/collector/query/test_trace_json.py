"""When a trace is complete."""

from __future__ import annotations

import pytest

from collector.query.trace_json import is_complete


@pytest.mark.parametrize(
    ("parents", "complete"),
    [
        ({}, False),
        ({"a": None}, True),
        ({"a": None, "b": "a", "c": "b"}, True),
        ({"a": None, "b": None}, False),
        ({"a": None, "b": "x"}, False),
        ({"a": "b", "b": "a"}, False),
    ],
)
def test_complete_is_one_root_and_no_orphan(parents: dict[str, str | None], *, complete: bool) -> None:
    """As the ``traces`` view says it."""
    spans = [{"span_id": span, "parent_span_id": parent} for span, parent in parents.items()]
    assert is_complete(spans) is complete
