"""A policy: what an architecture promises, read from TOML; ``analytics.policy_check`` holds it against a report."""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from analytics.rule_help import RULE_HELP
from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


class Arrow(NamedTuple):
    """Patterns of a caller and of a callee."""

    caller: str
    callee: str

    def __str__(self) -> str:
        return f"{self.caller} -> {self.callee}"


def _arrow(value: object) -> Arrow:
    sides = [side.strip() for side in str(value).split("->")]
    if len(sides) != len(Arrow._fields) or not all(sides):
        raise ValueError('write "CALLER -> CALLEE"; * stands for any letters')
    return Arrow(*sides)


def _rule(value: str) -> str:
    if value in RULE_HELP:
        return value
    near = difflib.get_close_matches(value, RULE_HELP, n=1)
    advice = f"did you mean {near[0]}?" if near else f"the rules are {', '.join(RULE_HELP)}."
    raise ValueError(f"{value} is not a rule: {advice}")


Edge = Annotated[Arrow, PlainValidator(_arrow)]
RuleName = Annotated[str, AfterValidator(_rule)]
Name = Annotated[str, Field(min_length=1)]
Limit = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Score = Annotated[float, Field(strict=True, ge=0, le=100)]


def _refuse_both(forbid: list[str], allow: list[str]) -> None:
    both = [rule for rule in forbid if rule in allow]
    if both:
        raise ValueError(f"{' and '.join(both)} cannot be both forbidden and allowed: keep one.")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Index(_Table):
    """``[index]``: the highest coupling index that holds."""

    max: Score


class Rules(_Table):
    """``[rules]``: the rules whose findings break, all without ``forbid``, and from which severity on."""

    forbid: list[RuleName] = list(RULE_HELP)
    allow: list[RuleName] = []
    severity: Literal["info", "warning", "critical"] = "info"

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if "forbid" in self.model_fields_set:
            _refuse_both(self.forbid, self.allow)
        return self


class ServiceRules(_Table):
    """``[services.NAME]``: rules forbidden or allowed for one service."""

    forbid: list[RuleName] = []
    allow: list[RuleName] = []

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        _refuse_both(self.forbid, self.allow)
        return self


class Dependencies(_Table):
    """``[dependencies]``: the only calls between services that are allowed, if given, and calls that never are."""

    allow: list[Edge] | None = None
    forbid: list[Edge] = []


class Layer(_Table):
    """``[[layers]]``: some services; those of an earlier layer may call them, they may not call back."""

    name: Name
    services: Annotated[list[Name], Field(min_length=1)]


class Endpoint(_Table):
    """``[[endpoints]]``: limits of the endpoints that a pattern of "SERVICE OPERATION" fits, of all without one."""

    endpoint: Name = "*"
    p50_ms: Limit | None = None
    p95_ms: Limit | None = None
    p99_ms: Limit | None = None
    error_rate: Share | None = None

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.p50_ms is self.p95_ms is self.p99_ms is self.error_rate is None:
            raise ValueError(f'"{self.endpoint}" has no limit: give p50_ms, p95_ms, p99_ms or error_rate.')
        return self


def _once(layers: list[Layer]) -> list[Layer]:
    """Refuse a service in two layers."""
    places: dict[str, list[str]] = {}
    for layer in layers:
        for service in dict.fromkeys(layer.services):
            places.setdefault(service, []).append(layer.name)
    twice = [f"{service} is in {' and in '.join(names)}" for service, names in places.items() if len(names) > 1]
    if twice:
        raise ValueError(f"{'; '.join(twice)}: keep each service in one layer.")
    return layers


class Policy(_Table):
    """A policy; make one with ``read_policy``, which words mistakes for people."""

    unknown: Literal["ignore", "fail"] = "ignore"
    index: Index | None = None
    rules: Rules | None = None
    services: dict[Name, ServiceRules] = {}
    dependencies: Dependencies | None = None
    layers: Annotated[list[Layer], AfterValidator(_once)] = []
    endpoints: list[Endpoint] = []


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy, where it was read, and the text of the file."""

    path: Path
    text: str
    policy: Policy

    def line(self, table: str, *words: str) -> int:
        """Return the number of the first line of a table that has a word, or of the table's head; from 1."""
        inside, head = False, 1
        for number, line in enumerate(self.text.splitlines(), start=1):
            name = re.match(r"\s*\[\[?\s*([\w-]+)", line)
            if name:
                inside = name[1] == table
                head = number if inside and head == 1 else head
            if inside and any(word in line for word in words):
                return number
        return head


def read_policy(path: Path) -> PolicyFile:
    """Return the policy in a TOML file.

    Raises ``ConfigurationError`` that lists all mistakes, one sentence and one line each.
    """
    try:
        text = path.read_text(encoding="utf-8")
        given = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(
            f"There is no policy to read at {path} ({error.strerror}): give a file with --policy; docs/policy.md has "
            "one to begin with."
        ) from error
    except (ValueError, RecursionError) as error:  # of brackets in brackets, a thousand deep
        raise ConfigurationError(f"The policy {path} cannot be read as TOML ({error}); see docs/policy.md.") from error
    try:
        policy = Policy.model_validate(given)
    except ValidationError as error:
        raise ConfigurationError(
            "\n".join(f"{path}: {_sentence(mistake)}" for mistake in error.errors(include_url=False))
        ) from error
    if _asks_for_nothing(policy):
        parts = "[index], [rules], [services.NAME], [dependencies], [[layers]] and [[endpoints]]"
        raise ConfigurationError(f"{path}: the policy asks for nothing: give at least one of {parts}.")
    return PolicyFile(path, text, policy)


def fits(pattern: str, name: str) -> bool:
    """Say whether a pattern fits a name: ``*`` stands for any letters, everything else for itself."""
    first, *others = pattern.split("*")
    if not others:
        return name == pattern
    *between, last = others
    begin, end = len(first), len(name) - len(last)
    if begin > end or not (name.startswith(first) and name.endswith(last)):
        return False
    for part in between:  # the first place that fits leaves most for the rest; a regular expression tries them all
        found = name.find(part, begin, end)
        if found < 0:
            return False
        begin = found + len(part)
    return True


def _asks_for_nothing(policy: Policy) -> bool:
    forbids = any(rules.forbid for rules in policy.services.values())
    return not (policy.index or policy.rules or forbids or policy.dependencies or policy.layers or policy.endpoints)


def _sentence(mistake: Any) -> str:
    place = _place(mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        known = list(_table(mistake["loc"]).model_fields)
        near = difflib.get_close_matches(str(mistake["loc"][-1]), known, n=1)
        return f"{place} is not a key of a policy: {f'did you mean {near[0]}?' if near else f'give {_any(known)}.'}"
    if mistake["type"] == "missing":
        return f"{place} is missing: give it a value."
    message = str(mistake["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    if mistake["type"] == "value_error" and message.endswith((".", "?")):
        return f"{place}: {message}"
    return f"{place}: {message[:1].lower()}{message[1:]}, not {mistake['input']!r}."


def _place(loc: tuple[int | str, ...]) -> str:
    """``rules.forbid[2]``: numbers count from 1, as people do."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def _table(loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The table whose key a place names."""
    tables: dict[str, type[BaseModel]] = {
        "index": Index,
        "rules": Rules,
        "services": ServiceRules,
        "dependencies": Dependencies,
        "layers": Layer,
        "endpoints": Endpoint,
    }
    return tables.get(str(loc[0]), Policy) if len(loc) > 1 else Policy


def _any(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
