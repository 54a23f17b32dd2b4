"""``lithoscope quarantine``: what the store refused for what is in it, and another try; imports nothing heavy."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.errors import LithoscopeError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collector.ingest.quarantine import Entry

_HELP = """List the requests that the database refused, and send them again.

    Example: lithoscope quarantine list --db shop.duckdb
    """
quarantine_app = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)

_DEFAULT = Path("lithoscope.duckdb")
BesideOption = Annotated[Path, typer.Option("--db", help="The DuckDB file that the quarantine is beside.")]
HolderOption = Annotated[
    str | None, typer.Option("--url", help="The query API of the collector that holds the file, if one does.")
]


@quarantine_app.command(name="list")
def list_(db: BesideOption = _DEFAULT) -> None:
    """Print file, bytes and reason of each request, the oldest first; a collector may hold the database.

    Example: lithoscope quarantine list --db shop.duckdb
    """
    for entry in _entries(db):
        typer.echo(f"{entry.path} {entry.path.stat().st_size} {entry.reason}")


@quarantine_app.command()
def replay(db: BesideOption = _DEFAULT, url: HolderOption = None) -> None:
    """Send each request again, and delete it here once it is durable; what is still refused comes back.

    Example: lithoscope quarantine replay --db shop.duckdb --url http://127.0.0.1:4319
    """
    before = _entries(db)
    failures = 0
    if before:
        with _sender(db, url) as send:
            failures = sum(not _sent(entry, send) for entry in before)
    typer.echo(f"sent {len(before) - failures}, kept {failures}")
    if failures:
        raise typer.Exit(1)


def _entries(db: Path) -> list[Entry]:
    from collector.ingest.quarantine import entries, quarantine_folder  # noqa: PLC0415  (loads the durable log)

    return entries(quarantine_folder(db))


def _sent(entry: Entry, send: Callable[[Entry], object]) -> bool:
    try:
        send(entry)
    except RequestError as error:
        typer.echo(f"{entry.path}: {error}", err=True)
        return False
    entry.delete()
    return True


@contextmanager
def _sender(db: Path, url: str | None) -> Iterator[Callable[[Entry], object]]:
    """A function that returns once a request is durable."""
    if url is None:
        from collector.service import offline_pipeline  # noqa: PLC0415  (loads DuckDB, which an upload does not need)

        with offline_pipeline(db) as pipeline:
            yield lambda entry: pipeline.submit(entry.signal, entry.path.read_bytes()).result()
        return
    from collector.cli.source import find_collector  # noqa: PLC0415  (as above)
    from collector.cli.upload import Upload  # noqa: PLC0415

    client = find_collector(url)
    address = client.status()["addresses"].get("http")
    if address is None:
        raise LithoscopeError(f"The collector at {client.url} does not say where it takes OTLP/HTTP.")
    with Upload(address, client.url) as upload:
        yield lambda entry: upload.post(entry.signal, entry.path.read_bytes())
