"""Alerts as the configuration file has them: ``[[alerts]]``, each with one rule and where to tell of it."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from analytics.mistakes import name_remedy
from analytics.quantiles import ENOUGH_FOR_P99
from analytics.rule_help import RULE_HELP
from collector.webhook import Webhook, check_address

SEVERITIES = ("info", "warning", "critical")
ANY = "any"
LEAST_SECRET = 16
"""Bytes: as for the hashes of ``[redact]``."""
_KINDS = {
    "coupling_index": ("coupling_index",),
    "finding": ("finding", "severity", "services"),
    "endpoint": ("endpoint", "p99_ms", "error_rate", "minutes", "requests"),
}
"""What an alert may look at, and the keys that belong to it."""
_OF_THE_WEBHOOK = ("webhook", "webhook_file", "secret_file", "secret_variable")


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression ({error}): mend it") from error
    return text


def _finding(name: str) -> str:
    if name != ANY and name not in RULE_HELP:
        raise ValueError(f"{name!r} is no rule of findings: {name_remedy(name, [*RULE_HELP, ANY])}")
    return name


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_pattern)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Limit = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Score = Annotated[float, Field(strict=True, ge=0, lt=100, allow_inf_nan=False)]


class Condition(BaseModel):
    """One ``[[alerts]]`` table, but for its webhook; an incident is of one alert, environment and subject."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Name
    environment: str | None = None
    coupling_index: Score | None = None
    finding: Annotated[str, AfterValidator(_finding)] | None = None
    severity: Literal["info", "warning", "critical"] = "warning"
    services: Pattern | None = None
    endpoint: Pattern | None = None
    p99_ms: Limit | None = None
    error_rate: Share | None = None
    minutes: Annotated[int, Field(strict=True, ge=1, le=60)] = 5
    requests: Annotated[int, Field(strict=True, ge=1)] = ENOUGH_FOR_P99

    @property
    def kind(self) -> str:
        """What it looks at: ``coupling_index``, ``finding`` or ``endpoint``."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    @model_validator(mode="after")
    def _looks_at_one_thing(self) -> Self:
        kinds = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError("give one of coupling_index, finding and endpoint, and no other")
        (kind,) = kinds
        strange = sorted(self.model_fields_set & {key for keys in _KINDS.values() for key in keys} - {*_KINDS[kind]})
        if strange:
            raise ValueError(f"{strange[0]} does not belong to {kind}: take it out, or make another alert of it")
        if kind == "endpoint" and self.p99_ms is self.error_rate is None:
            raise ValueError("endpoint has no limit: give p99_ms, error_rate or both")
        return self

    def describe(self) -> dict[str, Any]:
        """Return what a message says of the rule: what is set, and what of its kind is left at its default."""
        own = [key for key in _KINDS[self.kind] if getattr(self, key) is not None]
        return {"name": self.name, "kind": self.kind} | {key: getattr(self, key) for key in own}


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule and the webhook that is told of it."""

    condition: Condition
    webhook: Webhook


def read_alerts(given: Any, mistakes: list[str]) -> tuple[Alert, ...]:
    """Return the alerts of ``[[alerts]]``; adds a sentence to ``mistakes`` for each thing that is wrong.

    A text is taken for JSON, as an environment variable has it. No sentence repeats an address or a secret.
    """
    try:
        tables = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        tables = None
    if not isinstance(tables, list | tuple) or not all(isinstance(table, dict) for table in tables):
        mistakes.append("alerts is a list of tables: begin each with [[alerts]].")
        return ()
    found = [_read(table, _where(table, number), mistakes) for number, table in enumerate(tables, start=1)]
    alerts = tuple(alert for alert in found if alert is not None)
    names = Counter(alert.condition.name for alert in alerts)
    twice = [name for name, count in names.items() if count > 1]
    mistakes += [f"alerts: {name} is the name of several alerts: give each its own." for name in twice]
    return alerts


def _where(table: dict[str, Any], number: int) -> str:
    name = table.get("name")
    return f"alerts[{number}]{f' ({name})' if isinstance(name, str) and name else ''}"


def _read(table: dict[str, Any], where: str, mistakes: list[str]) -> Alert | None:
    webhook = _webhook(table, where, mistakes)
    try:
        condition = Condition(**{key: value for key, value in table.items() if key not in _OF_THE_WEBHOOK})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        mistakes += [f"{where}: {_sentence(mistake)}" for mistake in found]
        return None
    return None if webhook is None else Alert(condition, webhook)


def _sentence(mistake: Any) -> str:
    key = str(mistake["loc"][0]) if mistake["loc"] else ""
    if mistake["type"] == "extra_forbidden":
        known = [*Condition.model_fields, *_OF_THE_WEBHOOK]
        near = difflib.get_close_matches(key, known, n=1)
        return f"{key} is no key of an alert: {f'did you mean {near[0]}?' if near else 'see docs/alerts.md.'}"
    if mistake["type"] == "missing":
        return f"{key} is missing: give it a value."
    message = str(mistake["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    return f"{key}: {message}{'' if message.endswith(('.', '?')) else '.'}".removeprefix(": ")


def _webhook(table: dict[str, Any], where: str, mistakes: list[str]) -> Webhook | None:
    before = len(mistakes)
    sources = [key for key in ("webhook", "webhook_file") if key in table]
    if len(sources) != 1:
        mistakes.append(f"{where}: give either webhook, an address, or webhook_file, a file that it is in.")
    if "secret_file" in table and "secret_variable" in table:
        mistakes.append(f"{where}: give either secret_file or secret_variable.")
    url, secret = _address(table, where, mistakes), _secret(table, where, mistakes)
    return Webhook(url, secret) if len(mistakes) == before else None


def _address(table: dict[str, Any], where: str, mistakes: list[str]) -> str:
    if "webhook_file" in table:
        key, url = "webhook_file", _content(table, "webhook_file", where, mistakes)
    else:
        key, url = "webhook", table.get("webhook")
    if url is None:
        return ""
    try:
        text = url.decode("ascii", "replace") if isinstance(url, bytes) else str(url)
        check_address(text)
    except ValueError as error:
        mistakes.append(f"{where}: {key} {error}.")
        return ""
    return text


def _secret(table: dict[str, Any], where: str, mistakes: list[str]) -> bytes:
    key = next((key for key in ("secret_file", "secret_variable") if key in table), None)
    if key is None:
        return b""
    if key == "secret_file":
        secret = _content(table, key, where, mistakes)
    else:
        secret = os.environ.get(str(table[key]), "").encode(errors="surrogateescape").strip()
    if secret is None:
        return b""
    if len(secret) < LEAST_SECRET:
        mistakes.append(
            f"{where}: what {key} names holds {len(secret)} bytes: make a secret of {LEAST_SECRET} or more, with "
            "`openssl rand -hex 32` for example."
        )
    return secret


def _content(table: dict[str, Any], key: str, where: str, mistakes: list[str]) -> bytes | None:
    """What is in a file; None, and a sentence, when it cannot be read."""
    try:
        return Path(str(table[key])).read_bytes().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no path"
        mistakes.append(
            f"{where}: what {key} names cannot be read ({reason}): give a file that the collector may read."
        )
        return None
