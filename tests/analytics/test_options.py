"""What users set about the analysis is taken as they wrote it, or told what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from analytics.metric_aliases import MetricAlias
from analytics.options import Options, read_options
from collector.errors import ConfigurationError
from collector.settings import ANALYSIS, load_settings


def test_the_collector_hands_on_what_the_analysis_knows() -> None:
    """Its defaults are the analysis's own."""
    assert read_options(load_settings().analysis) == Options()
    assert set(ANALYSIS) == set(Options.__slots__)


def test_aliases_are_read() -> None:
    """With what may be left out."""
    tables = {
        "my.pool.busy": {"resource": "threads", "reading": "used", "limits": ["my.pool.size"], "parts": ["busy"]},
        "my.cpu": {"resource": "cpu", "reading": "share"},
    }
    assert read_options({"correct_clocks": False, "metric_aliases": tables}) == Options(
        correct_clocks=False,
        metric_aliases={
            "my.pool.busy": MetricAlias("threads", "used", ("my.pool.size",), ("busy",)),
            "my.cpu": MetricAlias("cpu", "share"),
        },
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"correct_clock": True}, "correct_clock is no setting of the analysis: did you mean correct_clocks?"),
        (
            {"colour": 1},
            "colour is no setting of the analysis: give one of correct_clocks, metric_aliases, rules, alerts.",
        ),
        ({"correct_clocks": "no"}, "correct_clocks is true or false, not 'no'."),
        ({"metric_aliases": 5}, "metric_aliases is a table of tables, not 5."),
        ({"metric_aliases": {"a": 5}}, 'metric_aliases."a" is a table with resource and reading, not 5.'),
        (
            {"metric_aliases": {"a": {"resource": "cpu", "reading": "shares", "limit": ["b"]}}},
            (
                'limit is no setting of metric_aliases."a": did you mean limits?\n'
                "reading of metric_aliases.\"a\" is one of share, used, rate, pending, level, not 'shares'."
            ),
        ),
        ({"metric_aliases": {"a": {"reading": "used"}}}, 'metric_aliases."a" has no resource: give one.'),
        (
            {"metric_aliases": {"a": {"resource": "", "reading": "used", "parts": "busy"}}},
            (
                "resource of metric_aliases.\"a\" is a name such as cpu, not ''.\n"
                "parts of metric_aliases.\"a\" is a list of names, not 'busy'."
            ),
        ),
    ],
)
def test_what_is_wrong_is_told_at_once(given: dict[str, Any], message: str) -> None:
    """In sentences with the name and the remedy."""
    with pytest.raises(ConfigurationError) as caught:
        read_options(given)
    assert str(caught.value) == message
