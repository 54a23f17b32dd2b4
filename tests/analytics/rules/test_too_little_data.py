"""Every rule either judges by data, or says in words what data is missing; no silence rests on nothing."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from rich.console import Console

from analytics.analysis import analyse
from analytics.findings import Subject, describe_finding
from analytics.findings_text import print_findings
from analytics.rules import RULES, find_all
from analytics.schema import LINKS, RESOURCES, SPANS, empty
from analytics.service_schema import RESOURCE_USE, SATURATION
from analytics.sides import ALL_TIME
from analytics.source import Traces, read_traces
from tests.analytics.shop import shop_store

if TYPE_CHECKING:
    from collections.abc import Callable

TRACE = ["trace_high", "trace_low"]
NAMES = {rule.name for rule in RULES}
NOTHING = Traces(empty(SPANS), empty(RESOURCES), empty(LINKS))
IS_ROOT = pl.col("parent_span_id").is_null()


def only(traces: Traces, *filters: pl.Expr) -> Traces:
    """Some of the spans."""
    return replace(traces, spans=traces.spans.filter(*filters))


def first(traces: Traces, number: int) -> Traces:
    """So many of the traces."""
    chosen = traces.spans.select(TRACE).unique(maintain_order=True).head(number)
    return replace(traces, spans=traces.spans.join(chosen, on=TRACE, how="semi", maintain_order="left"))


def changed(traces: Traces, **columns: pl.Expr) -> Traces:
    """Other values in columns of the spans."""
    return replace(traces, spans=traces.spans.with_columns(**columns))


def without_databases(traces: Traces) -> Traces:
    """As if nobody had instrumented the clients of databases."""
    return only(traces, pl.col("db_system").is_null())


UNROOTED = {"cycle", "chatty-call", "shared-database", "lock-step-deploy", "retry-storm", "distributed-transaction"}
STRUCTURAL = {"cycle", "shared-database", "lock-step-deploy", "distributed-transaction", "distributed-lock", "boundary"}
POOR: dict[str, tuple[Callable[[Traces], Traces], set[str], set[str]]] = {
    "no trace": (lambda _: NOTHING, set(), set()),
    "one span": (lambda shop: first(only(shop, IS_ROOT), 1), set(), set()),
    "no root": (
        lambda shop: only(shop, ~IS_ROOT),
        UNROOTED | {"distributed-lock", "boundary"},
        {"hub", "hot-instance"},
    ),
    "no root in five traces": (lambda shop: only(first(shop, 5), ~IS_ROOT), {"chatty-call"}, set()),
    "no times": (
        lambda shop: changed(shop, start_unix_nano=pl.lit(0, pl.Int64), duration_ns=pl.lit(0, pl.Int64)),
        STRUCTURAL,
        {"hub", "cascade"},
    ),
    "five traces": (lambda shop: first(shop, 5), {"chatty-call"}, set()),
    "roots alone": (lambda shop: only(shop, IS_ROOT), set(), {"hot-instance"}),
    "no databases": (
        lambda shop: first(without_databases(shop), 300),
        {"sync-chain", "shared-fate", "cycle", "chatty-call"},
        {"hub", "hot-instance"},
    ),
}
"""What is left of the shop; which rules then find something, and which find nothing wrong by what they saw."""


@pytest.fixture(scope="module")
def shop() -> Traces:
    """The shop as a monolith, without metrics."""
    return read_traces(shop_store("monolith"), ALL_TIME)


def judged(traces: Traces) -> list[dict[str, Any]]:
    """The findings."""
    subject = Subject(analyse(traces), empty(RESOURCE_USE), empty(SATURATION))
    return [describe_finding(finding) for finding in find_all(subject)]


@pytest.mark.parametrize("poor", POOR)
def test_what_cannot_be_judged_is_unknown_with_its_reason(shop: Traces, poor: str) -> None:
    """Each rule that neither found something nor saw enough to find nothing; and the terminal says so."""
    make, finding, silent = POOR[poor]
    findings = judged(make(shop))
    unknown = {found["rule"]: found["title"] for found in findings if found["status"] == "unknown"}
    assert {found["rule"] for found in findings if found["status"] == "found"} == finding
    assert set(unknown) == NAMES - finding - silent
    assert all(title.startswith("Unknown: ") and len(title) > 20 for title in unknown.values())
    file = io.StringIO()
    print_findings({"coupling_index": None, "findings": findings}, Console(file=file, width=200))
    told = file.getvalue().partition("Not judged: ")[2]
    assert all(rule in told for rule in unknown)


def test_a_single_version_tells_nothing_of_deploys(shop: Traces) -> None:
    """Nor does a service without one."""
    for version in ("1.0", None):
        resources = shop.resources.with_columns(version=pl.lit(version, pl.String))
        findings = judged(first(replace(shop, resources=resources), 300))
        told = [found for found in findings if found["rule"] == "lock-step-deploy"]
        assert [(found["status"], found["title"].startswith("Unknown: ")) for found in told] == [("unknown", True)]


def test_the_same_reason_is_told_once(shop: Traces) -> None:
    """Twenty rules without a trace are one line."""
    findings = judged(NOTHING)
    assert {found["title"] for found in findings} == {"Unknown: there are no traces"}
    assert [found["rule"] for found in findings] == sorted(NAMES)
    assert {found["title"] for found in judged(first(shop, 0))} == {"Unknown: there are no traces"}
