"""The service that people see: it keeps nothing of its own."""

from __future__ import annotations

from typing import Any

from flask import request

from sample_traces.shop.calls import CallFailedError, call_grpc, call_http
from sample_traces.shop.runtime import DECOUPLED
from sample_traces.shop.serving import create_app, log, serve_http

app = create_app()


@app.get("/")
def home() -> Any:
    """Show the first page of the catalogue."""
    return call_http("catalog", "GET", "/products")


@app.get("/products/<int:sku>")
def product(sku: int) -> dict[str, Any]:
    """Show one product and what goes with it."""
    return {"product": call_http("catalog", "GET", f"/products/{sku}"), "also": recommended(sku)}


def recommended(sku: int) -> list[Any]:
    """Ask for recommendations; the decoupled shop does without them if need be."""
    try:
        return list(call_grpc("recommendation", "Recommend", {"sku": sku})["products"])
    except CallFailedError as error:
        if not DECOUPLED:
            raise
        log.warning("page without recommendations: %s", error)
        return []


@app.post("/carts/<int:cart>/lines")
def add(cart: int) -> Any:
    """Put something into a cart."""
    return call_http("cart", "POST", f"/carts/{cart}/lines", request.get_json())


@app.get("/carts/<int:cart>")
def show_cart(cart: int) -> Any:
    """Show a cart."""
    return call_http("cart", "GET", f"/carts/{cart}")


@app.post("/orders")
def place() -> Any:
    """Buy what is in a cart; the decoupled checkout is handed the lines instead of fetching them."""
    wanted = request.get_json()
    if DECOUPLED:
        wanted["lines"] = call_http("cart", "GET", f"/carts/{wanted['cart']}")["lines"]
    return call_http("checkout", "POST", "/orders", wanted)


@app.get("/orders/<int:order>")
def show_order(order: int) -> Any:
    """Show how far an order has come."""
    return call_http("checkout", "GET", f"/orders/{order}")


if __name__ == "__main__":
    serve_http(app)
