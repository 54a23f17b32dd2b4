"""People in the shop: as many as the step of the day says, each with a mind of their own."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from sample_traces.shop.system import State

DOINGS = {"home": 3, "product": 4, "add": 6, "show_cart": 2, "checkout": 4, "order": 2}
CUSTOMERS = 100
PRODUCTS = 60
FAVOURITE = 7
PAUSE_S = (0.25, 0.75)
PATIENCE_S = 60.0
"""Longer than anything takes: a request is not left before it is answered, so that its trace is whole."""


@dataclass
class Visitor:
    """Somebody with a cart, and perhaps an order to ask after."""

    url: str
    seed: int
    visits: int = 0
    lines: int = 0
    orders: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._cart = self.seed * 1000

    def act(self) -> None:
        """Ask for one page, then read it."""
        doing = self._chance.choices(list(DOINGS), list(DOINGS.values()))[0]
        if doing in ("show_cart", "checkout") and not self.lines:
            doing = "add"
        if doing == "order" and not self.orders:
            doing = "product"
        self.visits += 1
        getattr(self, f"_{doing}")()
        time.sleep(self._chance.uniform(*PAUSE_S))

    def _home(self) -> None:
        self._ask("GET", "/")

    def _product(self) -> None:
        self._ask("GET", f"/products/{self._sku()}")

    def _add(self) -> None:
        self._ask("POST", f"/carts/{self._cart}/lines", {"sku": self._sku(), "units": 1})
        self.lines += 1

    def _show_cart(self) -> None:
        self._ask("GET", f"/carts/{self._cart}")

    def _checkout(self) -> None:
        wanted = {"cart": self._cart, "customer": self._chance.randrange(CUSTOMERS)}
        placed = self._ask("POST", "/orders", wanted)
        if placed:
            self.orders.append(placed["order"])
        self._cart += 1
        self.lines = 0

    def _order(self) -> None:
        self._ask("GET", f"/orders/{self.orders[-1]}")

    def _sku(self) -> int:
        return FAVOURITE if self._chance.random() < 1 / PRODUCTS else self._chance.randint(1, PRODUCTS)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        response = requests.request(method, f"{self.url}{path}", json=body, timeout=PATIENCE_S)
        return response.json() if response.ok else None


def drive(gateway: Callable[[], str], state: State, started: float, over: Event) -> int:
    """Fill the shop for a day; return how many pages were asked for, all of them answered. ``over`` is set at the end.

    Whoever interrupts a recording need not wait for the evening: people then leave after their present page.
    """
    with ThreadPoolExecutor(max(state.users)) as pool:
        try:
            return sum(pool.map(lambda number: _stay(gateway, state, started, number, over), range(max(state.users))))
        finally:
            over.set()


def _stay(gateway: Callable[[], str], state: State, started: float, number: int, over: Event) -> int:
    """Be there in all steps that have more than ``number`` people."""
    visitor = Visitor(gateway(), number + 1)
    while (second := time.time() - started) < state.duration_s and not over.is_set():
        if state.users[int(second / state.step_s)] > number:
            visitor.url = gateway()
            visitor.act()
        else:
            time.sleep(0.1)
    return visitor.visits
