"""People who use the storefront: a fixed mix of pages, a few at a time."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import requests

VISITORS = 5
PAGES = {"home": 8, "order": 7, "checkout": 4, "sales": 1}
TIMEOUT_S = 10


def drive(storefront: str, seconds: float) -> int:
    """Visit the storefront for a while; return how many pages were asked for."""
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(VISITORS) as pool:
        return sum(pool.map(lambda seed: _visit(storefront, deadline, random.Random(seed)), range(VISITORS)))


def _visit(storefront: str, deadline: float, chance: random.Random) -> int:
    visits = 0
    while time.monotonic() < deadline:
        [page] = chance.choices(list(PAGES), list(PAGES.values()))
        _open_page(storefront, page, chance)
        visits += 1
        time.sleep(chance.uniform(0.1, 0.5))
    return visits


def _open_page(storefront: str, page: str, chance: random.Random) -> None:
    if page == "checkout":
        wanted = {"sku": chance.choice((3, 5, 7, 11)), "units": 1}
        requests.post(f"{storefront}/checkout", json=wanted, timeout=TIMEOUT_S)
        return
    path = {"home": "/", "order": f"/orders/{chance.randrange(30)}", "sales": "/reports/sales"}[page]
    requests.get(f"{storefront}{path}", timeout=TIMEOUT_S)
