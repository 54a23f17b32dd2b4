"""The service that people see: it keeps nothing of its own and waits for the other two."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import requests
from flask import Flask, request

from sample_traces.trio.serving import serve

ORDERS = os.environ["ORDERS_URL"]
STOCK = os.environ["STOCK_URL"]
TIMEOUT_S = 5

app = Flask("storefront")
log = logging.getLogger("storefront")


def fetch(url: str) -> Any:
    """Return the JSON at an address, or raise for an error status."""
    response = requests.get(url, timeout=TIMEOUT_S)
    response.raise_for_status()
    return response.json()


@app.get("/")
def home() -> dict[str, object]:
    """Ask both services at once."""
    with ThreadPoolExecutor(2) as pool:
        recent, shelf = pool.map(fetch, (f"{ORDERS}/orders/recent", f"{STOCK}/shelf"))
    return {"recent": recent, "shelf": shelf}


@app.get("/orders/<int:order>")
def order(order: int) -> Any:
    """Show one order."""
    return fetch(f"{ORDERS}/orders/{order}")


@app.post("/checkout")
def checkout() -> Any:
    """Look the price up, then place the order."""
    wanted = request.get_json()
    price = fetch(f"{STOCK}/items/{wanted['sku']}")["price"]
    placed = requests.post(f"{ORDERS}/orders", json=wanted, timeout=TIMEOUT_S)
    if placed.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("checkout of item %s failed: orders answered %s", wanted["sku"], placed.status_code)
        return {"error": "sorry"}, 502
    return {**placed.json(), "total": price * wanted["units"]}


@app.get("/reports/sales")
def sales() -> Any:
    """Show the slow report."""
    return fetch(f"{ORDERS}/reports/sales")


if __name__ == "__main__":
    serve(app)
