"""A policy says what it means."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.policy import Dependencies, Endpoint, Index, Policy, PolicyFile, Rules, ServiceRules, fits
from analytics.policy_formats import verdict_text
from analytics.policy_traces import find_traces
from analytics.rule_help import RULE_HELP
from collector.errors import QueryError
from tests.analytics.policies import TRACE, check, endpoint, finding, outcome, report

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

ROOT = Path(__file__).parents[2]


def test_the_index_is_compared(policy: Callable[[str], PolicyFile]) -> None:
    """At the limit it holds; unknown is not fine."""
    file = policy("[index]\nmax = 60")
    parts = [{"name": name, "contribution": part} for name, part in (("hubs", 3.0), ("sync ratio", 40.5))]
    over = {"score": 60.5, "grade": "tight", "components": parts}
    name = "index at most 60"
    assert outcome(check(file, report(coupling_index=over))) == {
        name: ["The coupling index is 60.5, over 60: most of it is sync ratio 40.5, hubs 3."]
    }
    assert outcome(check(file, report(coupling_index=over | {"score": 60.0}))) == {name: "held"}
    assert outcome(check(file, report())) == {name: "unknown"}
    few = {"score": 90.0, "grade": "unknown", "missing": "9 of 30 traces"}
    for index in ({"score": None}, few):
        assert outcome(check(file, report(coupling_index=index))) == {name: "unknown"}


def test_findings_of_forbidden_rules_break(policy: Callable[[str], PolicyFile]) -> None:
    """From the given severity on, with their evidence; other rules do not matter."""
    file = policy('[rules]\nforbid = ["cycle", "hub", "cascade"]\nseverity = "warning"')
    findings = [
        finding("cycle", "checkout", "payment", severity="critical"),
        finding("hub", "checkout", severity="info"),
        finding("sync-chain", "checkout", severity="critical"),
    ]
    assert outcome(check(file, report(findings=findings))) == {
        "rule cascade": "held",
        "rule cycle": ["A cycle (depth 7, limit 6, share 25 %, p99 812 ms, re entry)."],
        "rule hub": "held",
    }


def test_without_a_list_all_rules_are_forbidden(policy: Callable[[str], PolicyFile]) -> None:
    """But for those that are allowed."""
    verdict = check(policy('[rules]\nallow = ["hub", "cycle"]'), report(findings=[finding("hub"), finding("queueing")]))
    assert [clause.name for clause in verdict.clauses[1:]] == [
        f"rule {rule}" for rule in RULE_HELP if rule not in ("hub", "cycle")
    ]
    assert [clause.name for clause in verdict.broken] == ["rule queueing"]


@pytest.mark.parametrize(
    ("services", "broken"),
    [
        (("stock",), False),  # allowed for it
        (("stock", "payment"), False),  # for both
        (("stock", "gateway"), True),  # not for the second
        ((), True),  # of nobody in particular
        (("stock", "checkout"), True),
    ],
)
def test_a_rule_is_allowed_when_all_its_services_are(
    policy: Callable[[str], PolicyFile], services: tuple[str, ...], *, broken: bool
) -> None:
    """An exception for one service does not excuse another one in the same finding."""
    file = policy("""
        [rules]
        forbid = ["shared-database"]
        [services.stock]
        allow = ["shared-database"]
        [services."pay*"]
        allow = ["shared-database"]
    """)
    verdict = check(file, report(findings=[finding("shared-database", *services)]))
    assert bool(verdict.broken) == broken
    assert verdict.clauses[1].says == ("" if broken else "1 finding allowed")


def test_a_rule_can_be_forbidden_for_one_service(policy: Callable[[str], PolicyFile]) -> None:
    """Whoever else the finding names, and whoever may have it."""
    file = policy("""
        [services.payment]
        forbid = ["sync-chain"]
        [services.stock]
        allow = ["sync-chain"]
    """)
    both, other = (
        report(findings=[finding("sync-chain", *services)]) for services in (("payment", "stock"), ("gateway",))
    )
    assert [clause.name for clause in check(file, both).broken] == ["rule sync-chain"]
    assert check(file, other).broken == ()


def test_unknown_is_listed_and_breaks_only_when_asked(policy: Callable[[str], PolicyFile]) -> None:
    """Too little data is neither fine nor a violation, unless the policy says so."""
    found = report(findings=[finding("hub", status="unknown", severity="info")])
    text = '[rules]\nforbid = ["hub"]\nseverity = "critical"'
    verdict = check(policy(text), found)
    assert (outcome(verdict), verdict.clauses[1].unknown) == ({"rule hub": "unknown"}, ("too few calls",))
    assert "unknown  rule hub: too few calls.\nHELD: 0 of 1 clause, 1 unknown." in verdict_text(verdict)
    assert outcome(check(policy(f'unknown = "fail"\n{text}'), found)) == {"rule hub": ["Unknown: too few calls."]}


def test_only_allowed_dependencies(policy: Callable[[str], PolicyFile]) -> None:
    """Calls of users and to databases are nobody's dependency on a service; messages are one."""
    file = policy('[dependencies]\nallow = ["gateway -> *", "* -> payment", "payment -> stock"]')
    assert outcome(check(file, report())) == {
        "only allowed dependencies": [
            "stock calls checkout (1,200 sync calls), which is not among the allowed dependencies.",
            "stock calls gateway (1,200 async calls), which is not among the allowed dependencies.",
        ]
    }


def test_nothing_is_allowed_by_an_empty_list(policy: Callable[[str], PolicyFile]) -> None:
    """Every edge between services is a violation then."""
    (clause,) = check(policy("[dependencies]\nallow = []"), report()).broken
    assert [violation.edges for violation in clause.violations] == [
        *(("gateway->checkout",), ("checkout->payment",), ("payment->stock",), ("stock->checkout",)),
        ("stock->gateway",),
    ]


def test_forbidden_dependencies(policy: Callable[[str], PolicyFile]) -> None:
    """To databases too; users are only meant where they are named."""
    file = policy(
        '[dependencies]\nforbid = ["* -> gateway", "stock -> postgresql*", "user->gateway", "stock -> payment"]'
    )
    assert outcome(check(file, report())) == {
        "no dependency * -> gateway": ["stock calls gateway (1,200 async calls), which is forbidden."],
        "no dependency stock -> postgresql*": ["stock calls postgresql shop (1,200 sync calls), which is forbidden."],
        "no dependency user -> gateway": ["user calls gateway (1,200 sync calls), which is forbidden."],
        "no dependency stock -> payment": "held",
    }


def test_calls_do_not_go_upwards(policy: Callable[[str], PolicyFile]) -> None:
    """Down, over a layer and within one is fine, and so is a message; a service in no layer is named."""
    file = policy("""
        [[layers]]
        name = "front"
        services = ["gateway"]
        [[layers]]
        name = "orders"
        services = ["*out"]
        [[layers]]
        name = "goods"
        services = ["stock"]
    """)
    verdict = check(file, report())
    assert outcome(verdict) == {
        "no calls upwards": ["stock calls checkout (1,200 sync calls), which is upwards, from goods to orders."]
    }
    assert verdict.notes == ("In no layer, so not checked for calls upwards: payment.",)


def test_a_name_puts_a_service_in_its_layer_before_a_pattern(policy: Callable[[str], PolicyFile]) -> None:
    """So that "everything else" can be a layer."""
    file = policy("""
        [[layers]]
        name = "all others"
        services = ["*"]
        [[layers]]
        name = "checkout"
        services = ["checkout"]
    """)
    assert outcome(check(file, report())) == {
        "no calls upwards": [
            "checkout calls payment (1,200 sync calls), which is upwards, from checkout to all others."
        ]
    }


def test_limits_of_endpoints(policy: Callable[[str], PolicyFile]) -> None:
    """Of those that a pattern fits; a P99 of few traces is not known, nor is what no trace is of."""
    file = policy("""
        [[endpoints]]
        p95_ms = 400
        error_rate = 0.01
        [[endpoints]]
        endpoint = "gateway GET *"
        p99_ms = 30
        [[endpoints]]
        endpoint = "gateway GET /old"
        p50_ms = 1
        [[endpoints]]
        endpoint = "gateway GET /"
        p50_ms = 10
    """)
    found = report(
        endpoints=[endpoint("gateway", "POST /orders", 800.5, 0.03), endpoint("gateway", "GET /", 40, known=False)]
    )
    verdict = check(file, found)
    assert outcome(verdict) == {
        "p95_ms of * at most 400 ms": ["p95_ms of gateway POST /orders is 400.25 ms, over 400 ms, in 500 traces."],
        "error_rate of * at most 1 %": ["error_rate of gateway POST /orders is 3 %, over 1 %, in 500 traces."],
        "p99_ms of gateway GET * at most 30 ms": "unknown",
        "p50_ms of gateway GET /old at most 1 ms": "unknown",
        "p50_ms of gateway GET / at most 10 ms": "held",
    }
    assert [clause.unknown for clause in verdict.clauses if clause.unknown] == [
        ("too few traces to know p99_ms of gateway GET /",),
        ("no trace is of the endpoint gateway GET /old, but some are of gateway GET /",),
    ]


def test_no_traces_break_every_policy(policy: Callable[[str], PolicyFile]) -> None:
    """A pipeline whose test sent nothing must not pass; names are not judged without data."""
    window = {"from": None, "to": None, "traces": 0, "spans": 0, "incomplete_traces": 0, "sampled": False}
    empty = report(window=window, services=[], edges=[], endpoints=[], environments=[], environment="")
    verdict = check(policy('[dependencies]\nforbid = ["a -> b"]'), empty)
    assert verdict_text(verdict).splitlines() == [
        "broken   traces: There are no traces in this window, so nothing could be checked.",
        "  to do  Widen the window, or send some.",
        "unknown  no dependency a -> b: there are no traces.",
        "BROKEN: 1 of 2 clauses, 1 unknown. environment without a name, 0 traces.",
    ]


@given(st.text("ab*.[", max_size=6), st.text("ab.[", max_size=6))
def test_a_pattern_fits_as_a_search_for_its_parts(pattern: str, name: str) -> None:
    """Against the obvious recursion: only * is special."""

    def oracle(pattern: str, name: str) -> bool:
        if not pattern:
            return not name
        if pattern[0] == "*":
            return oracle(pattern[1:], name) or (bool(name) and oracle(pattern, name[1:]))
        return bool(name) and name[0] == pattern[0] and oracle(pattern[1:], name[1:])

    assert fits(pattern, name) == oracle(pattern, name)


class Answers:
    """A source that knows one trace, and fails after some queries."""

    def __init__(self, most: int = 99) -> None:
        self.queries: list[str] = []
        self.most = most

    def sql_arrow(self, query: str) -> pa.Table:
        """Answer any query."""
        self.queries.append(query)
        if len(self.queries) > self.most:
            raise QueryError("too slow", code="time_limit")
        return pa.table({"trace_id": [TRACE]})


def test_traces_are_found_for_edges_and_endpoints(policy: Callable[[str], PolicyFile]) -> None:
    """One query for the same edge in two clauses; an index has no trace, and a slow store costs the examples alone."""
    text = """
        [index]
        max = 1
        [dependencies]
        allow = ["gateway -> *", "checkout -> *", "payment -> *", "stock -> gateway"]
        forbid = ["stock -> checkout"]
        [[endpoints]]
        error_rate = 0.01
    """
    index = {"score": 60.0, "grade": "tight", "components": []}
    verdict = check(policy(text), report(coupling_index=index, endpoints=[endpoint("gateway", "it's", 9, 0.5)]))
    source = Answers()
    found = find_traces(verdict, source)
    assert [violation.trace_ids for clause in found.broken for violation in clause.violations] == [
        *((), (TRACE,), (TRACE,), (TRACE,))
    ]
    assert len(source.queries) == 2
    assert "service_name = 'gateway' AND span_name = 'it''s'" in source.queries[1]
    few = find_traces(verdict, Answers(1))
    assert [violation.trace_ids for clause in few.broken for violation in clause.violations] == [
        *((), (TRACE,), (TRACE,), ())
    ]


def test_the_documented_policy_is_one(policy: Callable[[str], PolicyFile]) -> None:
    """The examples of docs/policy.md are read, and it names every key."""
    page = (ROOT / "docs/policy.md").read_text(encoding="utf-8")
    examples = [part.partition("```")[0] for part in page.split("```toml\n")[1:]]
    assert all(policy(example) for example in examples)
    assert set(tomllib.loads(examples[0])) == set(Policy.model_fields)
    tables: dict[str, type[BaseModel]] = {
        "index": Index,
        "rules": Rules,
        "services.NAME": ServiceRules,
        "dependencies": Dependencies,
    }
    keys = [f"{table}.{key}" for table, model in tables.items() for key in model.model_fields]
    assert [key for key in [*keys, *Policy.model_fields] if f"`{key}" not in page] == []
    assert [key for key in Endpoint.model_fields if f"`{key}`" not in page and f"`endpoints.{key}`" not in page] == []


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    """Names are what senders make of them; a regular expression of so many tries longer than anybody waits."""
    assert not fits("*a" * 30 + "*b", "a" * 3000)
    assert fits("*a" * 30 + "*", "a" * 3000)
