"""Commands for whoever runs a collector; imports nothing heavy, so that ``--help`` stays instant."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (Typer reads the annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from collector.cli.options import ConfigOption, DbOption, UrlOption  # noqa: TC001  (as above)

if TYPE_CHECKING:
    from collections.abc import Mapping

AliveOption = Annotated[bool, typer.Option("--alive", help="Only whether it answers, not whether it takes telemetry.")]
ReplaceOption = Annotated[bool, typer.Option("--force", help="Replace a file of that name.")]
AsideOption = Annotated[bool, typer.Option("--force", help="Give a database of that name another one.")]


def health(
    url: UrlOption = None,
    config: ConfigOption = None,
    *,
    alive: AliveOption = False,
) -> None:
    """Say whether a collector is ready: exit status 0 when it takes what comes, 1 when it does not, for probes.

    Without --url, it is the one whose settings are in the environment or in --config.

    Example: lithoscope health --url http://127.0.0.1:4319
    """
    from collector.cli.health import ask_health  # noqa: PLC0415  (a subcommand imports what it alone needs)

    typer.echo(ask_health(url, config, alive=alive))


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    db: DbOption = None,
    url: UrlOption = None,
    *,
    force: ReplaceOption = False,
) -> None:
    """Write all that a collector keeps into one file, while it goes on; everything acknowledged so far is in it.

    Where keys are asked for, it wants one with the scope admin, in LITHOSCOPE_API_KEY.

    Example: lithoscope backup monday.lithoscope.zip
    """
    from collector.cli.backing_up import back_up  # noqa: PLC0415  (as above)

    made = back_up(file, url, db, force=force)
    typer.echo(f"{file} has {_described(made.rows)}")


def restore(
    file: Annotated[Path, typer.Argument(help="What `lithoscope backup` wrote.")],
    db: Annotated[Path, typer.Option("--db", help="The DuckDB file to make.")],
    *,
    force: AsideOption = False,
) -> None:
    """Make a database of a backup, of this or an older version; no collector may hold it.

    Example: lithoscope restore monday.lithoscope.zip --db shop.duckdb
    """
    from collector.cli.backing_up import restore as make  # noqa: PLC0415  (as above)

    made, aside = make(file, db, force=force)
    typer.echo(f"{db} has {_described(made.rows)}, as of {made.made_at}")
    if aside is not None:
        typer.echo(f"what was there is {aside}")


def _described(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{rows.get(name, 0):,} {name}" for name in ("spans", "logs", "metrics"))
