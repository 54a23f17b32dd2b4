"""All rules and the propagation of every service's slowness, against the whole analysis of the same spans. Prints JSON.

The ratio is their time by that of the analysis, which they begin where it has ended; all three are taken in turns,
since a machine's speed changes by the minute. What several rules look at is computed by the first that does; so it is
asked for before, and told apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
from functools import partial
from typing import TYPE_CHECKING, Any

from analytics.analysis import analyse
from analytics.findings import Subject
from analytics.propagation import propagate
from analytics.rules import RULES
from analytics.saturation import service_saturation
from analytics.schema import LINKS, empty
from analytics.service_schema import RESOURCE_USE
from analytics.source import Traces
from benchmarks.analysis import Stopwatch
from benchmarks.traces import SPANS_PER_TRACE, resources, service_names, traces

if TYPE_CHECKING:
    from analytics.analysis import Analysed

_REPEATS = 5
_OF_ANALYSIS = ("self_time_ns", "profile", "nodes", "edges", "errors")
_OF_ALL_RULES = ("direct", "direct_edges", "entry", "statements", "shapes")


def main() -> None:
    """Measure one size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--services", type=int, default=50)
    options = parser.parse_args()
    print(json.dumps(measure(options.spans, options.services), indent=2))


def measure(spans: int, services: int) -> dict[str, Any]:
    """Return the ratio, and the milliseconds of each rule and of the propagation."""
    names = service_names(services)
    found = Traces(traces(spans // SPANS_PER_TRACE, services=names), resources(names), empty(LINKS))
    analysis, judging = [], []
    for _ in range(_REPEATS):
        watch, analysed = _analyse(found)
        analysis.append(watch.total)
        judging.append(_judge(analysed))
    return {
        "spans": found.spans.height,
        "services": services,
        "rules": len(RULES),
        "ratio": round(statistics.median(j.total / a for j, a in zip(judging, analysis, strict=True)), 2),
        "analysis_ms": round(statistics.median(analysis) * 1000),
        "stages_ms": {
            stage: round(statistics.median(watch.seconds[stage] for watch in judging) * 1000, 1)
            for stage in judging[0].seconds
        },
    }


def _analyse(found: Traces) -> tuple[Stopwatch, Analysed]:
    watch = Stopwatch()
    analysed: Analysed = watch.time("analysis", lambda: analyse(found))
    for name in _OF_ANALYSIS:
        watch.time("analysis", partial(getattr, analysed, name))
    return watch, analysed


def _judge(analysed: Analysed) -> Stopwatch:
    watch, use = Stopwatch(), empty(RESOURCE_USE)
    subject = Subject(analysed, use, service_saturation(use))
    for name in _OF_ALL_RULES:
        watch.time("what rules share", partial(getattr, subject, name))
    for rule in RULES:
        watch.time(rule.name, partial(rule.find, subject, rule.limits()))
    watch.time("propagation", lambda: propagate(analysed))
    return watch


if __name__ == "__main__":
    main()
