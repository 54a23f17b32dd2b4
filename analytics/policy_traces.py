"""Traces to open for what breaks a policy, where no finding names any."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from collector.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from analytics.policy_check import Clause, Verdict, Violation

_MOST_TRACES = 5
_MOST_QUERIES = 10
"""Each reads the window's spans; whoever breaks a policy more often has enough to open."""

_EDGE = """
SELECT DISTINCT callee.trace_id FROM spans AS callee
JOIN spans AS caller ON callee.trace_id = caller.trace_id AND callee.parent_span_id = caller.span_id
WHERE caller.service_name = {0} AND callee.service_name = {1} AND {callee} AND {caller} LIMIT {most}
"""
_ENDPOINT = """
SELECT trace_id FROM spans AS root
WHERE parent_span_id IS NULL AND service_name = {0} AND span_name = {1} AND {root}
ORDER BY {order} duration_ns DESC LIMIT {most}
"""


class _Source(Protocol):
    def sql_arrow(self, query: str) -> pa.Table:
        """Answer one reading statement."""


def find_traces(verdict: Verdict, source: _Source) -> Verdict:
    """Return the verdict with traces for calls between services and for endpoints, the worst ones first.

    Messages and calls that are no child of their caller's span have none, and so has what a query limit keeps from
    being found: a verdict must not fail for want of an example.
    """
    queries = dict.fromkeys(_query(violation, verdict) for clause in verdict.clauses for violation in clause.violations)
    found: dict[str, tuple[str, ...]] = {}
    with suppress(QueryError):
        for query in list(filter(None, queries))[:_MOST_QUERIES]:
            found[query] = tuple(source.sql_arrow(query).column("trace_id").to_pylist())
    return replace(verdict, clauses=tuple(_with_traces(clause, verdict, found) for clause in verdict.clauses))


def _with_traces(clause: Clause, verdict: Verdict, found: Mapping[str, tuple[str, ...]]) -> Clause:
    violations = (
        replace(violation, trace_ids=found.get(_query(violation, verdict), violation.trace_ids))
        for violation in clause.violations
    )
    return replace(clause, violations=tuple(violations))


def _query(violation: Violation, verdict: Verdict) -> str:
    if violation.rule in ("dependency", "layer"):
        within = {name: _within(name, verdict) for name in ("callee", "caller")}
        return _EDGE.format(*map(_text, violation.services), **within, most=_MOST_TRACES)
    if violation.rule == "endpoint-limit" and "operation" in violation.evidence:
        order = "status_code = 'error' DESC," if "error_rate" in violation.evidence else ""
        names = violation.services[0], violation.evidence["operation"]
        return _ENDPOINT.format(*map(_text, names), root=_within("root", verdict), order=order, most=_MOST_TRACES)
    return ""


def _within(span: str, verdict: Verdict) -> str:
    begin, end = verdict.window["from"], verdict.window["to"]
    environment = f"coalesce({span}.environment, '') = {_text(verdict.environment)}"
    return f"{span}.start_unix_nano >= {begin} AND {span}.start_unix_nano <= {end} AND {environment}"


def _text(value: str) -> str:
    quoted = value.replace("'", "''")
    return f"'{quoted}'"
