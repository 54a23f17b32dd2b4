"""The first line of a report names what stands out, and nothing when nothing does."""

from __future__ import annotations

from typing import Any

import pytest

from analytics.headline import headline, verdict, worst_endpoint
from analytics.service import TraceAnalysis
from tests.analytics.shop import shop_store


def part(node: str, share: float, kind: str = "service", excess_ms: float | None = 0.0) -> dict[str, Any]:
    """What a node contributes."""
    return {"node": node, "kind": kind, "share": share, "excess_ms": excess_ms}


def endpoint(operation: str = "GET /", *parts: dict[str, Any], **figures: Any) -> dict[str, Any]:
    """An endpoint that nothing is wrong with, but for what is given."""
    calm = {"traces": 100, "error_rate": 0.0, "p50_ms": 20.0, "p95_ms": 40.0, "tail_excess_ms": 25.0}
    return {"service": "web", "operation": operation, "contributions": list(parts)} | calm | figures


def service(name: str, saturation: float | None, source: str | None = "db_pool: used on x") -> dict[str, Any]:
    """A service with a resource."""
    return {"name": name, "type": "service", "saturation": saturation, "saturation_source": source}


CART, NET = part("cart", 0.9), part("web->cart", 0.7, "edge")
CASCADE = {"rule": "cascade", "evidence": {"worst_endpoint": "web GET /", "origin": "cart"}}


@pytest.mark.parametrize(
    ("found", "services", "findings", "said"),
    [
        (
            endpoint("GET /", CART),
            [service("cart", 1.0)],
            [],
            "web GET /: 90 % of the time is cart; its db_pool was full.",
        ),
        (
            endpoint("GET /", CART),
            [service("cart", 0.93)],
            [],
            "web GET /: 90 % of the time is cart; its db_pool was 93 % full.",
        ),
        (endpoint(error_rate=0.2), [], [], "web GET /: 20 % of its requests fail."),
        (
            endpoint("GET /", CART, error_rate=0.2),
            [service("cart", None, None)],
            [CASCADE],
            "web GET /: 90 % of the time is cart. 20 % of its requests fail, beginning at cart.",
        ),
        (
            endpoint("GET /", NET, p95_ms=900.0),
            [],
            [],
            (
                "web GET /: one request in twenty takes 900 ms or more, where 20 ms are usual; 70 % of the time is the "
                "network or a queue between web and cart."
            ),
        ),
        (
            endpoint("GET /", part("cart", 0.3, excess_ms=20.0), p95_ms=900.0),
            [],
            [],
            (
                "web GET /: one request in twenty takes 900 ms or more, where 20 ms are usual; what these wait for is "
                "mostly cart."
            ),
        ),
        (
            endpoint("GET \x1b[2J", p95_ms=900.0),
            [],
            [],
            "web GET \N{REPLACEMENT CHARACTER}[2J: one request in twenty takes 900 ms or more, where 20 ms are usual.",
        ),
    ],
)
def test_what_stands_out_is_told(
    found: dict[str, Any], services: list[dict[str, Any]], findings: list[dict[str, Any]], said: str
) -> None:
    """Who takes the time, what was full, how slow and how often it fails; only what there is to say."""
    assert worst_endpoint([endpoint("GET /calm"), found], services) is found
    assert headline(found, services, findings) == said


@pytest.mark.parametrize(
    "calm",
    [
        endpoint("GET /", CART),
        endpoint(error_rate=0.5, traces=19),
        endpoint(p50_ms=0.5, p95_ms=30.0),
        endpoint(p50_ms=0.0, p95_ms=0.0, tail_excess_ms=None),
        endpoint("GET /", part("cart", 0.4, excess_ms=None), tail_excess_ms=None, p95_ms=None),
    ],
)
def test_where_nothing_stands_out_nothing_is_said(calm: dict[str, Any]) -> None:
    """Too few requests, a delay that nobody notices, and a service with room are nothing to wake anybody for."""
    assert worst_endpoint([calm], [service("cart", 0.5)]) is None
    assert worst_endpoint([], []) is None


def test_failures_come_before_full_resources_and_these_before_slowness() -> None:
    """Of several endpoints the one that matters most is told."""
    slow, full = endpoint("GET /slow", p95_ms=9000.0), endpoint("GET /full", CART)
    few, many = endpoint("GET /few", error_rate=0.02), endpoint("GET /many", error_rate=0.03)
    services = [service("cart", 1.0)]
    ordered = [many, few, full, slow]
    for at, worst in enumerate(ordered):
        assert worst_endpoint(ordered[at:][::-1], services) is worst


def test_the_incident_is_the_first_thing_said() -> None:
    """And of the findings those that touch what stands out are first, within their severity."""
    report = TraceAnalysis().report(shop_store("incident"), {})
    assert report["headline"] == (
        "gateway POST /orders: 95 % of the time is payment; its db_pool was full. 11 % of its requests fail, beginning "
        "at payment."
    )
    critical = [found["rule"] for found in report["findings"] if found["severity"] == "critical"]
    assert critical[:2] == ["missing-circuit-breaker", "saturated-resource"]
    assert critical[-1] == "chatty-call" or critical.index("chatty-call") > critical.index("cascade")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            "monolith",
            (
                "6 of 9 services behave as one: cart, catalog, checkout, inventory, payment and shipping call each "
                "other in a circle; a request waits for 4.4 of 9 services on average, the first included."
            ),
        ),
        (
            "decoupled",
            "9 services are loosely coupled: a request waits for 2.2 of 9 services on average, the first included.",
        ),
    ],
)
def test_where_nothing_stands_out_the_verdict_comes_first(state: str, said: str) -> None:
    """As one only what is; and of one endpoint nothing about the system."""
    assert TraceAnalysis().report(shop_store(state), {})["headline"] == said
    assert TraceAnalysis().report(shop_store(state), {"endpoint": "gateway GET /"})["headline"] is None


def test_too_little_data_has_no_verdict() -> None:
    """Nor has an index that nobody computed; a grade of no circle says what requests wait for."""
    services = [service("a", None), service("b", None)]
    parts = [{"name": "needed-share", "explanation": "a request waits for 2.0 of 2 services"}]
    index = {"grade": "monolith", "components": parts}
    assert verdict(None, services, []) is None
    assert verdict(index | {"grade": "unknown"}, services, []) is None
    assert verdict(index, services, []) == "2 services behave as one: a request waits for 2.0 of 2 services."
