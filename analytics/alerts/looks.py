"""What alerts see of the rollups: which subjects break a rule in a window, and which hold it.

Too little to tell is neither: an incident then stays as it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.alerts.rules import ANY, SEVERITIES
from analytics.hours import HOUR_FINDINGS, HOUR_INDEX, HOUR_NS
from analytics.quantiles import histogram_quantiles
from analytics.schema import ROLLUPS, conform
from analytics.windows import MINUTE_NS
from analytics.words import listed
from collector.store.protocol import Buckets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from analytics.alerts.rules import Condition
    from collector.store.protocol import Store

RECENT_MINUTES = 60
RECENT_HOURS = 3
"""What ended longer ago alerts nobody: old files may be imported into a running collector."""
_HOUR_MINUTES = HOUR_NS // MINUTE_NS
_KEY = ["namespace", "service", "operation"]
_MS = 1e6


@dataclass(frozen=True, slots=True)
class Fact:
    """Why a subject breaks a rule: the figures and limits compared, who is concerned, and where to look further.

    ``endpoint`` is the service and operation whose traces to look for, None when ``trace_ids`` are known.
    """

    title: str
    compared: Sequence[dict[str, Any]]
    services: Sequence[str] = ()
    edges: Sequence[str] = ()
    trace_ids: Sequence[str] = ()
    evidence: dict[str, Any] = field(default_factory=dict)
    endpoint: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What one alert sees of an environment in a window (Unix nanoseconds).

    ``broken`` has the subjects that break its rule, ``holds`` says of others whether they hold it for certain. That
    resolves incidents whose rule was last broken in a window up to ``clears``.
    """

    alert: str
    environment: str
    begin: int
    end: int
    broken: dict[str, Fact]
    holds: Callable[[str], bool]
    clears: int


def look_at_minutes(
    store: Store, conditions: Sequence[Condition], now: int, through: int | None
) -> tuple[list[Look], int | None]:
    """Return what alerts about endpoints see, oldest window first, and the latest minute looked at.

    A window ends with each minute since 1970 that was rolled up after ``through``, and with the newest.
    """
    latest = now // MINUTE_NS
    widest = max((condition.minutes for condition in conditions), default=0)
    first = latest - RECENT_MINUTES - widest
    kept = pl.DataFrame(pl.from_arrow(store.rolled_minutes(first, latest + 1).environments)) if conditions else None
    if kept is None or kept.is_empty():
        return [], through
    newest = int(kept["last_minute"].to_numpy().max())
    begin = newest if through is None else min(max(through + 1, latest - RECENT_MINUTES), newest)
    if newest < latest - RECENT_MINUTES:
        return [], through
    looks: list[Look] = []
    for environment in kept["environment"]:
        wanted = [condition for condition in conditions if condition.environment in (None, environment)]
        looks += _of_environment(store, wanted, environment, (begin, newest, begin - widest + 1))
    return sorted(looks, key=lambda look: look.end), newest if through is None else max(newest, through)


def _of_environment(
    store: Store, conditions: Sequence[Condition], environment: str, minutes: tuple[int, int, int]
) -> Iterator[Look]:
    begin, newest, first = minutes
    names = ("rollup_endpoints", "rollup_latency")
    tables = store.bucket_rollups(names, Buckets(first, newest + 1, 1), environment)
    requests, latency = (conform(pl.DataFrame(pl.from_arrow(tables[name])), ROLLUPS[name]) for name in names)
    there = {*requests["minute"], newest}
    for width in sorted({condition.minutes for condition in conditions}):
        for end in (end for end in range(begin, newest + 1) if end in there):
            within = pl.col("minute").is_between(end - width + 1, end)
            figures = _figures(requests.filter(within), latency.filter(within))
            for condition in conditions:
                if condition.minutes == width:
                    yield _of_window(condition, environment, end, figures)


def _figures(requests: pl.DataFrame, latency: pl.DataFrame) -> list[dict[str, Any]]:
    """Each endpoint's ``traces``, ``weight``, ``errors`` and ``p99`` (nanoseconds, null without latencies)."""
    counts = requests.group_by(_KEY).agg(pl.col("traces", "weight", "errors").sum()).filter(pl.col("weight") > 0)
    p99 = histogram_quantiles(latency, _KEY, {"p99": 0.99})
    return counts.join(p99, on=_KEY, how="left", nulls_equal=True).sort(_KEY).to_dicts()


def _of_window(condition: Condition, environment: str, end: int, figures: Sequence[dict[str, Any]]) -> Look:
    rows = {_endpoint(row): row for row in figures if row["traces"] >= condition.requests}
    chosen = {
        name: row
        for name, row in rows.items()
        if re.fullmatch(condition.endpoint or "", f"{row['service']} {row['operation']}")
    }
    broken = {name: fact for name, row in chosen.items() if (fact := _endpoint_fact(condition, row))}
    begin = (end - condition.minutes + 1) * MINUTE_NS
    return Look(
        condition.name, environment, begin, (end + 1) * MINUTE_NS, broken, lambda subject: subject in rows, begin
    )


def _endpoint(row: dict[str, Any]) -> str:
    """``SERVICE OPERATION``, after the namespace if there is one."""
    return f"{row['namespace']}/" * bool(row["namespace"]) + f"{row['service']} {row['operation']}"


def _endpoint_fact(condition: Condition, row: dict[str, Any]) -> Fact | None:
    values = {"error_rate": row["errors"] / row["weight"]}
    if row.get("p99") is not None:
        values["p99_ms"] = row["p99"] / _MS
    compared = [
        {"name": figure, "value": values[figure], "limit": limit}
        for figure in ("p99_ms", "error_rate")
        if (limit := getattr(condition, figure)) is not None and figure in values and values[figure] > limit
    ]
    if not compared:
        return None
    evidence = {"requests": row["traces"], "minutes": condition.minutes}
    where = str(row["service"]), str(row["operation"])
    return Fact(" ".join(where), compared, services=(where[0],), evidence=evidence, endpoint=where)


def look_at_hours(store: Store, conditions: Sequence[Condition], now: int) -> list[Look]:
    """Return what alerts about the coupling index and findings see, the earlier hour first.

    An hour that is not over may break a rule, but cannot hold it: what a rule needs may be yet to come. So of each
    environment the newest hour counts and, when that is not over, the one before.
    """
    latest = now // HOUR_NS
    first = latest - RECENT_HOURS
    if not conditions:
        return []
    kept = store.rolled_minutes(first * _HOUR_MINUTES, (latest + 1) * _HOUR_MINUTES).environments
    looks: list[Look] = []
    for environment in pl.DataFrame(pl.from_arrow(kept))["environment"]:
        wanted = [condition for condition in conditions if condition.environment in (None, environment)]
        tables = store.judged_hours(first, latest + 1, environment)
        index = conform(pl.DataFrame(pl.from_arrow(tables["hour_index"])), HOUR_INDEX)
        findings = conform(pl.DataFrame(pl.from_arrow(tables["hour_findings"])), HOUR_FINDINGS)
        for hour in _that_count(index["hour"].sort().to_list(), latest):
            is_it = pl.col("hour") == hour
            rows = index.filter(is_it).to_dicts(), findings.filter(is_it).to_dicts()
            looks += [_of_hour(condition, environment, hour, rows, is_over=hour < latest) for condition in wanted]
    return looks


def _that_count(hours: list[int], latest: int) -> list[int]:
    if not hours or hours[-1] < latest:
        return hours[-1:]
    return [hour for hour in hours[-2:] if hour >= latest - 1]


def _of_hour(
    condition: Condition,
    environment: str,
    hour: int,
    rows: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    *,
    is_over: bool,
) -> Look:
    begin, end = hour * HOUR_NS, (hour + 1) * HOUR_NS
    index, findings = rows
    if condition.kind == "coupling_index":
        is_known = any(row["score"] is not None and row["grade"] != "unknown" for row in index)
        broken = _broken_index(condition, index) if is_known else {}
        return Look(condition.name, environment, begin, end, broken, lambda _: is_over and is_known, end)
    blind = {row["rule"] for row in findings if row["status"] == "unknown"}
    broken = _broken_findings(condition, findings)
    return Look(condition.name, environment, begin, end, broken, lambda subject: is_over and _sees(subject, blind), end)


def _sees(subject: str, blind: Collection[str]) -> bool:
    """Whether the rule of a finding could tell."""
    return subject.partition(":")[0] not in blind


def _broken_index(condition: Condition, index: Sequence[dict[str, Any]]) -> dict[str, Fact]:
    row, limit = index[0], condition.coupling_index
    if limit is None or row["score"] <= limit:
        return {}
    parts = {part["name"]: part["contribution"] for part in row["components"]}
    edges = [lower["edge"] for lower in row["lowers"] or []][:5]
    services = list(dict.fromkeys(name for edge in edges for name in edge.split("->")))
    compared = [{"name": "coupling_index", "value": row["score"], "limit": limit}]
    return {"": Fact("the coupling index", compared, services, edges, evidence={"grade": row["grade"]} | parts)}


def _broken_findings(condition: Condition, findings: Sequence[dict[str, Any]]) -> dict[str, Fact]:
    """The worst finding of each subject: a rule and its services, whose edges may differ from hour to hour."""
    least = SEVERITIES.index(condition.severity)
    chosen = [
        row
        for row in findings
        if row["status"] != "unknown"
        and condition.finding in (ANY, row["rule"])
        and SEVERITIES.index(row["severity"]) >= least
        and (condition.services is None or any(re.fullmatch(condition.services, name) for name in row["services"]))
    ]
    worst_last = sorted(chosen, key=lambda row: (SEVERITIES.index(row["severity"]), row["score"]))
    return {
        f"{row['rule']}: {listed(sorted(row['services']), 1000)}": _finding_fact(condition, row) for row in worst_last
    }


def _finding_fact(condition: Condition, row: dict[str, Any]) -> Fact:
    compared = [{"name": "severity", "value": row["severity"], "limit": condition.severity}]
    evidence = json.loads(row["evidence"]) | {"score": row["score"], "advice": row["advice"]}
    return Fact(row["title"], compared, row["services"], row["edges"], row["trace_ids"], evidence)
