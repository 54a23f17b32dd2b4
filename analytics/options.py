"""What users may set about the analysis; the collector hands its settings on as they are, and they are checked here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, get_args

from analytics.alerts.rules import Alert, read_alerts
from analytics.metric_aliases import MetricAlias, Reading
from analytics.mistakes import check_names
from analytics.rule_limits import read_limits
from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

READINGS = get_args(Reading)
_REQUIRED = ("resource", "reading")


@dataclass(frozen=True, slots=True)
class Options:
    """How traces and metrics are analysed.

    ``metric_aliases`` add to METRIC_ALIASES and replace them; ``rules`` are the limits of rules that are not default;
    ``alerts`` are what a running collector tells webhooks of.
    """

    correct_clocks: bool = True
    metric_aliases: Mapping[str, MetricAlias] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    alerts: tuple[Alert, ...] = ()


def read_options(given: Mapping[str, Any]) -> Options:
    """Return the options of a mapping as a configuration file has it.

    Raises ``ConfigurationError`` with a sentence for each name that is unknown and each value that is wrong.
    """
    mistakes: list[str] = []
    check_names(given, [option.name for option in fields(Options)], "the analysis", mistakes)
    read = {name: _READERS[name](value, mistakes) for name, value in given.items() if name in _READERS}
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return Options(**read)


def _flag(value: Any, mistakes: list[str]) -> bool:
    if not isinstance(value, bool):
        mistakes.append(f"correct_clocks is true or false, not {value!r}.")
    return bool(value)


def _aliases(tables: Any, mistakes: list[str]) -> dict[str, MetricAlias]:
    if not isinstance(tables, dict):
        mistakes.append(f"metric_aliases is a table of tables, not {tables!r}.")
        return {}
    found = {}
    for name, table in tables.items():
        where = f'metric_aliases."{name}"'
        before = len(mistakes)
        _check_alias(table, where, mistakes)
        if len(mistakes) == before:
            lists = {key: tuple(table[key]) for key in ("limits", "parts") if key in table}
            found[name] = MetricAlias(table["resource"], table["reading"], **lists)
    return found


def _check_alias(table: Any, where: str, mistakes: list[str]) -> None:
    if not isinstance(table, dict):
        mistakes.append(f"{where} is a table with resource and reading, not {table!r}.")
        return
    check_names(table, [key.name for key in fields(MetricAlias)], where, mistakes)
    mistakes += [f"{where} has no {key}: give one." for key in _REQUIRED if key not in table]
    resource, reading = (table.get(key, READINGS[0]) for key in _REQUIRED)
    if not isinstance(resource, str) or not resource:
        mistakes.append(f"resource of {where} is a name such as cpu, not {resource!r}.")
    if reading not in READINGS:
        mistakes.append(f"reading of {where} is one of {', '.join(READINGS)}, not {reading!r}.")
    for key in ("limits", "parts"):
        names = table.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            mistakes.append(f"{key} of {where} is a list of names, not {names!r}.")


_READERS: dict[str, Callable[[Any, list[str]], Any]] = {
    "correct_clocks": _flag,
    "metric_aliases": _aliases,
    "rules": read_limits,
    "alerts": read_alerts,
}
