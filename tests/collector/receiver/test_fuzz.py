"""Damaged requests are refused or taken, and nothing else; `make fuzz` tries a million of them."""

from __future__ import annotations

from tests.collector.receiver.fuzzing import send, take


def test_damaged_requests_are_refused_or_taken() -> None:
    """Of both forms and all signals, without an error that is no refusal, and what is taken can be stored."""
    result = take(1500, seed=7)
    assert result.failures == []
    assert sum(result.verdicts.values()) == 1500
    assert min(result.verdicts.values()) > 50


def test_a_collector_answers_damaged_requests() -> None:
    """With 200 or 400, on one connection."""
    result = send(300, seed=8)
    assert result.failures == []
    assert result.verdicts.keys() == {"status 200", "status 400"}
