"""What rules about resilience say of the recorded shop is what its truth says."""

from __future__ import annotations

import re

import pytest

from analytics.rules import (
    cascade,
    missing_circuit_breaker,
    missing_timeout,
    retry_storm,
)
from tests.analytics.loaded import numbers
from tests.analytics.planted import found
from tests.analytics.shop import STATES, shop, truth

MODULES = (
    retry_storm,
    missing_circuit_breaker,
    missing_timeout,
)


def faulty(state: str) -> set[str]:
    """The services with a fault."""
    return {fault["service"] for fault in truth(state)["faults"]}


@pytest.mark.parametrize("state", STATES)
def test_storms_are_where_attempts_meet_faults(state: str) -> None:
    """Edges with more than one attempt to a service that failed."""
    failing = {fault["service"] for fault in truth(state)["faults"] if fault["kind"] == "error"}
    edges = [e for e in truth(state)["edges"] if e.get("attempts", 1) > 1 and e["callee"] in failing]
    wanted = {f"{edge['caller']}->{edge['callee']}": edge["attempts"] for edge in edges}
    storms = [finding for finding in found(retry_storm.RULE, shop(state)) if finding.evidence["storm"]]
    assert {finding.edges[-1] for finding in storms} == set(wanted)
    assert all(numbers(finding)["amplification"] <= wanted[finding.edges[-1]] for finding in storms)


@pytest.mark.parametrize(("state", "edges"), [("monolith", {"inventory->shipping"}), ("decoupled", set())])
def test_retries_at_once_are_those_of_the_truth(state: str, edges: set[str]) -> None:
    """In the monolith, where nothing is down: as many attempts as are configured."""
    attempts = {f"{e['caller']}->{e['callee']}": e.get("attempts", 1) for e in truth(state)["edges"]}
    habits = found(retry_storm.RULE, shop(state))
    assert {finding.edges[-1] for finding in habits} == edges
    for finding in habits:
        assert finding.evidence["storm"] is False
        assert finding.evidence["most_attempts"] == attempts[finding.edges[-1]] > 1


def test_findings_of_one_edge_suggest_the_same() -> None:
    """One breaker, at the latency at which the timeout ends calls: both from the times that the edge has when well."""
    breakers, timeouts, cascades = (
        {finding.edges[0]: finding for finding in found(module.RULE, shop("incident"))}
        for module in (missing_circuit_breaker, missing_timeout, cascade)
    )
    edge = "checkout->payment"
    opens = re.search(r"a circuit breaker around checkout->payment that opens when .*?\)", breakers[edge].advice)
    assert opens
    assert opens[0] in cascades[edge].advice
    timeout = re.search(r"a timeout of (\d+ ms), twice its usual p99 \((\d+ ms)\)", timeouts[edge].advice)
    assert timeout
    assert f"take over {timeout[1]} (" in opens[0]
    assert opens[0].endswith(f" a p99 of {timeout[2]})")


@pytest.mark.parametrize("state", STATES)
def test_breakers_are_missing_where_the_truth_has_none(state: str) -> None:
    """First around what failed; elsewhere nothing is known."""
    without = {f"{e['caller']}->{e['callee']}" for e in truth(state)["edges"] if not e.get("breaker", True)}
    findings = missing_circuit_breaker.RULE.find(shop(state), missing_circuit_breaker.Limits())
    if not faulty(state) or not without:
        assert [finding.status for finding in findings] == ["unknown"]
        return
    assert {edge for finding in findings for edge in finding.edges} <= without
    assert findings[0].services[1] in faulty(state)


@pytest.mark.parametrize("state", STATES)
def test_timeouts_are_those_of_the_truth(state: str) -> None:
    """Waits without a bound only where none is set, and the bound that was seen is the one that is."""
    set_ms = {f"{e['caller']}->{e['callee']}": 1000 * e.get("timeout_s", 0) for e in truth(state)["edges"]}
    findings = found(missing_timeout.RULE, shop(state))
    assert bool(findings) is bool(faulty(state))
    for finding in findings:
        (edge,) = finding.edges
        if "timeout_ms" in finding.evidence:
            assert finding.evidence["timeout_ms"] == pytest.approx(set_ms[edge], rel=0.02)
        else:
            assert set_ms[edge] == 0
    if findings:
        assert findings[0].services[1] in faulty(state)


def test_the_decoupled_shop_has_nothing_critical() -> None:
    """Though a service failed and was slow."""
    findings = [finding for module in MODULES for finding in found(module.RULE, shop("decoupled"))]
    assert "critical" not in {finding.severity for finding in findings}
