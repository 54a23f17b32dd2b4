"""Messages say what was compared with what, and nothing in a name is an instruction to whoever shows them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from analytics.alerts.incidents import Incident
from analytics.alerts.looks import Fact
from analytics.alerts.messages import describe_message, facts_of, plain, write_message
from analytics.alerts.rules import Condition
from tests.analytics.alerts.seen import FACTS, look

SLOW = Condition(name="slow", endpoint=".*", p99_ms=500.0)


def incident(**given: object) -> Incident:
    """An incident of an endpoint that nobody was told of."""
    known = {"id": "1", "alert": "slow", "environment": "live", "subject": "shop GET /", "facts": FACTS}
    return Incident(**{**known, "opened_at": 0, "broken_until": 0, "seen_at": 0, **given})  # type: ignore[arg-type]


def test_the_text_says_it_all() -> None:
    """Rule, place, figure, limit and link; then that it holds again."""
    opened = describe_message(incident(), SLOW, "https://d.example")
    assert opened["text"] == (
        "ALERT slow in live: shop GET /: p99 900 ms, limit 500 ms. "
        "https://d.example/latency?env=live&range=24h&endpoint=shop+GET+%2F"
    )
    over = incident(state="resolved", told="open", resolved_at=5, reason="holds")
    resolved = describe_message(over, SLOW, None)
    assert (resolved["text"], resolved["link"]) == ("RESOLVED slow in live: shop GET /: it holds again.", None)
    assert (resolved["id"], resolved["status"], resolved["reason"]) == ("1", "resolved", "holds")
    forgotten = describe_message(incident(state="resolved", told="open", reason="unknown"), SLOW, None)
    assert forgotten["text"] == "RESOLVED slow in live: shop GET /: nothing was heard of it for a day."


def test_findings_and_index_have_their_words_and_links() -> None:
    """A finding links to its first trace, the index to the coupling page."""
    facts = FACTS | {
        "title": "cart fails with stock",
        "compared": [{"name": "severity", "value": "critical", "limit": "warning"}],
        "trace_ids": ["ab" * 16],
    }
    found = describe_message(
        incident(facts=facts, environment=""), Condition(name="slow", finding="cascade"), "http://d"
    )
    assert found["text"] == (
        "ALERT slow: cart fails with stock: severity critical, from warning. "
        f"http://d/traces?env=%28unnamed%29&range=24h&trace={'ab' * 16}"
    )
    facts |= {"compared": [{"name": "coupling_index", "value": 71.25, "limit": 60.0}]}
    index = describe_message(incident(facts=facts), Condition(name="slow", coupling_index=60.0), "http://d")
    assert "coupling index 71.2, limit 60. http://d/coupling?env=live&range=24h" in index["text"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<!channel> & <http://evil|shop>", "&lt;!channel&gt; &amp; &lt;http://evil|shop&gt;"),
        ("@all", "@\u200ball"),
        ("a\n\x1b[31mb\u202ec", "a [31mb c"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_names_are_no_instructions(name: str, shown: str) -> None:
    """Neither mentions nor links nor lines of their own."""
    assert plain(name) == shown


def test_there_is_no_nan_in_json() -> None:
    """What is not finite comes out null."""
    fact = Fact("a", [{"name": "p99_ms", "value": math.inf, "limit": 1.0}], evidence={"x": [math.nan, 1.5]})
    found = facts_of(look(10, set(), set()), fact)
    assert (found["compared"][0]["value"], found["evidence"]) == (None, {"x": [None, 1.5]})


def test_odd_names_can_be_written() -> None:
    """Half a surrogate pair too."""
    odd = incident(subject="\ud800", facts=FACTS | {"title": "\ud800"})
    assert json.loads(write_message(describe_message(odd, SLOW, "http://d")))["subject"] == "?"
    assert replace(odd).untold == "open"
