"""The analysis of stored spans: spans a second, stage by stage, and memory a span. Prints JSON.

The ratio compares with ``FromString`` of the protobuf classes over requests that hold as many spans of ten attributes,
in turns with the analysis, since a machine's speed changes by the minute.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import polars as pl
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from analytics.attribution import attribute_sections
from analytics.contributions import critical_path_sums, endpoint_requests, profile_endpoints
from analytics.critical_path import critical_path
from analytics.forest import build_forest
from analytics.quantiles import histogram, histogram_quantiles
from analytics.sampling import trace_weights
from analytics.self_time import self_time
from analytics.skew import correct_skew
from benchmarks.payloads import SPANS, requests
from benchmarks.traces import SPANS_PER_TRACE, resources, traces

if TYPE_CHECKING:
    from collections.abc import Callable

_REPEATS = 5
_SIZES = (100_000, 1_000_000, 10_000_000)
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Stopwatch:
    """Adds up the seconds of named stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], Any]) -> Any:
        """Do the work and note how long it took."""
        started = time.perf_counter()
        result = work()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started
        return result


def main() -> None:
    """Measure one size in this process, and each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--sizes", type=int, nargs="*", default=_SIZES, help="for the time and memory a span")
    parser.add_argument("--only", choices=["memory"], help="measure --spans for time and memory a span, nothing else")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(weigh(options.spans)))
        return
    report = against_protobuf(options.spans)
    report["sizes"] = [_in_a_process(size) for size in options.sizes]
    print(json.dumps(report, indent=2))


def against_protobuf(spans: int) -> dict[str, Any]:
    """Time the analysis and ``FromString`` in turns."""
    frame, origins = traces(spans // SPANS_PER_TRACE), resources()
    bodies = list(requests(spans // SPANS))
    parsed = len(bodies) * SPANS
    watches, parsing = [], []
    for _ in range(_REPEATS):
        watches.append(Stopwatch())
        analyse(frame, origins, watches[-1])
        parsing.append(_parse(bodies) / parsed)
    totals = [sum(watch.seconds.values()) / frame.height for watch in watches]
    return {
        "spans": frame.height,
        "spans_per_second": round(1 / statistics.median(totals)),
        "from_string_spans_per_second": round(1 / statistics.median(parsing)),
        "ratio": round(statistics.median(p / t for p, t in zip(parsing, totals, strict=True)), 2),
        "stages_ms": {
            stage: round(statistics.median(watch.seconds[stage] for watch in watches) * 1000, 1)
            for stage in watches[0].seconds
        },
    }


def _parse(bodies: list[bytes]) -> float:
    from_string = trace_service_pb2.ExportTraceServiceRequest.FromString
    started = time.perf_counter()
    for body in bodies:
        from_string(body)
    return time.perf_counter() - started


def analyse(spans: pl.DataFrame, origins: pl.DataFrame, watch: Stopwatch) -> None:
    """Run the whole analysis of spans."""
    forest = watch.time("forest", lambda: build_forest(spans, origins))
    forest, _ = watch.time("skew", lambda: correct_skew(forest))
    path = watch.time("critical_path", lambda: critical_path(forest))
    selfs = watch.time("self_time", lambda: self_time(forest))
    attribution = watch.time("attribution", lambda: attribute_sections(forest, path))
    asked = watch.time("requests", lambda: endpoint_requests(forest, trace_weights(forest)))
    watch.time("contributions", lambda: profile_endpoints(asked, attribution))
    watch.time("rollup_sums", lambda: critical_path_sums(asked, attribution))
    frame = pl.DataFrame({"service": forest.service, "duration_ns": forest.duration, "self_time_ns": selfs})
    rows = watch.time("histograms", lambda: histogram(frame, ["service"], "duration_ns"))
    watch.time("histograms", lambda: histogram_quantiles(rows, ["service"], _QUANTILES))


def weigh(spans: int) -> dict[str, Any]:
    """Return nanoseconds a span, and the bytes a span that the peak lies above the process with its input."""
    analyse(traces(20), resources(), Stopwatch())
    frame, origins = traces(spans // SPANS_PER_TRACE), resources()
    _forget_peak()
    before = _resident()
    totals = []
    for _ in range(_REPEATS if spans <= max(_SIZES) // 10 else 2):
        watch = Stopwatch()
        analyse(frame, origins, watch)
        totals.append(sum(watch.seconds.values()))
    peak = _peak()
    return {
        "spans": frame.height,
        "ns_per_span": round(statistics.median(totals) * 1e9 / frame.height),
        "peak_bytes_per_span": round((peak - before) / frame.height),
        "input_bytes_per_span": round(frame.estimated_size() / frame.height),
    }


def _forget_peak() -> None:
    """Set the process's peak to what it holds now (Linux)."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("5")


def _status(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))


def _resident() -> int:
    return _status("VmRSS:")


def _peak() -> int:
    return _status("VmHWM:")


def _in_a_process(spans: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.analysis", "--only", "memory", "--spans", str(spans)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(output))


if __name__ == "__main__":
    main()
