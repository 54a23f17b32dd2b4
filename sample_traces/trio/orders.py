"""The service in the middle: it keeps orders, and asks stock about every line of one, line by line."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing

import requests
from flask import Flask, request
from opentelemetry import metrics

from sample_traces.trio.serving import serve

DATABASE = os.environ["ORDERS_DATABASE"]
STOCK = os.environ["STOCK_URL"]
TIMEOUT_S = 5

app = Flask("orders")
log = logging.getLogger("orders")
placed = metrics.get_meter("orders").create_counter("orders.placed", unit="{order}")


def connect() -> sqlite3.Connection:
    """Open the database; rows come as mappings. Only what goes through a cursor becomes a span."""
    connection = sqlite3.connect(DATABASE, timeout=5)
    connection.row_factory = sqlite3.Row
    return connection


def fill() -> None:
    """Make thirty orders of one to twelve lines."""
    with closing(connect()) as database, database:
        database.execute("CREATE TABLE line (order_id, sku, units)")
        rows = [(order, (order * 3 + line) % 40, 1) for order in range(30) for line in range(order % 12 + 1)]
        database.executemany("INSERT INTO line VALUES (?, ?, ?)", rows)


@app.get("/orders/recent")
def recent() -> list[dict[str, object]]:
    """Show the newest orders, out of one query."""
    with closing(connect()) as database:
        query = "SELECT order_id, count(*) AS lines FROM line GROUP BY order_id ORDER BY order_id DESC LIMIT 5"
        return [dict(row) for row in database.cursor().execute(query)]


@app.get("/orders/<int:order>")
def show(order: int) -> dict[str, object]:
    """Show one order; one call to stock for each of its lines."""
    with closing(connect()) as database:
        skus = [row["sku"] for row in database.cursor().execute("SELECT sku FROM line WHERE order_id = ?", (order,))]
    return {"order": order, "items": [requests.get(f"{STOCK}/items/{sku}", timeout=TIMEOUT_S).json() for sku in skus]}


@app.post("/orders")
def place() -> dict[str, object]:
    """Reserve, then write the order down."""
    wanted = request.get_json()
    reserved = requests.post(f"{STOCK}/reservations", json=wanted, timeout=TIMEOUT_S)
    reserved.raise_for_status()
    with closing(connect()) as database, database:
        order = database.cursor().execute("SELECT max(order_id) + 1 FROM line").fetchone()[0]
        database.cursor().execute("INSERT INTO line VALUES (?, ?, ?)", (order, wanted["sku"], wanted["units"]))
    placed.add(1)
    log.info("order %s placed", order)
    return {"order": order}


@app.get("/reports/sales")
def sales() -> dict[str, object]:
    """Compare every line with every other two: the slow page."""
    query = "SELECT count(*) FROM line a, line b, line c WHERE a.sku < b.sku AND b.sku < c.sku"
    with closing(connect()) as database:
        return {"triples": database.cursor().execute(query).fetchone()[0]}


if __name__ == "__main__":
    fill()
    serve(app)
