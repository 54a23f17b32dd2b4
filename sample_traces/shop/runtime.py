"""What a service's process knows of itself and of the world around it."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from sample_traces.shop.system import STATES, Fault
from sample_traces.shop.world import read_world

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE = STATES[os.environ["SHOP_STATE"]]
SERVICE = STATE.service(os.environ["SHOP_SERVICE"])
DECOUPLED = STATE.has_queues

_world = Path(os.environ["SHOP_WORLD"])
_turns: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)


def address(service: str) -> str:
    """Return where the next request to a service goes: its instances take turns, and a deployment is seen at once."""
    addresses = read_world(_world)["addresses"][service]
    return str(addresses[next(_turns[service]) % len(addresses)])


def fault() -> Fault | None:
    """Return what is wrong with this service just now."""
    started = read_world(_world)["started"]
    return None if started is None else STATE.fault(SERVICE.name, time.time() - started)


def work(milliseconds: float) -> None:
    """Do the part of the business that is neither a call nor a query."""
    time.sleep(milliseconds / 1000 * random.uniform(0.7, 1.3))
