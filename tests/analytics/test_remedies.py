"""What several findings advise about one call is told together: alternatives apart from what completes them."""

from __future__ import annotations

from typing import Any

from analytics.remedies import INSTEAD, MEANWHILE, remedies
from analytics.rules import RULES, find_all
from tests.analytics.shop import shop


def finding(rule: str, *edges: str, advice: str = "") -> dict[str, Any]:
    """What is read of a finding."""
    return {"rule": rule, "edges": list(edges), "advice": advice}


def said(*findings: dict[str, Any]) -> dict[str, str]:
    """The sentences, by edge."""
    return {found.edge: found.sentence() for found in remedies(findings)}


def test_alternatives_and_what_a_call_needs_while_it_stays() -> None:
    """One that several rules advise is told once, with all of them."""
    assert said(
        finding("cascade", "b->c", "a->b", advice="Put a circuit breaker around b->c."),
        finding("missing-circuit-breaker", "b->c"),
        finding("missing-timeout", "b->c"),
        finding("async-candidate", "b->c"),
        finding("boundary", "b->c"),
    ) == {
        "b->c": (
            "instead of the call: a message (async-candidate) or one service of both (boundary); while it stays: "
            "a circuit breaker (cascade, missing-circuit-breaker) and a timeout (missing-timeout)"
        )
    }


def test_only_what_several_rules_advise_about_is_told() -> None:
    """Not a rule that speaks twice, an edge that the advice does not name, or a rule without a remedy for a call."""
    twice = [finding("cycle", "a->b"), finding("cycle", "a->b", "b->a", advice="Turn a->b around")]
    assert said(*twice, finding("hub", "a->b"), finding("sync-chain", "a->b", "b->c", advice="Make b->c async")) == {}


def test_remedies_are_those_of_rules_that_there_are() -> None:
    """And of the incident's calls the one that failed needs most."""
    assert {*INSTEAD, *MEANWHILE} <= {rule.name for rule in RULES}
    found = [{"rule": f.rule, "edges": list(f.edges), "advice": f.advice} for f in find_all(shop("incident"))]
    payment = next(row for row in remedies(found) if row.edge == "checkout->payment")
    assert payment.instead == {"a saga": ["distributed-transaction"]}
    assert {remedy: set(rules) for remedy, rules in payment.meanwhile.items()} == {
        "a circuit breaker": {"missing-circuit-breaker", "cascade"},
        "a retry budget": {"retry-storm"},
        "a timeout": {"missing-timeout"},
    }
