"""``python -m tests.chaos``: run after run, until one differs; its seed is printed, and its files are kept."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.chaos.runs import FAULTS, Outcome, run


def main() -> int:
    """Return the exit status: 1 at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first run; they count up")
    parser.add_argument("--fault", choices=FAULTS, help="this one in every run, instead of each in turn")
    parser.add_argument("--at-once", type=int, default=2)
    options = parser.parse_args()
    started = time.monotonic()
    struck: Counter[str] = Counter()
    acknowledged = 0
    seeds = range(options.seed, options.seed + options.runs)
    with ThreadPoolExecutor(options.at_once) as pool:
        for number, outcome in enumerate(pool.map(lambda seed: run(seed, options.fault), seeds), 1):
            acknowledged += outcome.acknowledged
            struck[outcome.fault] += outcome.struck
            _show(number, options.runs, outcome, time.monotonic() - started)
            if outcome.wrong:
                pool.shutdown(wait=False, cancel_futures=True)
                return 1
    _say(f"{options.runs} runs, {acknowledged:,} acknowledged requests: each is stored once, and nothing else is.")
    _say(f"Killed where it was planned, by fault: {dict(sorted(struck.items()))}")
    return 0


def _show(number: int, runs: int, outcome: Outcome, seconds: float) -> None:
    words = "struck" if outcome.struck else "ran out of time"
    _say(f"{number}/{runs} {seconds:.0f} s: {outcome.fault}, {words}, {outcome.acknowledged} acknowledged")
    for line in outcome.wrong[:20]:
        _say(f"  DIFFERENT with --seed {outcome.seed} --fault {outcome.fault!r}: {line}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
