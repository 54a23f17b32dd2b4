"""``lithoscope check``; imports nothing heavy, so that ``--help`` stays instant."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.cli.options import CheckFormat, DbOption, EnvOption, FromOption, SinceOption, ToOption, UrlOption
from collector.errors import ConfigurationError, LithoscopeError, NoTracesError

if TYPE_CHECKING:
    from collector.analysis import Analysis
    from collector.cli.source import Source

PolicyOption = Annotated[Path, typer.Option("--policy", help="A TOML file of what must hold, see docs/policy.md.")]
FormOption = Annotated[CheckFormat, typer.Option("--format", help="How the verdict is written.")]
BeforeOption = Annotated[
    str | None,
    typer.Option("--before", help="Also what changed since: a .duckdb file, FROM..TO, SERVICE@VERSION or env:NAME."),
]
_BROKEN = 1
_COMPARING = (CheckFormat.TEXT, CheckFormat.JSON, CheckFormat.MARKDOWN)


def check(  # noqa: PLR0913, PLR0917  (one argument an option)
    policy: PolicyOption,
    since: SinceOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    env: EnvOption = None,
    form: FormOption = CheckFormat.TEXT,
    before: BeforeOption = None,
    db: DbOption = None,
    url: UrlOption = None,
) -> None:
    """Hold a policy against what is stored: exit status 0 when it holds, 1 when it is broken, for a build pipeline.

    Example: lithoscope check --policy lithoscope.policy.toml --since 1h --format junit
    """
    from analytics.policy import read_policy  # noqa: PLC0415  (a subcommand imports what it alone needs)
    from analytics.policy_check import Stored, check_policy  # noqa: PLC0415  (as above)
    from analytics.policy_formats import write_verdict  # noqa: PLC0415  (as above)
    from analytics.policy_traces import find_traces  # noqa: PLC0415  (as above)
    from collector.cli.source import open_source, operation_names, service_names  # noqa: PLC0415  (as above)

    file = read_policy(policy)
    _check_before(before, db, form)
    given = {"since": since, "from": from_, "to": to, "env": env}
    options = {name: value for name, value in given.items() if value is not None}
    with open_source(url, db, _analysis) as source:
        found = _report(source, options)
        stored = Stored(lambda: service_names(source), lambda: operation_names(source))
        verdict = find_traces(check_policy(file, found, stored), source)
        compared = _compare(before, source, options) if before and not _is_file(before) else None
    if before and db and _is_file(before):  # after the file is closed, for it is opened anew
        compared = _compare_files(Path(before), db, options)
    with suppress(BrokenPipeError, SystemExit):  # what Rich makes of it; the status tells, read or not
        write_verdict(verdict, form, compared and compared["coupling"], found["coupling_index"])
    if verdict.broken:
        raise typer.Exit(_BROKEN)


def _report(source: Source, options: dict[str, str]) -> dict[str, Any]:
    """Return the report, an empty one where the environment has no trace in the window: a build wants a verdict."""
    try:
        return source.report(**options)
    except LithoscopeError as error:
        if error.code != NoTracesError.code:
            raise
        window = {"from": 0, "to": 0, "traces": 0, "spans": 0, "incomplete_traces": 0, "sampled": False}
        nothing = dict.fromkeys(("environments", "services", "edges", "endpoints", "findings"), ())
        return {"environment": options["env"], "window": window, "coupling_index": None, **nothing}


def _analysis() -> Analysis:
    from analytics.service import TraceAnalysis  # noqa: PLC0415  (loads Polars, which asking a collector does not need)

    return TraceAnalysis()


def _check_before(before: str | None, db: Path | None, form: CheckFormat) -> None:
    if before is None:
        return
    if form not in _COMPARING:
        raise ConfigurationError(f"--before is for --format {', '.join(_COMPARING)}: {form} has no place for it.")
    if _is_file(before) and db is None:
        raise ConfigurationError("Compare a file with another file: give --db, or a --before that is no file.")


def _is_file(side: str) -> bool:
    return side.endswith(".duckdb")


def _compare(before: str, source: Source, options: dict[str, str]) -> dict[str, Any]:
    """Return the ``diff`` object of what is checked and another part of the same source."""
    from analytics.sides import side_of_window  # noqa: PLC0415  (as above)

    env = {name: value for name, value in options.items() if name == "env"}
    return source.diff(before, side_of_window(options), **env)


def _compare_files(before: Path, db: Path, options: dict[str, str]) -> dict[str, Any]:
    from analytics.sides import side_of_window  # noqa: PLC0415  (as above)
    from collector.cli.source import diff_files  # noqa: PLC0415  (as above)

    return diff_files(before, db, _analysis(), options.get("env"), side_of_window(options))
