"""What a long window is judged to be, from its hours: rules need traces, and those of many hours are too many."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.coupling_index import grade
from analytics.hours import HOUR_FINDINGS, HOUR_INDEX, HOUR_NS
from analytics.judgement import Judgement
from analytics.schema import conform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.store.protocol import Store, TraceWindow

    Row = dict[str, Any]

_SEVERITIES = ("critical", "warning", "info")


def judge_hours(store: Store, window: TraceWindow, environment: str) -> Judgement | None:
    """Return the judgement of the hours that a window touches; None when none of them has been judged."""
    kept = store.judged_hours(window.begin // HOUR_NS, -(-window.end // HOUR_NS), environment)
    hours = conform(pl.DataFrame(pl.from_arrow(kept["hour_index"])), HOUR_INDEX).sort("hour")
    if hours.is_empty():
        return None
    findings = conform(pl.DataFrame(pl.from_arrow(kept["hour_findings"])), HOUR_FINDINGS)
    based_on = {
        "from": int(hours["hour"].to_numpy().min()) * HOUR_NS,
        "to": (int(hours["hour"].to_numpy().max()) + 1) * HOUR_NS,
        "share": float(hours["share"].to_numpy().min()),
        "hours": hours.height,
    }
    return Judgement(merge_indexes(hours.to_dicts()), merge_findings(findings.to_dicts(), hours.height), based_on)


def merge_indexes(hours: list[Row]) -> Row:
    """Return the ``coupling_index`` of rows of HOUR_INDEX: means over their traces.

    What the parts come from is told of the hour with most traces. An hour without a score counts only when no hour has
    one, an hour with too few traces to be certain only when none has enough.
    """
    known = [row for row in hours if row["score"] is not None]
    certain = [row for row in known if row["grade"] != "unknown"] or known
    busiest = max(certain or hours, key=_traces)
    found = {name: busiest[name] for name in ("score", "grade", "components", "lowers", "missing")}
    if len(certain) <= 1:
        return found
    score = _mean(certain, [row["score"] for row in certain])
    merged = {"score": score, "components": [_component(part, certain) for part in busiest["components"]]}
    return found | merged | ({} if busiest["grade"] == "unknown" else {"grade": grade(score)})


def _component(part: Row, hours: list[Row]) -> Row:
    same = [_part(row, part) for row in hours]
    means = {name: _mean(hours, [other[name] for other in same]) for name in ("value", "contribution")}
    return part | means | {"explanation": f"{part['explanation']} (in the busiest of {len(hours)} hours)"}


def _part(row: Row, like: Row) -> Row:
    """The part of the same name; another version may have had other parts."""
    return next((part for part in row["components"] if part["name"] == like["name"]), like)


def _traces(row: Row) -> float:
    """How many traces the hour had, those included that were not looked at."""
    return float(row["traces"] / row["share"])


def _mean(hours: list[Row], values: Sequence[float]) -> float:
    weights = [_traces(row) for row in hours]
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def merge_findings(rows: list[Row], hours: int) -> list[Row]:
    """Return the ``findings`` of rows of HOUR_FINDINGS of so many hours: of each rule, services and edges the worst.

    A rule is unknown only when it was in all hours. Evidence tells in how many hours a finding was there.
    """
    found = [row for row in rows if row["status"] != "unknown"]
    worst: dict[tuple[str, ...], list[Row]] = {}
    for row in sorted(found, key=lambda row: (_SEVERITIES.index(row["severity"]), -row["score"], -row["hour"])):
        worst.setdefault((row["rule"], *sorted(row["services"]), "", *sorted(row["edges"])), []).append(row)
    blind: dict[str, list[Row]] = {}
    for row in rows:
        if row["status"] == "unknown":
            blind.setdefault(row["rule"], []).append(row)
    unknown = [_finding(blind[rule][-1]) for rule in sorted(blind) if len({r["hour"] for r in blind[rule]}) == hours]
    return [
        *sorted((_finding(same[0], len(same), hours) for same in worst.values()), key=_order),
        *(finding for finding in unknown if finding["rule"] not in {row["rule"] for row in found}),
    ]


def _order(finding: Row) -> tuple[int, float, str, str]:
    return _SEVERITIES.index(finding["severity"]), -finding["score"], finding["rule"], finding["title"]


def _finding(row: Row, there: int = 0, hours: int = 0) -> Row:
    finding = {name: row[name] for name in HOUR_FINDINGS if name not in ("hour", "environment")}
    evidence = json.loads(row["evidence"])
    return finding | {"evidence": evidence | {"in_hours": there, "of_hours": hours} if there else evidence}
