"""The ``lithoscope`` command: one small function a subcommand."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from analytics.assistant.command import mcp
from analytics.commands import analyze
from analytics.policy_command import check
from collector.cli.keys import keys_app
from collector.cli.operating import backup, health, restore
from collector.cli.options import (
    AsyncOption,
    BreakerOption,
    ConfigOption,
    DashboardOption,
    DataOption,
    DbOption,
    EnvOption,
    FailOption,
    FromOption,
    InsecureOption,
    KeysOption,
    ListenOption,
    LogFormatOption,
    QuackOption,
    ReportFormat,
    ServeDbOption,
    SinceOption,
    SlowOption,
    SqlFormOption,
    StoreOption,
    ToOption,
    TraceFormat,
    TraceToOption,
    UrlOption,
)
from collector.cli.quarantine import quarantine_app
from collector.errors import ConfigurationError, LithoscopeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from collector.analysis import Analysis

app = typer.Typer(
    name="lithoscope",
    help="Finds the distributed monolith in your microservices: who makes whom wait.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(keys_app, name="key")
app.add_typer(quarantine_app, name="quarantine")
_WRONG_USE, _FAILURE = 2, 1
_WRONG = ("configuration", "bad_sql", "not_a_read")  # what no second try would mend


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"lithoscope {version('lithoscope')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.", envvar="LITHOSCOPE_DEBUG")
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Find the distributed monolith in your microservices: who makes whom wait."""
    if debug:
        os.environ["LITHOSCOPE_DEBUG"] = "true"


@app.command()
def serve(
    db: ServeDbOption = None,
    store: StoreOption = None,
    data: DataOption = None,
    grpc: ListenOption = None,
    http: ListenOption = None,
    query: ListenOption = None,
    quack: QuackOption = None,
    dashboard: DashboardOption = None,
    keys: KeysOption = None,
    log_format: LogFormatOption = None,
    trace_to: TraceToOption = None,
    config: ConfigOption = None,
    *,
    insecure: InsecureOption = None,
) -> None:
    """Run the collector and its dashboard; prints where they listen when they are ready.

    SIGTERM and Ctrl-C drain and stop them.

    Example: lithoscope serve --db shop.duckdb --http 127.0.0.1:0
    """
    from collector.service import serve as run
    from collector.settings import load_settings
    from collector.stopping import end_despite_queries
    from dashboard.beside import shown

    given: dict[str, Any] = {"db": db, "store": store, "data": data}
    given |= {"grpc": grpc, "http": http, "query": query, "quack": quack, "dashboard": dashboard, "keys": keys}
    given |= {"log_format": log_format, "trace_to": trace_to, "insecure": insecure}
    settings = load_settings(given, config)
    run(settings, shown, _analysis(settings.analysis))
    end_despite_queries()


def _analysis(settings: Mapping[str, Any] | None = None) -> Analysis:
    from analytics.service import TraceAnalysis

    return TraceAnalysis(settings)


@app.command(name="dashboard")
def show_dashboard(
    url: UrlOption = None,
    bind: Annotated[str, typer.Option(help="Where it listens: HOST:PORT.")] = "127.0.0.1:8501",
) -> None:
    """Run the dashboard alone, against a running collector, until Ctrl-C.

    Example: lithoscope dashboard --url http://collector.example:4319
    """
    import signal

    from collector.access.exposure import check_dashboard
    from collector.cli.source import find_collector
    from collector.settings import Address, load_settings
    from dashboard.launch import running_dashboard

    try:
        address = Address.parse(bind)
    except ValueError as error:
        raise ConfigurationError(f"--bind: {error}.") from error
    settings = load_settings()
    check_dashboard("--bind", address, settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    running = running_dashboard(find_collector(url).url, address, "--bind", settings=settings)
    with suppress(KeyboardInterrupt), running as found:
        typer.echo(f"dashboard {found}")
        sys.stdout.flush()
        signal.pause()


@app.command(name="import")
def import_files(
    files: Annotated[list[Path], typer.Argument(help="Files to read; - is standard input.")],
    db: DbOption = None,
    url: UrlOption = None,
    *,
    now: Annotated[bool, typer.Option("--now", help="Shift all times so that the newest is now.")] = False,
) -> None:
    """Import OTLP, Jaeger or Zipkin files, told apart by content; .gz and .zst are unpacked.

    What can be read is kept; exit status 1 says that something was left out. A file of --db is analysed at once.

    Example: lithoscope import traces.json.zst --db shop.duckdb
    """
    from collector.cli.importing import print_report, run_import

    report = run_import(files, url=url, db=db, to_now=now)
    print_report(report)
    if db is not None and report.stored:
        from analytics.commands import analyse_imported

        analyse_imported(db)
    if report.failures or report.left_out:
        raise typer.Exit(_FAILURE)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One reading statement; - reads it from standard input.")],
    form: SqlFormOption = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A file instead of standard output.")] = None,
    db: DbOption = None,
    url: UrlOption = None,
) -> None:
    """Ask in SQL, in DuckDB's dialect.

    The views are spans, traces, logs and metrics; services, edges and endpoints.

    Example: lithoscope sql "SELECT service_name, count(*) FROM spans GROUP BY ALL"
    """
    from collector.cli.output import choose_form, write_answer
    from collector.cli.source import open_source

    form = choose_form(form, output)
    text = sys.stdin.read() if query == "-" else query
    with open_source(url, db, _analysis) as source:
        write_answer(source.sql_arrow(text), form, output)


@app.command()
def trace(
    trace_id: Annotated[str, typer.Argument(help="32 hexadecimal digits, or the first of them: at least 4.")],
    form: Annotated[TraceFormat, typer.Option("--format", help="How the trace is written.")] = TraceFormat.TEXT,
    db: DbOption = None,
    url: UrlOption = None,
) -> None:
    """Show one trace as a waterfall, heavy bars are its critical path, and its severest log lines.

    Example: lithoscope trace 4bf92f3577b34da6a3ce929d0e0e4736
    """
    from collector.cli.source import find_trace_id, open_source
    from collector.cli.trace_logs import find_logs, print_logs
    from collector.cli.waterfall import print_waterfall

    with open_source(url, db, _analysis) as source:
        found = source.trace(find_trace_id(source, trace_id))
        logs = find_logs(source, found) if form is TraceFormat.TEXT else []
    _write(found, form, print_waterfall)
    print_logs(logs, found)


def _write(found: dict[str, Any], form: TraceFormat, print_text: Callable[[dict[str, Any]], None]) -> None:
    from collector.cli.text import print_json

    (print_json if form is TraceFormat.JSON else print_text)(found)


@app.command()
def report(
    since: SinceOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    env: EnvOption = None,
    endpoint: Annotated[str | None, typer.Option(help='One endpoint: "SERVICE OPERATION".')] = None,
    form: Annotated[ReportFormat, typer.Option("--format", help="How the report is written.")] = ReportFormat.TEXT,
    db: DbOption = None,
    url: UrlOption = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All findings and rows, not the worst alone.")] = False,
) -> None:
    """Analyse what is stored: what each service and edge adds to the latency of each endpoint.

    Example: lithoscope report --since 1h --endpoint "gateway POST /orders"
    """
    from analytics.text import write_report
    from collector.cli.source import open_source

    given = {"since": since, "from": from_, "to": to, "env": env, "endpoint": endpoint}
    with open_source(url, db, _analysis) as source:
        found = source.report(**{name: value for name, value in given.items() if value is not None})
    write_report(found, form, every=every)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="A .duckdb file, a window FROM..TO, SERVICE@VERSION or env:NAME.")],
    after: Annotated[str, typer.Argument(help="The other side, in the same forms.")],
    env: EnvOption = None,
    form: Annotated[TraceFormat, typer.Option("--format", help="How the comparison is written.")] = TraceFormat.TEXT,
    db: DbOption = None,
    url: UrlOption = None,
) -> None:
    """Compare two sides: what got slower or less reliable, and who is to blame.

    Example: lithoscope diff checkout@1.3.0 checkout@1.4.0
    """
    from analytics.diff_text import print_diff
    from collector.cli.source import diff_files, open_source

    files = [Path(side) for side in (before, after) if side.endswith(".duckdb")]
    if len(files) == 1:
        raise ConfigurationError("Compare a file with another file: both sides must be .duckdb files, or neither.")
    if files:
        found = diff_files(files[0], files[1], _analysis(), env)
    else:
        with open_source(url, db, _analysis) as source:
            found = source.diff(before, after, **({} if env is None else {"env": env}))
    _write(found, form, print_diff)


@app.command()
def simulate(
    slow: SlowOption = None,
    fail: FailOption = None,
    async_: AsyncOption = None,
    breaker: BreakerOption = None,
    since: SinceOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    env: EnvOption = None,
    form: Annotated[TraceFormat, typer.Option("--format", help="How the answer is written.")] = TraceFormat.TEXT,
    db: DbOption = None,
    url: UrlOption = None,
) -> None:
    """Replay what is stored with changes, which combine: what latency and errors would have been.

    Example: lithoscope simulate --slow inventory=+200ms --async "orders->mail"
    """
    from analytics.simulation_text import print_simulation
    from collector.cli.source import open_source

    changes = {"slow": slow, "fail": fail, "async": async_, "breaker": breaker}
    window = {"since": since, "from": from_, "to": to, "env": env}
    given = {k: v for k, v in changes.items() if v} | {k: [v] for k, v in window.items() if v is not None}
    with open_source(url, db, _analysis) as source:
        found = source.simulate(given)
    _write(found, form, print_simulation)


app.command()(check)


@app.command()
def export(
    to: Annotated[Path, typer.Option("--to", help="The folder to write to.")],
    since: Annotated[str | None, typer.Option(help="A duration before now, for example 1h, or a time.")] = None,
    db: DbOption = None,
    url: UrlOption = None,
) -> None:
    """Write spans, logs and metrics as Parquet, partitioned by day.

    Example: lithoscope export --to archive --since 7d
    """
    from collector.cli.exporting import export as write
    from collector.cli.exporting import window_since
    from collector.cli.source import open_source

    window = window_since(since)
    with open_source(url, db, _analysis) as source:
        for file in write(source, to, window):
            typer.echo(f"{file.path} {file.rows:,} rows")


for command in (analyze, backup, restore, health, mcp):
    app.command()(command)


@app.command()
def demo(
    grpc: ListenOption = None,
    http: ListenOption = None,
    query: ListenOption = None,
    dashboard: DashboardOption = None,
) -> None:
    """Run a collector on a scratch database loaded with the sample traces, until Ctrl-C.

    Example: lithoscope demo --query 127.0.0.1:0
    """
    from collector.cli.demo import run_demo
    from collector.stopping import end_despite_queries
    from dashboard.beside import shown

    samples = Path(__file__).parent / "sample_traces"
    given = {"grpc": grpc, "http": http, "query": query, "dashboard": dashboard}
    run_demo(samples, given, shown, _analysis())
    end_despite_queries()


def main() -> NoReturn:
    """Run the command; an error is one sentence on standard error, and exit status 2 for wrong use or 1."""
    from collector.cli.pipes import run_to_the_end

    try:
        run_to_the_end(app)
    except LithoscopeError as error:
        if os.environ.get("LITHOSCOPE_DEBUG", "").lower() in ("1", "true", "yes", "on"):
            raise
        hint = getattr(error, "hint", "")
        from collector.cli.text import printable

        message = f"lithoscope: {error}{f' {hint}' if hint else ''}"  # may name what telemetry calls itself
        typer.echo("\n".join(map(printable, message.split("\n"))), err=True)
        sys.exit(_WRONG_USE if error.code in _WRONG else _FAILURE)
    sys.exit(0)


if __name__ == "__main__":
    main()
