"""A collector on a scratch database, loaded with the sample traces."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from collector.cli.importing import print_report, run_import
from collector.client import DEFAULT_URL, connect
from collector.errors import LithoscopeError
from collector.service import serve
from collector.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from collector.analysis import Analysis
    from collector.service import Service

QUERIES = {
    "Which services do requests wait for, and for how long each? (Known half a minute from now.)": (
        "SELECT environment, name, round(critical_path_ms, 1) AS ms_a_request, "
        "round(100 * critical_path_share) AS percent_of_the_time, round(p99_ms, 1) AS p99_ms "
        "FROM services WHERE type <> 'user' ORDER BY critical_path_ms DESC LIMIT 10"
    ),
    "Which requests failed, and how long did they take?": (
        "SELECT trace_id, root_service, root_name, round(duration_ns / 1e6, 1) AS ms, error_count "
        "FROM traces WHERE error_count > 0 ORDER BY duration_ns DESC LIMIT 5"
    ),
    "Who calls whom, and how often in one request? Six times is a loop that should be one call.": (
        "SELECT p.environment, p.service_name AS caller, c.service_name AS callee, c.span_name AS asks_for, "
        "round(count(*) / count(DISTINCT p.trace_id), 1) AS calls_per_trace "
        "FROM spans AS c JOIN spans AS p ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id "
        "WHERE p.service_name <> c.service_name GROUP BY ALL ORDER BY calls_per_trace DESC LIMIT 10"
    ),
}
"""Three questions worth asking of the samples."""

_ENV = "--env shop-incident"
_PATIENCE_S = 10.0
_INSERT_S = 0.2

_FAILED_TRACE = "SELECT trace_id FROM traces WHERE error_count > 0 ORDER BY service_count DESC, span_count LIMIT 1"


def run_demo(
    samples: Path,
    listen: Mapping[str, object],
    beside: Callable[[Service], AbstractContextManager[object]],
    analysis: Analysis | None = None,
) -> None:
    """Serve the samples until SIGTERM or Ctrl-C; the database is gone afterwards."""
    files = sorted(samples.glob("*.otlp.zst"))
    if not files:
        raise LithoscopeError(f"There are no samples in {samples}: install Lithoscope anew, with its sample traces.")

    @contextmanager
    def loaded(service: Service) -> Iterator[None]:
        with beside(service):
            typer.echo("\nLoading the samples …")
            print_report(run_import(files, url=service.url, db=None, to_now=True))
            _suggest(service.url)
            yield

    with tempfile.TemporaryDirectory(prefix="lithoscope-demo-") as folder:
        settings = load_settings({"db": Path(folder) / "demo.duckdb", **listen})
        serve(settings, loaded, analysis)


def _suggest(url: str) -> None:
    """Print commands that can be pasted into another terminal."""
    target = "" if url == DEFAULT_URL else f" --url {url}"
    typer.echo("\nThe samples are loaded: a shop in three states, and three services. Ask them, in another terminal:")
    typer.echo(
        f"\n# Payment failed for two minutes: whose time was it, and what ran out?\n{_command()} report{target} {_ENV}"
    )
    for question, query in QUERIES.items():
        typer.echo(f'\n# {question}\n{_command()} sql{target} "{query}"')
    typer.echo(f"\n# What happened in one of the failed requests?\n{_command()} trace{target} {_failed_trace(url)}")
    typer.echo("\nReceiving OTLP from your services too, until Ctrl-C; the demo's database is then deleted.")


def _command() -> str:
    """How this command was started, if typing its bare name would not find it."""
    return "lithoscope" if shutil.which("lithoscope") else os.path.relpath(sys.argv[0])


def _failed_trace(url: str) -> str:
    """A trace to show; what was just imported is stored a moment after it is acknowledged."""
    client = connect(url)
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        found = client.sql_arrow(_FAILED_TRACE)
        if found.num_rows:
            return str(found.column(0)[0].as_py())
        time.sleep(_INSERT_S)
    return "TRACE_ID"
