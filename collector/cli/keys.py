"""``lithoscope key``: who may come in, and with what; imports nothing heavy, so that ``--help`` stays instant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from collector.access.keys import Scope, add_key, read_keys, remove_key

_HELP = """Make, list and remove API keys.

    Example: lithoscope key add checkout --scope ingest
    """
keys_app = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)

_DEFAULT = Path("keys.toml")
FileOption = Annotated[Path, typer.Option("--file", help="The file of keys that `lithoscope serve --keys` names.")]
NameArgument = Annotated[str, typer.Argument(help="Whose key it is.")]
ScopeOption = Annotated[list[Scope], typer.Option("--scope", help="What it is good for; repeats.")]


@keys_app.command()
def add(name: NameArgument, scope: ScopeOption, file: FileOption = _DEFAULT) -> None:
    """Make a key and print it, once: only its SHA-256 is kept.

    Example: lithoscope key add checkout --scope ingest --file keys.toml
    """
    typer.echo(add_key(file, name, scope))


@keys_app.command(name="list")
def list_(file: FileOption = _DEFAULT) -> None:
    """Print names and scopes.

    Example: lithoscope key list --file keys.toml
    """
    for key in read_keys(file):
        typer.echo(f"{key.name} {','.join(sorted(key.scopes))}")


@keys_app.command()
def remove(name: NameArgument, file: FileOption = _DEFAULT) -> None:
    """Remove a key; a running collector refuses it within a second.

    Example: lithoscope key remove checkout --file keys.toml
    """
    remove_key(file, name)


@keys_app.command()
def password() -> None:
    """Ask for the dashboard's password and print its hash, for the setting `dashboard_password`.

    Example: lithoscope key password
    """
    from collector.access.passwords import hash_password  # noqa: PLC0415  (the others need it not)

    # Asked for and no option: everybody on the machine can read a command line.
    typer.echo(
        hash_password(typer.prompt("Password of the dashboard", hide_input=True, confirmation_prompt=True, err=True))
    )
