"""Options that several subcommands share; imports nothing heavy, so that ``--help`` stays instant."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LogFormat(StrEnum):
    """The ``--log-format`` of ``lithoscope serve``."""

    CONSOLE = "console"
    JSON = "json"


class SqlFormat(StrEnum):
    """The ``--format`` of ``lithoscope sql``."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"


class TraceFormat(StrEnum):
    """The ``--format`` of ``lithoscope trace``."""

    TEXT = "text"
    JSON = "json"


class CheckFormat(StrEnum):
    """The ``--format`` of ``lithoscope check``."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"
    MARKDOWN = "markdown"


class ReportFormat(StrEnum):
    """The ``--format`` of ``lithoscope report``."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


UrlOption = Annotated[
    str | None, typer.Option("--url", help="A running collector's query API; default http://127.0.0.1:4319.")
]
DbOption = Annotated[Path | None, typer.Option("--db", help="A DuckDB file that no collector holds.")]
ServeDbOption = Annotated[Path | None, typer.Option("--db", help="The DuckDB file; default lithoscope.duckdb.")]
StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="ducklake:CATALOG", help="A lake that several collectors share, docs/lake.md."),
]
DataOption = Annotated[
    str | None, typer.Option("--data", metavar="FOLDER|s3://…", help="Where the files of --store are.")
]
ListenOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 means any free one.")
]
SqlFormOption = Annotated[
    SqlFormat | None,
    typer.Option("--format", help="How the answer is written; without it as the file's ending says, or a table."),
]
QuackOption = Annotated[
    str | None,
    typer.Option("--quack", metavar="HOST:PORT", help="Where DuckDB's remote protocol listens, docs/quack.md."),
]
DashboardOption = Annotated[
    str | None,
    typer.Option("--dashboard", metavar="HOST:PORT|off", help="Where the dashboard listens; default 127.0.0.1:8501."),
]
KeysOption = Annotated[
    Path | None, typer.Option("--keys", metavar="FILE", help="API keys that open the ports, see `lithoscope key`.")
]
InsecureOption = Annotated[
    bool | None, typer.Option("--insecure", help="Listen where other machines reach it without asking who they are.")
]
LogFormatOption = Annotated[
    LogFormat | None, typer.Option("--log-format", help="How its own log is written, on standard error.")
]
TraceToOption = Annotated[
    str | None,
    typer.Option("--trace-to", metavar="URL", help="Where its own traces go: OTLP/HTTP, or its own address."),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="A TOML file of settings, see docs/settings.md.")]
SinceOption = Annotated[str | None, typer.Option("--since", help="A duration before now, for example 1h.")]
FromOption = Annotated[str | None, typer.Option("--from", help="A time: RFC 3339 or Unix seconds.")]
ToOption = Annotated[str | None, typer.Option("--to", help="A time: RFC 3339 or Unix seconds.")]
EnvOption = Annotated[
    str | None, typer.Option("--env", help="deployment.environment.name; default the one with most traces.")
]
SlowOption = Annotated[
    list[str] | None,
    typer.Option("--slow", metavar="SERVICE=+200ms", help="Each request to it takes so much longer; or -50ms, x2."),
]
FailOption = Annotated[
    list[str] | None, typer.Option("--fail", metavar="SERVICE=0.5", help="This share of the requests to it fails.")
]
AsyncOption = Annotated[
    list[str] | None,
    typer.Option("--async", metavar="CALLER->CALLEE", help="The caller no longer waits for it."),
]
BreakerOption = Annotated[
    list[str] | None,
    typer.Option("--breaker", metavar="CALLER->CALLEE[=fallback]", help="Failed and slow calls return at once."),
]
