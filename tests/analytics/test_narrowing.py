"""A report about one endpoint has what its traces touch, and no more."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analytics.analysis import Analysed, analyse
from analytics.findings_text import elsewhere_line
from analytics.narrowing import Touched, in_order, name_of, of_endpoint, touched_by
from analytics.service import TraceAnalysis
from analytics.sides import ALL_TIME
from analytics.source import read_traces
from tests.analytics.shop import shop_store


@pytest.fixture(scope="module")
def decoupled() -> Analysed:
    """The shop, decoupled."""
    return analyse(read_traces(shop_store("decoupled"), ALL_TIME))


def test_what_its_traces_touch_is_what_their_spans_say(decoupled: Analysed) -> None:
    """Services off the critical path and behind queues too; those of other endpoints are not."""
    forest, requests = decoupled.forest, decoupled.requests
    names = forest.origins.services["service"]
    for row in requests.endpoints.iter_rows(named=True):
        traces = requests.traces.filter(endpoint=row["endpoint"])["trace"].to_list()
        spans = pl.Series(forest.trace).is_in(traces).to_numpy()
        found = touched_by(decoupled, row["service"], row["operation"])
        services = {name for name in found.names if name in names}
        assert services == set(names.gather(forest.service[spans]).unique())
        assert {name for edge in found.edges for name in edge} <= found.names


def test_a_report_about_an_endpoint_is_about_that_alone() -> None:
    """Its services, edges and findings; with the keys and figures of the whole report."""
    whole = TraceAnalysis().report(shop_store("incident"), {})
    one = TraceAnalysis().report(shop_store("incident"), {"endpoint": "gateway GET /"})
    assert one.keys() == whole.keys()
    assert (whole["endpoint"], one["endpoint"]) == (None, "gateway GET /")
    assert [name_of(endpoint) for endpoint in one["endpoints"]] == ["gateway GET /"]
    services = ["inventory", "postgresql 127.0.0.1/shop", "catalog", "gateway", "user"]
    assert [row["name"] for row in one["services"]] == services
    for name in ("services", "edges", "findings"):
        assert [row for row in whole[name] if row in one[name]] == one[name] or name == "findings"
        assert 0 < len(one[name]) < len(whole[name])
    found = [finding for finding in one["findings"] if finding["status"] == "found"]
    assert "payment" not in {name for finding in found for name in finding["services"] if len(finding["services"]) < 3}
    assert [finding["rule"] for finding in found].count("sync-chain") == 0
    assert (whole["findings_elsewhere"], one["findings_elsewhere"]) == (
        0,
        len(whole["findings"]) - len(one["findings"]),
    )
    others = one["findings_elsewhere"]
    assert elsewhere_line(one) == f"{others} other findings are about what this endpoint does not touch."
    assert elsewhere_line(one | {"findings_elsewhere": 1}).startswith("1 other finding is about")
    assert elsewhere_line(whole) == ""
    orders = TraceAnalysis().report(shop_store("incident"), {"endpoint": "gateway POST /orders"})
    assert "sync-chain" in [finding["rule"] for finding in orders["findings"]]


def finding(rule: str, *, status: str = "found", severity: str = "warning", **parts: Any) -> dict[str, Any]:
    """A finding about nothing in particular."""
    plain = {"rule": rule, "status": status, "severity": severity, "services": [], "edges": [], "evidence": {}}
    return plain | parts


def test_findings_are_told_by_what_they_name() -> None:
    """The endpoint, else an edge, else a service; what is not known stays."""
    findings = [
        finding("a", evidence={"endpoint": "web GET /"}, services=["other"]),
        finding("b", evidence={"endpoint": "web GET /else"}, services=["web"]),
        finding("c", edges=["web->cart"]),
        finding("d", edges=["cart->web"], services=["web", "cart"]),
        finding("e", services=["cart", "other"]),
        finding("f", services=["other"]),
        finding("g", status="unknown", services=["other"]),
    ]
    endpoint = {"service": "web", "operation": "GET /"}
    report = {"endpoints": [endpoint], "services": [], "edges": [], "findings": findings}
    touched = Touched(frozenset({"web", "cart"}), frozenset({("web", "cart")}))
    assert [found["rule"] for found in of_endpoint(report, touched)["findings"]] == ["a", "c", "e", "g"]


def test_findings_about_what_stands_out_come_first() -> None:
    """Of one severity alone, and in their order else."""
    parts = [{"node": "cart", "share": 0.8}, {"node": "web->cart", "share": 0.15}, {"node": "web", "share": 0.05}]
    endpoint = {"service": "web", "operation": "GET /", "contributions": parts}
    findings = [
        finding("a", severity="critical", services=["web"]),
        finding("b", severity="critical", services=["web", "cart"]),
        finding("c", services=["other"]),
        finding("d", services=["cart"], evidence={"endpoint": "web GET /else"}),
        finding("e", edges=["web->cart"]),
        finding("f", services=["cart"], evidence={"endpoint": "web GET /"}),
        finding("g", severity="info", status="unknown", services=["cart"]),
    ]
    assert [found["rule"] for found in in_order(findings, endpoint)] == list("baefcdg")
    assert in_order(findings, None) == findings
