"""``lithoscope mcp``; imports nothing heavy, so that ``--help`` stays instant."""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext, suppress
from threading import Lock
from typing import TYPE_CHECKING

import typer

from collector.cli.options import DbOption, UrlOption  # noqa: TC001  (Typer reads the annotations)
from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from collector.analysis import Analysis
    from collector.cli.source import Source


def mcp(db: DbOption = None, url: UrlOption = None) -> None:
    """Let an assistant ask: report, trace, diff, simulate and SQL by the Model Context Protocol.

    The assistant starts it and speaks with it on standard input and output; needs `pip install lithoscope[mcp]`.

    Example: lithoscope mcp --url http://127.0.0.1:4319
    """
    from collector.cli.source import check_one_given  # noqa: PLC0415  (a subcommand imports what it alone needs)

    check_one_given(url, db)
    if db is not None and not db.exists():
        raise ConfigurationError(f"There is no file {db}: give an existing database with --db.")
    try:
        from analytics.assistant.server import serve  # noqa: PLC0415  (as above)
    except ImportError as error:
        raise ConfigurationError("lithoscope mcp needs what `pip install lithoscope[mcp]` brings.") from error
    if sys.stdin.isatty():
        typer.echo("An assistant starts this and speaks with it here, see docs/mcp.md; Ctrl-C ends it.", err=True)
    with suppress(KeyboardInterrupt):
        serve(source_opener(url, db))


def source_opener(url: str | None, db: Path | None) -> Callable[[], AbstractContextManager[Source]]:
    """Return what opens the source for one call: a collector may start later, and a file is held no longer than that.

    One call at a time has a file, since a process opens it only once.
    """
    from analytics.service import TraceAnalysis  # noqa: PLC0415  (as above)
    from collector.cli.source import open_source  # noqa: PLC0415
    from collector.store.protocol import QueryLimits  # noqa: PLC0415

    turn = nullcontext() if db is None else Lock()

    def analysis() -> Analysis:
        return TraceAnalysis()

    @contextmanager
    def opened() -> Iterator[Source]:
        with turn, open_source(url, db, analysis, QueryLimits()) as source:
            yield source

    return opened
