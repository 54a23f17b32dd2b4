"""Records the sample traces anew: ``python -m sample_traces.record [trio|shop] [--state STATE]``.

Everything listens on free loopback ports, and nothing is left behind but the files.
"""

from __future__ import annotations

import argparse
import signal
import sys

from sample_traces.shop.record import record_shop
from sample_traces.shop.system import STATES
from sample_traces.trio.record import record_trio


def main() -> None:
    """Record what is asked for; without a wish, everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("system", nargs="?", choices=("trio", "shop"), help="only one of the two systems")
    parser.add_argument("--state", choices=STATES, help="only one state of the shop")
    wanted = parser.parse_args()
    # Otherwise SIGTERM would end the recorder alone, and leave behind what it had started.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    if wanted.system != "shop" and not wanted.state:
        record_trio()
    if wanted.system != "trio":
        for state in [STATES[wanted.state]] if wanted.state else STATES.values():
            record_shop(state)


if __name__ == "__main__":
    main()
