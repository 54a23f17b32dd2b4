"""Search for traces: options of a URL to one reading statement."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from collector.errors import ConfigurationError
from collector.store.sql import statement
from collector.units import parse_duration_ns, parse_time_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OPTIONS = (
    *("since", "from", "to", "env", "service", "operation", "attribute"),
    *("min_duration", "max_duration", "status", "limit"),
)
MOST = 5_000
_DEFAULT = 500
_LATEST = 2**62
_STATUSES = ("unset", "ok", "error")


def search_statement(options: Mapping[str, str]) -> str:
    """Return the statement that answers a search; raises ``ConfigurationError`` for an option that is wrong.

    ``service``, ``operation``, ``status`` and ``attribute`` (``KEY=VALUE``) are those of any one span of the trace,
    durations those of its root; ``env`` is the environment of the spans.
    """
    unknown = sorted(options.keys() - set(OPTIONS))
    if unknown:
        raise ConfigurationError(f"{unknown[0]} is no option of a search: give {', '.join(OPTIONS)}.")
    begin, end = _window(options)
    return statement(
        "search_traces",
        begin=str(begin),
        end=str(end),
        root=" AND ".join(["true", *_durations(options)]),
        any_span=" AND ".join(["true", *_of_a_span(options)]),
        limit=str(_limit(options)),
    )


def _window(options: Mapping[str, str]) -> tuple[int, int]:
    if "since" in options:
        return max(time.time_ns() - _parsed(options, "since", parse_duration_ns), 0), _LATEST
    begin = _parsed(options, "from", parse_time_ns) if "from" in options else 0
    end = _parsed(options, "to", parse_time_ns) if "to" in options else _LATEST
    return begin, end


def _durations(options: Mapping[str, str]) -> list[str]:
    limits = {"min_duration": ">=", "max_duration": "<="}
    return [
        f"duration_ns {sign} {_parsed(options, name, parse_duration_ns)}"
        for name, sign in limits.items()
        if options.get(name)
    ]


def _of_a_span(options: Mapping[str, str]) -> list[str]:
    columns = {"service": "service_name", "operation": "span_name", "status": "status_code"}
    if options.get("status", "error") not in ("", *_STATUSES):
        raise ConfigurationError(f"status: {options['status']!r} is none of {', '.join(_STATUSES)}.")
    found = [f"{column} = {quoted(options[name])}" for name, column in columns.items() if options.get(name)]
    if "env" in options:
        found.append(f"coalesce(environment, '') = {quoted(options['env'])}")
    if options.get("attribute"):
        key, equals, value = options["attribute"].partition("=")
        if not (key and equals):
            raise ConfigurationError(f"attribute: {options['attribute']!r} is not of the form KEY=VALUE.")
        found.append(f"attributes[{quoted(key.strip())}] = {quoted(value.strip())}")
    return found


def _limit(options: Mapping[str, str]) -> int:
    text = options.get("limit", str(_DEFAULT))
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise ConfigurationError(f"limit: {text!r} is no number from 1 to {MOST:,}.")
    return int(text)


def _parsed(options: Mapping[str, str], name: str, parse: Callable[[str], int]) -> int:
    try:
        return parse(options[name])
    except ValueError as error:
        raise ConfigurationError(f"{name}: {error}.") from error


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''").replace("\0", "") + "'"
