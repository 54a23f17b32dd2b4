"""Queries over many stored spans: through the API, through the command, views against plain tables. Prints JSON."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.ingest import ANY_PORT, submit_all
from benchmarks.payloads import SPANS, requests
from collector.client import connect
from collector.ingest.pipeline import Pipeline
from collector.log import log_folder
from collector.service import Service
from collector.settings import load_settings
from collector.signals import Signal
from collector.store import open_store
from collector.store.protocol import QueryLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.client import Client
    from collector.store.protocol import Store

_REPEATS = 5
_LIMITS = QueryLimits(seconds=120)

# The same question to the view and to the table behind it.
_PAIRS = {
    "count": ("SELECT count(*) FROM spans", "SELECT count(*) FROM store.spans"),
    "p99_by_service": (
        "SELECT service_name, quantile_cont(duration_ns, 0.99) FROM spans GROUP BY 1",
        "SELECT service_name, quantile_cont(duration_ns, 0.99) FROM store.spans GROUP BY 1",
    ),
    "errors_by_route": (
        "SELECT http_route, count(*) FROM spans WHERE status_code = 'error' GROUP BY 1",
        "SELECT http_route, count(*) FROM store.spans WHERE status_code = 'error' GROUP BY 1",
    ),
    "last_minute": (
        "SELECT count(*) FROM spans WHERE start_time > (SELECT max(start_time) - INTERVAL 1 MINUTE FROM spans)",
        "SELECT count(*) FROM store.spans"  # noqa: ISC004
        " WHERE start_time > (SELECT max(start_time) - INTERVAL 1 MINUTE FROM store.spans)",
    ),
    "by_attribute": (
        "SELECT count(*) FROM spans WHERE attributes['url.path'] = '/api/v1/cart/276'",
        "SELECT count(*) FROM store.spans WHERE attributes['url.path'] = '/api/v1/cart/276'",
    ),
}


def main() -> None:
    """Fill a database, ask, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--db", type=Path, help="keep the database here, and use it when it is there already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = options.db or Path(folder, "bench.duckdb")
        if not db.exists():
            fill(db, options.spans)
        store = open_store(db)
        report = {"spans": store.query("SELECT count(*) AS n FROM spans", _LIMITS)["n"][0].as_py(), **ask(store)}
        report["longest_append_ms_during_a_query"] = append_during_query(store)
        store.close()
        print(json.dumps(report | over_api(db), indent=2))


def fill(db: Path, spans: int) -> None:
    """Store about that many spans."""
    store = open_store(db)
    pipeline = Pipeline(store, log_folder(db))
    submit_all(pipeline, requests(spans // SPANS))
    pipeline.close()
    store.close()


def ask(store: Store) -> dict[str, Any]:
    """Time each question to the view and to the table, in turns."""
    return {name: _compare(store, view, table) for name, (view, table) in _PAIRS.items()}


def _compare(store: Store, view: str, table: str) -> dict[str, float]:
    pairs = [
        (_ms(lambda: store.query(view, _LIMITS)), _ms(lambda: store.query(table, _LIMITS))) for _ in range(_REPEATS)
    ]
    ratio = statistics.median(one / other for one, other in pairs)
    return {"view_ms": round(statistics.median(one for one, _ in pairs), 1), "view_to_table": round(ratio, 2)}


def _ms(question: Callable[[], object]) -> float:
    started = time.perf_counter()
    question()
    return (time.perf_counter() - started) * 1000


def append_during_query(store: Store) -> float:
    """Return the longest append of one request, in milliseconds, while a query reads everything."""
    from collector.decode.decoder import Decoder  # noqa: PLC0415

    slow = "SELECT max(len(map_keys(attributes))) FROM spans WHERE attributes['request.id'] > 'zz'"
    query = threading.Thread(target=store.query, args=(slow, _LIMITS))
    decoder = Decoder()
    longest = 0.0
    query.start()
    for body in requests(200, seed=2):
        batch = decoder.decode(Signal.TRACES, [body]).batch
        longest = max(longest, _ms(lambda batch=batch: store.append(batch, store.log_position())))  # type: ignore[misc]
        if not query.is_alive():
            break
    query.join()
    return round(longest, 1)


def over_api(db: Path) -> dict[str, float]:
    """Look one trace up: by the API, by the command, and in plain SQL."""
    with Service(load_settings({"db": db, "grpc": ANY_PORT, "http": ANY_PORT, "query": ANY_PORT})) as service:
        url = f"http://{service.addresses['query']}"
        client = connect(url)
        trace_id = client.sql("SELECT trace_id FROM spans OFFSET 1000000 LIMIT 1").item()
        command = [sys.executable, "-m", "lithoscope", "trace", trace_id, "--url", url]
        return {
            "trace_api_ms": _median(lambda: client.trace(trace_id)),
            "trace_command_ms": _median(lambda: subprocess.run(command, check=True, capture_output=True)),
            "trace_sql_ms": _median(lambda: client.sql(f"SELECT * FROM spans WHERE trace_id = '{trace_id}'")),
            **_totals(client),
        }


def _totals(client: Client) -> dict[str, float]:
    p99 = "SELECT service_name, quantile_cont(duration_ns, 0.99) FROM spans GROUP BY 1"
    return {
        "count_api_ms": _median(lambda: client.sql("SELECT count(*) FROM spans")),
        "p99_by_service_api_ms": _median(lambda: client.sql(p99)),
    }


def _median(question: Callable[[], object]) -> float:
    return round(statistics.median(_ms(question) for _ in range(_REPEATS)), 1)


if __name__ == "__main__":
    main()
