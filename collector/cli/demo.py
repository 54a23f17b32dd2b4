"""A collector on a scratch database, loaded with the sample traces."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from collector.cli.importing import print_report, run_import
from collector.errors import LithoscopeError
from collector.service import serve
from collector.settings import Address, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SLOW_SERVICES = (
    "SELECT service_name, count(*) AS spans, round(quantile_cont(duration_ns, 0.99) / 1e6, 1) AS p99_ms "
    "FROM spans GROUP BY ALL ORDER BY p99_ms DESC"
)
_SLOW_TRACES = (
    "SELECT trace_id, root_service, root_name, duration_ns / 1e6 AS ms, error_count "
    "FROM traces ORDER BY duration_ns DESC LIMIT 5"
)
_CALLS = (
    "SELECT p.service_name AS caller, c.service_name AS callee, count(*) AS calls "
    "FROM spans c JOIN spans p ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id "
    "WHERE p.service_name <> c.service_name GROUP BY ALL ORDER BY calls DESC"
)
QUERIES = (_SLOW_SERVICES, _SLOW_TRACES, _CALLS)
"""Three questions worth asking: who is slow, which requests were slowest, who calls whom."""


def run_demo(samples: Path, print_addresses: Callable[[Mapping[str, Address]], None]) -> None:
    """Serve the samples until SIGTERM or Ctrl-C; the database is gone afterwards."""
    files = sorted(samples.glob("*.otlp.zst"))
    if not files:
        raise LithoscopeError(f"There are no samples in {samples}: install Lithoscope anew, with its sample traces.")

    def load(addresses: Mapping[str, Address]) -> None:
        print_addresses(addresses)
        url = f"http://{addresses['query']}"
        print_report(run_import(files, url=url, db=None, to_now=True))
        for query in QUERIES:
            typer.echo(f'\nlithoscope sql --url {url} "{query}"')
        typer.echo("\nReceiving until Ctrl-C.")

    with tempfile.TemporaryDirectory(prefix="lithoscope-demo-") as folder:
        serve(load_settings({"db": Path(folder) / "demo.duckdb"}), load)
