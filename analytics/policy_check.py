"""Holds a policy against a report: which of its clauses are kept, which are broken, and by what."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from analytics.evidence import evidence_sentence
from analytics.policy import fits
from analytics.rule_help import RULE_HELP
from analytics.words import format_number, percent
from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from analytics.policy import Arrow, Endpoint, Policy, PolicyFile

Status: TypeAlias = Literal["held", "broken", "unknown"]
Report: TypeAlias = "dict[str, Any]"

USER = "user"
_MOST_NUMBERS = 6
_SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that breaks a policy; ``message`` is a sentence with the evidence, ``short`` one without, if any."""

    rule: str
    severity: str
    message: str
    services: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)
    trace_ids: tuple[str, ...] = ()
    advice: str = ""
    short: str = ""


@dataclass(frozen=True, slots=True)
class Clause:
    """One thing that a policy asks for; ``line`` is where, ``says`` what came out when nothing breaks it."""

    name: str
    rule: str
    line: int
    violations: tuple[Violation, ...] = ()
    unknown: tuple[str, ...] = ()
    says: str = ""

    @property
    def status(self) -> Status:
        """Broken by what is certain, else unknown as long as anything is."""
        if self.violations:
            return "broken"
        return "unknown" if self.unknown else "held"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a policy: its clauses in the order of the file, and what is worth saying beside them."""

    path: str
    environment: str
    window: dict[str, Any]
    clauses: tuple[Clause, ...]
    notes: tuple[str, ...]

    @property
    def broken(self) -> tuple[Clause, ...]:
        """The clauses that are broken; the policy holds when there are none."""
        return tuple(clause for clause in self.clauses if clause.status == "broken")


class Stored(NamedTuple):
    """What the store has at any time: ask for names of services, and of operations as "SERVICE OPERATION"."""

    services: Callable[[], Collection[str]]
    operations: Callable[[], Collection[str]]


def check_policy(file: PolicyFile, report: Report, stored: Stored) -> Verdict:
    """Hold a policy against a ``report`` object.

    ``stored`` is asked only when the report lacks a name that the policy has: one that is nowhere is a mistake and
    raises ``ConfigurationError``, one that the window lacks is noted.
    """
    notes = _missing(file, report, stored) if report["window"]["traces"] else []
    clauses = [_data(report), *_index(file, report), *_rules(file, report), *_dependencies(file, report)]
    clauses += [*_layers(file, report), *_endpoints(file, report)]
    if not report["window"]["traces"]:
        clauses = [clauses[0], *(_nothing_known(clause) for clause in clauses[1:])]
    if file.policy.unknown == "fail":
        clauses = [_failed(clause) for clause in clauses]
    notes += [*_without_layer(file.policy, report), *_other_environments(report)]
    return Verdict(str(file.path), report["environment"], report["window"], tuple(clauses), tuple(notes))


def _nothing_known(clause: Clause) -> Clause:
    return Clause(clause.name, clause.rule, clause.line, unknown=("there are no traces",))


def _failed(clause: Clause) -> Clause:
    """The clause as ``unknown = "fail"`` has it."""
    unknown = tuple(Violation(clause.rule, "info", _sentence(reason)) for reason in clause.unknown)
    return Clause(clause.name, clause.rule, clause.line, (*clause.violations, *unknown), (), clause.says)


def _data(report: Report) -> Clause:
    traces = report["window"]["traces"]
    if traces:
        return Clause("traces", "no-data", 1, says=f"{traces:,} traces")
    said = "There are no traces in this window, so nothing could be checked."
    nothing = Violation("no-data", "critical", said, advice="Widen the window, or send some.")
    return Clause("traces", "no-data", 1, (nothing,))


def _index(file: PolicyFile, report: Report) -> Iterator[Clause]:
    if file.policy.index is None:
        return
    most = file.policy.index.max
    name, line = f"index at most {format_number(most)}", file.line("index", "max")
    index = report["coupling_index"] or {}
    score = index.get("score")
    if score is None or index.get("grade") == "unknown":
        reason = f"the coupling index is not known, it takes {index.get('missing') or 'more traces'}"
        yield Clause(name, "coupling-index", line, unknown=(reason,))
    elif score <= most:
        yield Clause(name, "coupling-index", line, says=f"the index is {format_number(score)}")
    else:
        yield Clause(name, "coupling-index", line, (_too_coupled(index, most),))


def _too_coupled(index: dict[str, Any], most: float) -> Violation:
    worst = sorted(index["components"], key=lambda part: -part["contribution"])[:3]
    parts = ", ".join(f"{part['name']} {format_number(part['contribution'])}" for part in worst)
    message = f"The coupling index is {format_number(index['score'])}, over {format_number(most)}"
    return Violation(
        *("coupling-index", "critical", f"{message}{f': most of it is {parts}' if parts else ''}."),
        evidence={"score": index["score"], "max": most},
        advice="`lithoscope report` says what each part of the index comes from.",
    )


def _rules(file: PolicyFile, report: Report) -> Iterator[Clause]:
    policy = file.policy
    general = policy.rules.forbid if policy.rules else []
    allowed = policy.rules.allow if policy.rules else []
    least = _SEVERITIES.index(policy.rules.severity if policy.rules else "info")
    for rule in RULE_HELP:
        everywhere = rule in general and rule not in allowed
        if not everywhere and not any(rule in given.forbid for given in policy.services.values()):
            continue
        findings = [finding for finding in report["findings"] if finding["rule"] == rule]
        severe = [
            finding
            for finding in findings
            if finding["status"] != "unknown" and _SEVERITIES.index(finding["severity"]) >= least
        ]
        breaking = [finding for finding in severe if _breaks(policy, finding, everywhere=everywhere)]
        yield Clause(
            name=f"rule {rule}",
            rule=rule,
            line=file.line("rules", f'"{rule}"') if everywhere else file.line("services", f'"{rule}"'),
            violations=tuple(_of_finding(finding) for finding in breaking),
            unknown=tuple(_lower(finding["title"]) for finding in findings if finding["status"] == "unknown"),
            says=_rest(len(severe) - len(breaking)),
        )


def _breaks(policy: Policy, finding: dict[str, Any], *, everywhere: bool) -> bool:
    """Forbidden for one of its services, or everywhere and not allowed for all of them."""
    rule = finding["rule"]
    tables = [[given for name, given in policy.services.items() if fits(name, of)] for of in finding["services"]]
    if any(rule in given.forbid for found in tables for given in found):
        return True
    excused = bool(tables) and all(any(rule in given.allow for given in found) for found in tables)
    return everywhere and not excused


def _of_finding(finding: dict[str, Any]) -> Violation:
    said = evidence_sentence(finding["evidence"], _MOST_NUMBERS)
    return Violation(
        rule=finding["rule"],
        severity=finding["severity"],
        message=f"{finding['title'].rstrip('.')}{f' ({said})' if said else ''}.",
        services=tuple(finding["services"]),
        edges=tuple(finding["edges"]),
        evidence=finding["evidence"],
        trace_ids=tuple(finding["trace_ids"]),
        short=f"{finding['title'].rstrip('.')}.",
        advice=finding["advice"],
    )


def _rest(count: int) -> str:
    return f"{count} {'finding' if count == 1 else 'findings'} allowed" if count else ""


def _dependencies(file: PolicyFile, report: Report) -> Iterator[Clause]:
    given = file.policy.dependencies
    if given is None:
        return
    if given.allow is not None:
        named = _services(report)
        between = [edge for edge in report["edges"] if edge["caller"] in named and edge["callee_type"] == "service"]
        wrong = [edge for edge in between if not any(_is(arrow, edge) for arrow in given.allow)]
        said = tuple(_dependency(edge, "is not among the allowed dependencies") for edge in wrong)
        yield Clause(
            "only allowed dependencies",
            "dependency",
            file.line("dependencies", "allow"),
            said,
            says=f"{len(between)} edges are allowed",
        )
    for arrow in given.forbid:
        found = [edge for edge in report["edges"] if _is(arrow, edge)]
        line = file.line("dependencies", f'"{arrow}"', "forbid")
        yield Clause(
            f"no dependency {arrow}", "dependency", line, tuple(_dependency(edge, "is forbidden") for edge in found)
        )


def _is(arrow: Arrow, edge: dict[str, Any]) -> bool:
    """Users are no service, so ``*`` does not stand for them; their own name does."""
    is_caller = arrow.caller == USER if edge["caller"] == USER else fits(arrow.caller, edge["caller"])
    return is_caller and fits(arrow.callee, edge["callee"])


def _dependency(edge: dict[str, Any], why: str) -> Violation:
    return _of_edge("dependency", edge, why, "Take the call out, or allow it in [dependencies] when it is meant.")


def _of_edge(rule: str, edge: dict[str, Any], why: str, advice: str) -> Violation:
    caller, callee = edge["caller"], edge["callee"]
    calls = f"{edge['calls']:,} {edge['mode']} {'call' if edge['calls'] == 1 else 'calls'}"
    return Violation(
        *(rule, "critical", f"{caller} calls {callee} ({calls}), which {why}."),
        services=(caller, callee),
        edges=(f"{caller}->{callee}",),
        evidence={"calls": edge["calls"], "mode": edge["mode"]},
        advice=advice,
    )


def _layers(file: PolicyFile, report: Report) -> Iterator[Clause]:
    layers = file.policy.layers
    if not layers:
        return
    rank = {service: place for service in _services(report) if (place := _layer(file.policy, service)) is not None}
    upwards = [
        edge
        for edge in report["edges"]
        if edge["mode"] == "sync" and rank.get(edge["callee"], len(layers)) < rank.get(edge["caller"], -1)
    ]
    said = tuple(
        _of_edge(
            *("layer", edge),
            f"is upwards, from {layers[rank[edge['caller']]].name} to {layers[rank[edge['callee']]].name}",
            "Turn the call around, or send a message that nobody waits for.",
        )
        for edge in upwards
    )
    yield Clause("no calls upwards", "layer", file.line("layers", "layers"), said)


def _layer(policy: Policy, service: str) -> int | None:
    """The place of the layer that names a service itself, else of the first one with a pattern that fits."""
    exact = [place for place, layer in enumerate(policy.layers) if service in layer.services]
    loose = [place for place, layer in enumerate(policy.layers) if any(fits(name, service) for name in layer.services)]
    return next(iter([*exact, *loose]), None)


def _without_layer(policy: Policy, report: Report) -> list[str]:
    lost = sorted(name for name in _services(report) if _layer(policy, name) is None) if policy.layers else []
    return [f"In no layer, so not checked for calls upwards: {', '.join(lost)}."] if lost else []


def _endpoints(file: PolicyFile, report: Report) -> Iterator[Clause]:
    for limits in file.policy.endpoints:
        line = file.line("endpoints", f'"{limits.endpoint}"')
        given = [name for name in ("p50_ms", "p95_ms", "p99_ms", "error_rate") if getattr(limits, name) is not None]
        for name in given:
            yield _endpoint_clause(limits, name, line, report)


def _endpoint_clause(limits: Endpoint, name: str, line: int, report: Report) -> Clause:
    most = getattr(limits, name)
    title = f"{name} of {limits.endpoint} at most {_figure(name, most)}"
    fitting = [found for found in report["endpoints"] if fits(limits.endpoint, _endpoint_name(found))]
    if not fitting:
        return Clause(title, "endpoint-limit", line, unknown=(_no_endpoint(limits.endpoint, report),))
    known = [found for found in fitting if found[name] is not None and (name != "p99_ms" or found["p99_known"])]
    slow = [found for found in known if found[name] > most]
    unknown = tuple(
        f"too few traces to know {name} of {_endpoint_name(found)}" for found in fitting if found not in known
    )
    return Clause(title, "endpoint-limit", line, tuple(_too_much(found, name, most) for found in slow), unknown)


def _too_much(found: dict[str, Any], name: str, most: float) -> Violation:
    is_, limit = _figures_apart(name, found[name], most)
    said = f"{name} of {_endpoint_name(found)} is {is_}, over {limit}"
    return Violation(
        *("endpoint-limit", "critical", f"{said}, in {found['traces']:,} traces."),
        services=(found["service"],),
        evidence={"operation": found["operation"], name: found[name], "max": most, "traces": found["traces"]},
        advice=f'`lithoscope report --endpoint "{_endpoint_name(found)}"` says whose time it is.',
    )


def _endpoint_name(endpoint: dict[str, Any]) -> str:
    return f"{endpoint['service']} {endpoint['operation']}"


def _no_endpoint(wanted: str, report: Report) -> str:
    near = difflib.get_close_matches(wanted, [_endpoint_name(found) for found in report["endpoints"]], n=1)
    return f"no trace is of the endpoint {wanted}{f', but some are of {near[0]}' if near else ''}"


def _figure(name: str, value: float, digits: int = 3) -> str:
    return f"{format_number(value, digits)} ms" if name.endswith("_ms") else percent(value, digits)


def _figures_apart(name: str, value: float, most: float) -> tuple[str, str]:
    """A figure and its limit with as many digits as it takes to tell them apart."""
    pairs = ((_figure(name, value, digits), _figure(name, most, digits)) for digits in (3, 5, 8))
    return next((pair for pair in pairs if pair[0] != pair[1]), (str(value), str(most)))


def _services(report: Report) -> set[str]:
    return {service["name"] for service in report["services"] if service["type"] == "service"}


def _missing(file: PolicyFile, report: Report, stored: Stored) -> list[str]:
    """Say which services the window lacks; raises for what is nowhere. A pattern may fit nothing."""
    services = {service["name"] for service in report["services"]}
    endpoints = {_endpoint_name(found) for found in report["endpoints"]}
    wanted = [(place, name) for place, name in _names(file.policy) if "*" not in name and name not in services]
    limited = [limits.endpoint for limits in file.policy.endpoints if not _is_among(limits.endpoint, endpoints)]
    mistakes = [
        *_nowhere(wanted, services, stored.services),
        *_nowhere([("endpoints", name) for name in limited], endpoints, stored.operations),
    ]
    if mistakes:
        raise ConfigurationError("\n".join(f"{file.path}: {mistake}" for mistake in dict.fromkeys(mistakes)))
    missing = ", ".join(dict.fromkeys(name for _, name in wanted))
    return [f"No trace of this window has: {missing}."] if missing else []


def _is_among(endpoint: str, known: Collection[str]) -> bool:
    return "*" in endpoint or endpoint in known


def _nowhere(
    wanted: Sequence[tuple[str, str]], known: Collection[str], stored: Callable[[], Collection[str]]
) -> Iterator[str]:
    """Yield a sentence for each place of the policy that names what is not stored at all."""
    if not wanted:
        return
    there = sorted(stored())
    for place, name in wanted:
        if name not in there:
            near = difflib.get_close_matches(name, [*sorted(known), *there], n=1)
            advice = f"did you mean {near[0]}?" if near else "correct or remove it, or write a pattern with *."
            yield f"{place} names {name}, which no stored span comes from: {advice}"


def _names(policy: Policy) -> Iterable[tuple[str, str]]:
    yield from ((f"services.{name}", name) for name in policy.services)
    if policy.dependencies:
        for kind, arrows in (("allow", policy.dependencies.allow or []), ("forbid", policy.dependencies.forbid)):
            yield from ((f"dependencies.{kind}", name) for arrow in arrows for name in arrow)
    yield from ((f"layer {layer.name}", name) for layer in policy.layers for name in layer.services)


def _other_environments(report: Report) -> list[str]:
    others = [name or "(unnamed)" for name in report["environments"] if name != report["environment"]]
    return [f"Other environments, not checked (--env): {', '.join(others)}."] if others else []


def _lower(title: str) -> str:
    return title.removeprefix("Unknown: ").rstrip(".")


def _sentence(reason: str) -> str:
    return f"Unknown: {reason.rstrip('.')}."
