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
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from analytics.analysis import Analysed
from analytics.attribution import attribute_sections
from analytics.calls import find_calls
from analytics.contributions import endpoint_requests
from analytics.critical_path import critical_path
from analytics.forest import build_forest, split_traces
from analytics.sampling import trace_weights
from analytics.schema import LINKS, conform, empty
from analytics.schema import SPANS as SPANS_OF_TRACES
from analytics.skew import correct_skew
from benchmarks.payloads import SPANS, requests
from benchmarks.traces import SPANS_PER_TRACE, resources, traces

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.arrays import Array

_REPEATS = 5
_SIZES = (100_000, 1_000_000, 10_000_000)
_FEW = 5_000_000


class Stopwatch:
    """Adds up the seconds of named stages: by the clock, and of all processors."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor_seconds = 0.0

    def time(self, stage: str, work: Callable[[], Any]) -> Any:
        """Do the work and note how long it took."""
        started, processor = time.perf_counter(), time.process_time()
        result = work()
        self.processor_seconds += time.process_time() - processor
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started
        return result

    def add(self, other: Stopwatch) -> None:
        """Add another's seconds to the same stages."""
        self.processor_seconds += other.processor_seconds
        for stage, seconds in other.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @property
    def total(self) -> float:
        """Seconds by the clock of all stages."""
        return sum(self.seconds.values())


def main() -> None:
    """Measure one size against protobuf in this process, and each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--sizes", type=int, nargs="*", default=_SIZES, help="for the time and memory a span")
    parser.add_argument("--weigh", type=Path, help="measure the spans in this file for time and memory, nothing else")
    options = parser.parse_args()
    if options.weigh:
        print(json.dumps(weigh(options.weigh)))
        return
    report = against_protobuf(options.spans)
    report["shapes_ms"] = odd_shapes()
    report["sizes"] = [_in_a_process(size) for size in options.sizes]
    print(json.dumps(report, indent=2))


def against_protobuf(spans: int) -> dict[str, Any]:
    """Time the analysis and ``FromString`` in turns."""
    frame, origins = traces(spans // SPANS_PER_TRACE), resources()
    bodies = list(requests(spans // SPANS))
    watches, parsing = [], []
    for _ in range(_REPEATS):
        watches.append(analyse(frame, origins))
        parsing.append(_parse(bodies))
    share = frame.height / (len(bodies) * SPANS)
    ratios = [parsed.total * share / watch.total for parsed, watch in zip(parsing, watches, strict=True)]
    of_processor = [
        parsed.processor_seconds * share / watch.processor_seconds
        for parsed, watch in zip(parsing, watches, strict=True)
    ]
    return {
        "spans": frame.height,
        "spans_per_second": round(frame.height / statistics.median(watch.total for watch in watches)),
        "from_string_spans_per_second": round(frame.height / share / statistics.median(p.total for p in parsing)),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_of_processor_time": round(statistics.median(of_processor), 2),
        "stages_ms": {
            stage: round(statistics.median(watch.seconds[stage] for watch in watches) * 1000, 1)
            for stage in watches[0].seconds
        },
    }


def _parse(bodies: list[bytes]) -> Stopwatch:
    watch = Stopwatch()
    from_string = trace_service_pb2.ExportTraceServiceRequest.FromString
    watch.time("from_string", lambda: [None for body in bodies if from_string(body) is None])
    return watch


def analyse(spans: pl.DataFrame, origins: pl.DataFrame) -> Stopwatch:
    """Run the whole analysis of spans, with everything that ``analytics.analysis.Analysed`` has."""
    watch = Stopwatch()
    forest = watch.time("forest", lambda: build_forest(spans, origins))
    forest, _ = watch.time("skew", lambda: correct_skew(forest))
    weights = trace_weights(forest)
    path = watch.time("critical_path", lambda: critical_path(forest))
    attribution = watch.time("attribution", lambda: attribute_sections(forest, path))
    asked = watch.time("requests", lambda: endpoint_requests(forest, weights))
    graph = watch.time("calls", lambda: find_calls(forest, empty(LINKS), weights))
    found = Analysed(forest, weights, path, attribution, asked, graph)
    for stage in ("self_time_ns", "profile", "nodes", "edges", "errors"):
        watch.time(stage, partial(getattr, found, stage))
    return watch


def odd_shapes() -> dict[str, int]:
    """Return the milliseconds that one trace of 100,000 spans takes, and one that is 10,000 deep."""
    analyse(traces(20), resources())
    rng = np.random.default_rng(1)
    near = np.maximum(np.arange(100_000) - rng.integers(0, 50, 100_000), 0)
    parents = {
        "100,000 spans of one parent": np.minimum(np.arange(100_000), 1),
        "100,000 spans, each of one near it": near,
        "10,000 spans, each of the one before": np.arange(10_000),
    }
    return {name: round(analyse(_one_trace(parent), resources()).total * 1000) for name, parent in parents.items()}


def _one_trace(parent: Array) -> pl.DataFrame:
    """Return SPANS of one trace; ``parent`` is each span's parent, counted from 1, 0 for the root."""
    count = len(parent)
    place = np.arange(count)
    columns = {
        "trace_high": np.zeros(count, np.uint64),
        "trace_low": np.ones(count, np.uint64),
        "span_id": (place + 1).astype(np.uint64),
        "parent_span_id": pl.Series(parent.astype(np.uint64)).replace(0, None),
        "resource": (place + 1) // 2 % resources().height,
        "span_name": "op",
        "kind": pl.Series(np.where(place % 2, "client", "server")),
        "start_unix_nano": 10**18 + place,
        "duration_ns": 2 * (count - place),
        "status": "ok",
    }
    return conform(pl.DataFrame(columns), SPANS_OF_TRACES)


def weigh(file: Path) -> dict[str, Any]:
    """Return nanoseconds a span, and the bytes a span that the process grows by when it reads and analyses them."""
    analyse(traces(20), resources())
    baseline = _peak()
    frame = pl.read_parquet(file)
    watches = [_analyse_parts(frame) for _ in range(_REPEATS if frame.height < _FEW else 2)]
    return {
        "spans": frame.height,
        "ns_per_span": round(min(watch.total for watch in watches) * 1e9 / frame.height),
        "processor_ns_per_span": round(min(watch.processor_seconds for watch in watches) * 1e9 / frame.height),
        "peak_bytes_per_span": round((_peak() - baseline) / frame.height),
        "input_bytes_per_span": round(frame.estimated_size() / frame.height),
        "stages_ns_per_span": {
            stage: round(min(watch.seconds[stage] for watch in watches) * 1e9 / frame.height)
            for stage in watches[0].seconds
        },
    }


def _analyse_parts(frame: pl.DataFrame) -> Stopwatch:
    whole = Stopwatch()
    for part in whole.time("split", lambda: split_traces(frame)):
        whole.add(analyse(part, resources()))
    return whole


def _peak() -> int:
    """Return the most bytes the process ever held (Linux)."""
    # Not ru_maxrss: a child process begins with its parent's.
    with Path("/proc/self/status").open(encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def _in_a_process(spans: int) -> dict[str, Any]:
    """Measure a size where nothing else has used memory; the spans are made in this process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "spans.parquet")
        traces(spans // SPANS_PER_TRACE).write_parquet(file)
        command = [sys.executable, "-m", "benchmarks.analysis", "--weigh", str(file)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(output))


if __name__ == "__main__":
    main()
