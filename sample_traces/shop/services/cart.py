"""What people are about to buy."""

from __future__ import annotations

from typing import Any

from flask import request

from sample_traces.shop.calls import call_http
from sample_traces.shop.database import connection
from sample_traces.shop.runtime import DECOUPLED
from sample_traces.shop.serving import create_app, serve_http

app = create_app()


@app.post("/carts/<int:cart>/lines")
def add(cart: int) -> dict[str, Any]:
    """Put something into a cart at its price of now."""
    wanted = request.get_json()
    price = price_of(wanted["sku"])
    with connection() as database:
        database.execute("INSERT INTO cart_line VALUES (%s, %s, %s, %s)", (cart, wanted["sku"], wanted["units"], price))
    return {"cart": cart}


@app.get("/carts/<int:cart>")
def show(cart: int) -> dict[str, Any]:
    """Show a cart; the monolith asks the catalogue about each line."""
    with connection() as database:
        lines = database.execute("SELECT sku, units, price FROM cart_line WHERE cart = %s", (cart,)).fetchall()
    if not DECOUPLED:
        lines = [{**line, "price": price_of(line["sku"])} for line in lines]
    return {"cart": cart, "lines": lines}


def price_of(sku: int) -> int:
    """Look a price up, in the catalogue or in the cart's own list."""
    if not DECOUPLED:
        return int(call_http("catalog", "GET", f"/products/{sku}")["price"])
    with connection() as database:
        row = database.execute("SELECT price FROM price WHERE sku = %s", (sku,)).fetchone()
    return int(row["price"]) if row else 0


if __name__ == "__main__":
    serve_http(app)
