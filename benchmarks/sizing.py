"""A worksheet: what a rate of spans takes, from the figures that benchmarks measured. Prints a table.

What it assumes is what it does not measure: that a span costs the same at any rate, and prices, which are given.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import NamedTuple


class Measured(NamedTuple):
    """What one span takes, and what one process bears; docs/scaling.md says where each figure comes from."""

    collector_us: float = 83.0  # of a processor, in a lake with three collectors, analysis included
    catalog_ms: float = 3.6  # of PostgreSQL's processor, for a commit
    commits_per_s: float = 20.0  # that collectors make together: each waits for the others'
    data_bytes: float = 72.0
    catalog_bytes: float = 0.9
    analysed_per_s: float = 70_000.0  # spans, by the one collector that analyses


MEASURED = Measured()
_BUSY = 0.6  # of a processor: what is more waits
_CORES = 2  # of one collector
_GB = 1e9
_HOURS_A_MONTH = 730
_HEAD = (
    *("spans/s", "collectors", "cores", "catalog cores", "commits/s each", "analysed", "disk"),
    "a billion spans cost",
)


@dataclass(frozen=True, slots=True)
class Size:
    """What a mean rate takes when the peak is so many times it, and spans are kept for some days."""

    spans_per_s: float
    peak: float
    days: float
    core_hour: float
    gb_month: float

    @property
    def collectors(self) -> int:
        """Of two cores each, three fifths busy at the peak."""
        return max(math.ceil(self.spans_per_s * self.peak * MEASURED.collector_us / 1e6 / _BUSY / _CORES), 1)

    @property
    def catalog_cores(self) -> float:
        """What PostgreSQL is busy with, which depends on commits and not on spans."""
        return MEASURED.commits_per_s * MEASURED.catalog_ms / 1e3

    @property
    def commits_each(self) -> float:
        """How often a second one collector's rows can become visible."""
        return MEASURED.commits_per_s / self.collectors

    @property
    def analysed(self) -> float:
        """The share of traces that the analysis looks at, and weighs; SQL sees all."""
        return min(MEASURED.analysed_per_s / self.spans_per_s, 1.0)

    @property
    def disk_gb(self) -> float:
        """What is kept, in the lake and its catalog."""
        return self.spans_per_s * 86_400 * self.days * (MEASURED.data_bytes + MEASURED.catalog_bytes) / _GB

    @property
    def billion_costs(self) -> float:
        """Processors while they come in and the disk for as long as they are kept."""
        core_s = MEASURED.collector_us * 1e3 / _BUSY + self.catalog_cores / self.spans_per_s * 1e9
        months = self.days * 24 / _HOURS_A_MONTH
        return core_s / 3600 * self.core_hour + MEASURED.data_bytes * months * self.gb_month

    def row(self) -> tuple[str, ...]:
        """The cells of its line in the table."""
        return (
            f"{self.spans_per_s:,.0f}",
            f"{self.collectors:,}",
            f"{self.collectors * _CORES:,}",
            f"{self.catalog_cores:.2f}",
            f"{self.commits_each:.2g}",
            f"{self.analysed:.0%}",
            f"{self.disk_gb:,.0f} GB",
            f"${self.billion_costs:.2f}",
        )


def table(sizes: list[Size]) -> str:
    """Return a Markdown table of some sizes."""
    lines = [_HEAD, ("---",) * len(_HEAD), *(size.row() for size in sizes)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the table of the rates that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rates", type=float, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000], metavar="SPANS/S")
    parser.add_argument("--peak", type=float, default=2.0, help="the highest rate, times the mean")
    parser.add_argument("--days", type=float, default=7.0, help="how long spans are kept")
    parser.add_argument("--core-hour", type=float, default=0.04, help="dollars")
    parser.add_argument("--gb-month", type=float, default=0.023, help="dollars")
    given = parser.parse_args()
    print(table([Size(rate, given.peak, given.days, given.core_hour, given.gb_month) for rate in given.rates]))


if __name__ == "__main__":
    main()
