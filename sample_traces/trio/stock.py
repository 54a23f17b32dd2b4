"""The service at the end of every chain: what an item is called, what it costs, how many are left."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing

from flask import Flask, request
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from sample_traces.trio.serving import serve

DATABASE = os.environ["STOCK_DATABASE"]
SCARCE = 7  # the sku that runs out first

app = Flask("stock")
log = logging.getLogger("stock")


def connect() -> sqlite3.Connection:
    """Open the database; rows come as mappings. Only what goes through a cursor becomes a span."""
    connection = sqlite3.connect(DATABASE, timeout=5)
    connection.row_factory = sqlite3.Row
    return connection


def fill() -> None:
    """Make forty items."""
    with closing(connect()) as database, database:
        database.execute("CREATE TABLE item (sku INTEGER PRIMARY KEY, name, price, units CHECK (units >= 0))")
        rows = [(sku, f"item {sku}", 5 + sku % 9, 3 if sku == SCARCE else 1000) for sku in range(40)]
        database.executemany("INSERT INTO item VALUES (?, ?, ?, ?)", rows)


@app.get("/shelf")
def shelf() -> list[dict[str, object]]:
    """Show ten items."""
    with closing(connect()) as database:
        return [dict(row) for row in database.cursor().execute("SELECT sku, name, price FROM item LIMIT 10")]


@app.get("/items/<int:sku>")
def item(sku: int) -> dict[str, object]:
    """Show one item."""
    with closing(connect()) as database:
        return dict(database.cursor().execute("SELECT * FROM item WHERE sku = ?", (sku,)).fetchone())


@app.post("/reservations")
def reserve() -> dict[str, object]:
    """Take units off the shelf; the database refuses to go below none, and nobody here handles that."""
    wanted = request.get_json()
    with closing(connect()) as database, database:
        database.cursor().execute("UPDATE item SET units = units - ? WHERE sku = ?", (wanted["units"], wanted["sku"]))
    log.info("reserved %s of item %s", wanted["units"], wanted["sku"])
    return {"reserved": wanted["units"]}


def units_left(_options: CallbackOptions) -> list[Observation]:
    """Measure the shelf; without a cursor, since a measurement is nobody's request and should make no trace."""
    with closing(sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True)) as database:
        return [Observation(database.execute("SELECT sum(units) FROM item").fetchone()[0])]


if __name__ == "__main__":
    fill()
    metrics.get_meter("stock").create_observable_gauge("stock.units", [units_left], unit="{unit}")
    serve(app)
