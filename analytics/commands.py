"""Commands of the analysis alone; imports nothing heavy, so that ``--help`` stays instant."""

from __future__ import annotations

import time
from pathlib import Path  # noqa: TC003  (Typer reads the annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from analytics.words import counted
from collector.cli.options import (
    ConfigOption,  # noqa: TC001  (as above)
    DbOption,  # noqa: TC001
    FromOption,  # noqa: TC001
    SinceOption,  # noqa: TC001
    ToOption,  # noqa: TC001
    UrlOption,  # noqa: TC001
)
from collector.errors import ConfigurationError, LithoscopeError

if TYPE_CHECKING:
    from analytics.options import Options
    from analytics.pools import Pool
    from analytics.reanalysis import Outcome
    from collector.client import Client

RayOption = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS|local", help="Spread it over Ray: a cluster's address, or this machine."),
]
_POLL_S = 0.5
_MOST_TOLD = 5


def analyze(  # noqa: PLR0913, PLR0917  (one argument an option)
    since: SinceOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    db: DbOption = None,
    url: UrlOption = None,
    ray: RayOption = None,
    config: ConfigOption = None,
) -> None:
    """Analyse stored minutes again, for example after other limits were set, and replace what is kept of them.

    A file is analysed by this command, which may use Ray; a running collector does it itself, beside its work.

    Example: lithoscope analyze --since 30d --db shop.duckdb --ray local
    """
    from collector.cli.source import check_one_given, find_collector  # noqa: PLC0415  (what it alone needs)

    check_one_given(url, db)
    given = {name: text for name, text in {"since": since, "from": from_, "to": to}.items() if text is not None}
    if db is not None:
        _print(_analyze_file(db, given, ray, config))
        return
    if ray is not None:
        raise ConfigurationError(
            "--ray wants a file with --db: a running collector holds its database and analyses by itself. Stop it, or "
            "leave --ray out."
        )
    if config is not None:
        raise ConfigurationError("--config wants a file with --db: a running collector has its own settings.")
    _ask(find_collector(url), given)


def _analyze_file(db: Path, given: dict[str, str], ray: str | None, config: Path | None) -> Outcome:
    from analytics.reanalysis import analyse_again  # noqa: PLC0415  (as above)
    from analytics.sides import parse_window  # noqa: PLC0415
    from collector.service import offline_store  # noqa: PLC0415

    window = parse_window(given, tuple(given), "an analysis")
    options = _options(config)
    if not db.exists():
        raise ConfigurationError(f"There is no file {db}: give an existing database with --db.")
    pool = _pool(ray)
    with pool, offline_store(db, read_only=False) as store, _Progress() as progress:
        return analyse_again(store, window, options, pool, progress.tell)


def analyse_imported(db: Path) -> None:
    """Analyse what an import has added to a file, so that reports and the views of services and edges have it."""
    from analytics.reanalysis import analyse_waiting  # noqa: PLC0415  (as above)
    from collector.service import offline_store  # noqa: PLC0415

    options = _options(None)
    with offline_store(db, read_only=False) as store, _Progress() as progress:
        outcome = analyse_waiting(store, options, progress.tell)
    _refuse_failures(outcome)


def _options(config: Path | None) -> Options:
    from analytics.options import read_options  # noqa: PLC0415  (as above)
    from collector.settings import load_settings  # noqa: PLC0415

    given = load_settings({}, config).analysis
    return read_options({name: value for name, value in given.items() if name != "alerts"})


def _pool(ray: str | None) -> Pool:
    from analytics.pools import OneProcess, RayPool  # noqa: PLC0415  (as above)

    if ray is None:
        return OneProcess()
    return RayPool(ray)


def _ask(client: Client, given: dict[str, str]) -> None:
    asked = client.analyze(**given)
    with _Progress() as progress:
        while waiting := client.analyzing():
            progress.tell(max(asked["minutes"] - waiting, 0), asked["minutes"])
            time.sleep(_POLL_S)
    typer.echo(f"{counted(asked['minutes'], 'minute')} analysed again; the hours follow within five minutes")


def _print(outcome: Outcome) -> None:
    done = f"{counted(outcome.minutes, 'minute')} and {counted(outcome.hours, 'hour')} analysed again"
    typer.echo(f"{done}, {counted(outcome.spans, 'span')}")
    _refuse_failures(outcome)


def _refuse_failures(outcome: Outcome) -> None:
    if outcome.failures:
        told = "; ".join(outcome.failures[:_MOST_TOLD])
        more = f" and {len(outcome.failures) - _MOST_TOLD} more" if len(outcome.failures) > _MOST_TOLD else ""
        raise LithoscopeError(f"What is kept of these is as it was, and they may be tried again: {told}{more}.")


class _Progress:
    """A bar on standard error, when that is a terminal."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415  (as above)
        from rich.progress import Progress  # noqa: PLC0415

        console = Console(stderr=True)
        self._bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("minutes", total=None)

    def tell(self, done: int, total: int) -> None:
        """Show how many are done."""
        self._bar.update(self._task, completed=done, total=total)

    def __enter__(self) -> _Progress:  # noqa: PYI034
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
