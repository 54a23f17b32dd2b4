"""Three collectors on one lake: what was acknowledged is stored once, whoever is killed or restarted meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from analytics.service import TraceAnalysis
from collector.service import offline_pipeline
from collector.signals import Signal
from collector.store import open_lake, open_store
from collector.store.protocol import QueryLimits

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    "LITHOSCOPE_TEST_LAKE" not in os.environ,
    reason="a lake needs DuckDB 1.5 with its extensions and PostgreSQL: `make test-lake` runs this",
)
SPANS = 64
SECONDS = 14.0
LIMITS = QueryLimits(rows=10_000_000, seconds=120)


def request_body(number: int) -> bytes:
    """One trace named for its request: a root in a shop and calls to a stock."""
    request = trace_service_pb2.ExportTraceServiceRequest()
    start = time.time_ns()
    for service, indexes in (("shop", range(SPANS // 2)), ("stock", range(SPANS // 2, SPANS))):
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        spans = resource.scope_spans.add().spans
        for index in indexes:
            spans.add(
                trace_id=(number + 1).to_bytes(16, "big"),
                span_id=(index + 1).to_bytes(8, "big"),
                parent_span_id=b""
                if index == 0
                else (max(index - SPANS // 2, 0) + 1 if index >= SPANS // 2 else 1).to_bytes(8, "big"),
                name="root" if index == 0 else str(number),
                kind=2 if index == 0 or index >= SPANS // 2 else 3,
                start_time_unix_nano=start + index,
                end_time_unix_nano=start + index + 1000 * (SPANS - index),
            )
    return bytes(request.SerializeToString())


class Collector:
    """A collector process on the lake, with a log of its own."""

    def __init__(self, folder: Path, number: int, store: str) -> None:
        self._command = [
            *(sys.executable, "-m", "lithoscope", "serve", "--db", str(folder / f"{number}.duckdb")),
            *("--store", store, "--data", str(folder / "data"), "--dashboard", "off"),
            *("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--query", "127.0.0.1:0"),
        ]
        self._errors = folder / f"{number}.err"
        self.start()

    def start(self) -> None:
        """Run it, until it says where it listens."""
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.addresses: dict[str, str] = {}
        assert self.process.stdout is not None
        for line in self.process.stdout:
            for name in ("http", "query"):
                if f"/{name}" in line.lower() or line.lower().startswith(name):
                    self.addresses[name] = next(word for word in line.split() if "127.0.0.1:" in word)
            if len(self.addresses) == 2 or "ready" in line.lower():
                return
        raise AssertionError(self._errors.read_text())


class Load:
    """Senders that repeat a request until it is acknowledged, by any collector that answers."""

    def __init__(self, collectors: list[Collector]) -> None:
        self._collectors = collectors
        self._lock = threading.Lock()
        self.acknowledged: dict[int, bytes] = {}
        self._next = 0

    def send(self, sender: int, stopping: threading.Event) -> None:
        """Send one after the other."""
        turn = sender
        while not stopping.is_set():
            with self._lock:
                number, self._next = self._next, self._next + 1
            body = request_body(number)
            while not self._try(self._collectors[turn % 3], body):
                turn += 1
                time.sleep(0.05)
            self.acknowledged[number] = body
            turn += 1

    @staticmethod
    def _try(collector: Collector, body: bytes) -> bool:
        address = collector.addresses.get("http", "").removeprefix("http://")
        headers = {"content-type": "application/x-protobuf"}
        request = urllib.request.Request(f"http://{address}/v1/traces", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False


def restart_postgres() -> None:
    """Stop it with all its connections and start it again; the command is the test run's."""
    subprocess.run(os.environ["LITHOSCOPE_TEST_LAKE_RESTART"], shell=True, check=True, stdout=subprocess.DEVNULL)


def names(store: Any) -> Counter[str]:
    """How often each span is stored, by trace and span."""
    rows = store.query("SELECT trace_id || span_id AS id FROM spans", LIMITS)
    return Counter(rows.column("id").to_pylist())


def reports(store: Any) -> list[Any]:
    """What the analysis kept, of all the time and of the last hour's traces, as the report says it."""
    analysis = TraceAnalysis()
    return [rounded(analysis.report(store, options)) for options in ({}, {"since": "3h"})]


def rounded(value: Any) -> Any:
    """An answer without what the order of rows decides: the last digits of sums, and when it was asked for."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items() if key != "window"}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return f"{value:.9g}" if isinstance(value, float) else value


def test_three_collectors_one_killed_and_the_catalog_restarted(tmp_path: Path) -> None:
    """Acknowledged is stored, exactly; and the report is that of one node which was fed the same."""
    import psycopg  # noqa: PLC0415

    server = os.environ["LITHOSCOPE_TEST_LAKE"]
    with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE kill_{os.getpid()}")
    lake = f"ducklake:postgres:{server} dbname=kill_{os.getpid()}"
    collectors = [Collector(tmp_path, number, lake) for number in range(3)]
    load, stopping = Load(collectors), threading.Event()
    senders = [threading.Thread(target=load.send, args=(number, stopping)) for number in range(2)]
    for sender in senders:
        sender.start()
    stopping.wait(SECONDS / 4)
    collectors[0].process.send_signal(signal.SIGKILL)
    collectors[0].process.communicate()
    stopping.wait(SECONDS / 6)
    collectors[0].start()
    stopping.wait(SECONDS / 6)
    restart_postgres()
    stopping.wait(SECONDS / 4)
    stopping.set()
    for sender in senders:
        sender.join()
    for collector in collectors:
        collector.process.send_signal(signal.SIGTERM)
    for collector in collectors:
        collector.process.communicate(timeout=60)
    _compare(tmp_path, lake, load)


def _compare(folder: Path, lake: str, load: Load) -> None:
    from analytics.pipeline import MinutePipeline  # noqa: PLC0415

    for number in range(3):  # what was durable and not yet stored when it stopped
        _drain(folder, number, lake)
    store = open_lake(lake, str(folder / "data"), "reader")
    with offline_pipeline(folder / "single.duckdb") as feeding:
        for answer in [feeding.submit(Signal.TRACES, body) for body in load.acknowledged.values()]:
            answer.result()
    single = open_store(folder / "single.duckdb")
    wanted = Counter(f"{number + 1:032x}{index + 1:016x}" for number in load.acknowledged for index in range(SPANS))
    found = names(store)
    print(json.dumps({"acknowledged": wanted.total(), "stored": found.total(), "twice": (found - wanted).total()}))  # noqa: T201
    assert found == wanted
    for one in (store, single):
        hours = [0.0]
        pipeline = MinutePipeline(one, clock=partial(hours.__getitem__, 0))
        pipeline.step()
        hours[0] = 3600.0  # every minute rests by now
        pipeline.step()
    assert reports(store) == reports(single)
    assert all(report["edges"] and report["endpoints"] for report in reports(store))
    store.close()
    single.close()


def _drain(folder: Path, number: int, lake: str) -> None:
    from collector.ingest.pipeline import Pipeline  # noqa: PLC0415
    from collector.log import log_folder, log_name  # noqa: PLC0415

    logs = log_folder(folder / f"{number}.duckdb")
    store = open_lake(lake, str(folder / "data"), log_name(logs))
    Pipeline(store, logs).close()
    store.close()
