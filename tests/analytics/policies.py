"""Reports that policies are held against, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analytics.policy_check import Stored, Verdict, check_policy

if TYPE_CHECKING:
    from analytics.policy import PolicyFile

TRACE = "0af7651916cd43dd8448eb211c80319c"
SERVICES = ("gateway", "checkout", "payment", "stock")


def edge(caller: str, callee: str, mode: str = "sync", callee_type: str = "service") -> dict[str, Any]:
    """What a policy reads of an edge."""
    return {"caller": caller, "callee": callee, "callee_type": callee_type, "mode": mode, "calls": 1200}


def finding(rule: str, *services: str, severity: str = "warning", status: str = "found") -> dict[str, Any]:
    """A finding about some services."""
    return {
        "rule": rule,
        "status": status,
        "severity": severity,
        "score": 0.5,
        "title": "Unknown: too few calls" if status == "unknown" else f"A {rule}",
        "services": list(services),
        "edges": [],
        "evidence": {"depth": 7, "limit": 6, "share": 0.25, "p99_ms": 812.4, "re_entry": True, "other": None},
        "trace_ids": [TRACE],
        "advice": "Mend it.",
    }


def endpoint(service: str, operation: str, p99_ms: float, error_rate: float = 0.0, *, known: bool = True) -> Any:
    """What a policy reads of an endpoint."""
    figures = {"p50_ms": p99_ms / 4, "p95_ms": p99_ms / 2, "p99_ms": p99_ms, "p99_known": known}
    return {"service": service, "operation": operation, "traces": 500, "error_rate": error_rate} | figures


def report(**parts: Any) -> dict[str, Any]:
    """A report of four services whose calls run in a circle."""
    return {
        "environment": "live",
        "environments": ["live"],
        "window": {"from": 0, "to": 10**9, "traces": 500, "spans": 4000, "incomplete_traces": 0, "sampled": False},
        "coupling_index": None,
        "services": [{"name": name, "type": "service"} for name in SERVICES]
        + [{"name": "user", "type": "user"}, {"name": "postgresql shop", "type": "database"}],
        "edges": [
            edge("user", "gateway"),
            edge("gateway", "checkout"),
            edge("checkout", "payment"),
            edge("payment", "stock"),
            edge("stock", "checkout"),
            edge("stock", "gateway", mode="async"),
            edge("stock", "postgresql shop", callee_type="database"),
        ],
        "endpoints": [endpoint("gateway", "POST /orders", 800, 0.03), endpoint("gateway", "GET /", 40)],
        "findings": [],
    } | parts


def check(file: PolicyFile, found: dict[str, Any], stored: tuple[str, ...] = ()) -> Verdict:
    """Hold a policy against a report of a store that has these services, and two more endpoints."""
    operations = ["gateway GET /old", "other endpoint"]
    return check_policy(file, found, Stored(lambda: [*SERVICES, *stored], lambda: operations))


def outcome(verdict: Verdict) -> dict[str, list[str] | str]:
    """Each clause with its status, or what breaks it."""
    return {
        clause.name: [violation.message for violation in clause.violations] or clause.status
        for clause in verdict.clauses
        if clause.name != "traces"
    }
