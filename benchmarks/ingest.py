"""Ingest: from request bytes to rows in the DuckDB file, in process and over loopback gRPC. Prints JSON.

The goals at half of the top rate with the analysis in the process: p99 of the acknowledgement under 250 ms, the
analysis never more than two minutes behind, every trace looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics.service import TraceAnalysis
from benchmarks.payloads import SPANS, requests
from benchmarks.running import Repeating, metrics, resident_mib
from collector.client import connect
from collector.errors import OverloadedError
from collector.ingest.pipeline import Pipeline
from collector.service import Service
from collector.settings import Address, load_settings
from collector.signals import PROTOCOL, Signal
from collector.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

ANY_PORT = Address("127.0.0.1", 0)
_IN_FLIGHT = 128
_RATE = 70_000  # about half of what two cores take at most
_ANALYSED_WITHIN_S = 300.0
_WAITING = "SELECT count(*) AS minutes FROM store.pending_minutes"


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=6000, help="requests of 512 spans, in process")
    parser.add_argument("--seconds", type=float, default=20, help="seconds of each gRPC run")
    parser.add_argument("--analysis-seconds", type=float, default=60, help="seconds of the run with the analysis")
    parser.add_argument("--rate", type=float, help="spans a second with the analysis; without it, half the top rate")
    parser.add_argument(
        "--analysis-only",
        action="store_true",
        help=f"no other run; without --rate, at {_RATE:,} spans a second",
    )
    options = parser.parse_args()
    if options.analysis_only:
        report = {
            "cores": os.cpu_count(),
            "grpc_analysed": with_analysis(options.analysis_seconds, options.rate or _RATE),
        }
    else:
        report = measure_all(options)
    print(json.dumps(report, indent=2))


def measure_all(options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of all runs."""
    bodies = list(requests(options.requests))
    baseline = from_string(bodies)
    report: dict[str, Any] = {
        "cores": os.cpu_count(),
        "spans": len(bodies) * SPANS,
        "from_string_spans_per_s": round(baseline),
    }
    report["in_process"] = in_process(bodies, baseline)
    del bodies
    top = over_grpc(options.seconds, None)
    report["grpc_top"] = top | {"ratio": round(top["stored_spans_per_s"] / baseline, 3)}
    half = top["stored_spans_per_s"] / 2
    report["grpc_half"] = over_grpc(options.seconds, half)
    report["grpc_analysed"] = with_analysis(options.analysis_seconds, options.rate or half)
    return report


def from_string(bodies: Iterable[bytes]) -> float:
    """Return the spans per second that protobuf's own decoder takes in."""
    decode = PROTOCOL[Signal.TRACES].request.FromString
    started = time.perf_counter()
    count = 0
    for body in bodies:
        decode(body)
        count += SPANS
    return count / (time.perf_counter() - started)


def in_process(bodies: list[bytes], baseline: float) -> dict[str, Any]:
    """Submit all requests to a pipeline and wait until they are rows in the file."""
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder, "bench.duckdb")
        store = open_store(db)
        pipeline = Pipeline(store, Path(folder, "log"))
        started = time.perf_counter()
        cpu = time.process_time()
        submit_all(pipeline, bodies)
        acknowledged = time.perf_counter() - started
        pipeline.flush()
        stored = time.perf_counter() - started
        cpu = time.process_time() - cpu
        pipeline.close()
        store.close()
        spans = len(bodies) * SPANS
        return {
            "acknowledged_spans_per_s": round(spans / acknowledged),
            "stored_spans_per_s": round(spans / stored),
            "ratio": round(spans / stored / baseline, 3),
            "cpu_us_per_span": round(cpu / spans * 1e6, 2),
            "file_bytes_per_span": round(db.stat().st_size / spans, 1),
            "file_to_otlp_bytes": round(db.stat().st_size / sum(map(len, bodies)), 3),
        }


def submit_all(pipeline: Pipeline, bodies: Iterable[bytes]) -> None:
    """Submit requests as fast as they are taken, and wait for the acknowledgements."""
    waiting: list[Future[Any]] = []
    for body in bodies:
        waiting.append(_submit(pipeline, body))
        if len(waiting) >= _IN_FLIGHT:
            waiting.pop(0).result()
    for answer in waiting:
        answer.result()


def _submit(pipeline: Pipeline, body: bytes) -> Future[Any]:
    while True:
        try:
            return pipeline.submit(Signal.TRACES, body)
        except OverloadedError:
            time.sleep(0.002)


def over_grpc(seconds: float, rate: float | None) -> dict[str, Any]:
    """Let another process send for some seconds, as fast as it can or at a rate of spans per second."""
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder, "bench.duckdb")
        settings = load_settings({"db": db, "grpc": ANY_PORT, "http": ANY_PORT, "query": ANY_PORT})
        memory = Memory()
        with Service(settings) as service:
            started = time.perf_counter()
            with memory:
                sent = send(service, seconds, rate or 0)
        stored = time.perf_counter() - started - sent.pop("preparing_s")
        sent["stored_spans_per_s"] = round(sent["spans"] / stored)
        sent["file_to_otlp_bytes"] = round(db.stat().st_size / sent.pop("bytes"), 3)
        return sent | memory.report()


def send(service: Service, seconds: float, rate: float) -> dict[str, Any]:
    """Send from a process of its own; return what it prints."""
    command = [sys.executable, "-m", "benchmarks.sender", str(service.addresses["grpc"]), str(seconds), str(rate)]
    figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return figures


def with_analysis(seconds: float, rate: float) -> dict[str, Any]:
    """Send at a rate to a collector that analyses meanwhile, and wait until it has analysed all."""
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder, "bench.duckdb")
        settings = load_settings({"db": db, "grpc": ANY_PORT, "http": ANY_PORT, "query": ANY_PORT})
        memory = Memory()
        with Service(settings, TraceAnalysis()) as service, Behind(f"http://{service.addresses['query']}") as behind:
            with memory:
                sent = send(service, seconds, rate)
            finished = behind.wait(_ANALYSED_WITHIN_S)
        del sent["preparing_s"], sent["bytes"]
        return {"rate": round(rate), **sent, **behind.report(), "analysed_all": finished, **memory.report()}


class Behind(Repeating):
    """Samples each second how far the analysis of a collector is behind, and which share of the traces it looks at."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._lags, self._kept = [0.0], [1.0]

    def step(self) -> None:
        """Take a sample."""
        values = metrics(self._url.removeprefix("http://"))
        self._lags.append(values["lithoscope_analysis_lag_seconds"])
        self._kept.append(values["lithoscope_analysis_kept_ratio"])

    def wait(self, seconds: float) -> bool:
        """Wait until no minute waits, for so long at most; return whether none does."""
        deadline = time.monotonic() + seconds
        client = connect(self._url)
        while (waiting := int(client.sql(_WAITING)["minutes"].item())) and time.monotonic() < deadline:
            time.sleep(1)
        return waiting == 0

    def report(self) -> dict[str, Any]:
        """Return the worst of each; it has shed when it looked at a share of the traces only."""
        return {
            "worst_lag_s": round(max(self._lags), 1),
            "least_kept_ratio": min(self._kept),
            "shed": min(self._kept) < 1,
        }


class Memory(Repeating):
    """Samples this process's resident memory while in the ``with`` block."""

    def __init__(self) -> None:
        super().__init__()
        self._samples: list[float] = []

    def step(self) -> None:
        """Take a sample."""
        self._samples.append(resident_mib(os.getpid()))

    def report(self) -> dict[str, int]:
        """Return the highest resident size of the second and of the last quarter, in MiB."""
        quarter = max(len(self._samples) // 4, 1)
        parts = {"second": self._samples[quarter : 2 * quarter], "last": self._samples[-quarter:]}
        return {f"rss_mib_{name}_quarter": int(max(part, default=0)) for name, part in parts.items()}


if __name__ == "__main__":
    main()
