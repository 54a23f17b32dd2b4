"""Turns a cart into an order: by two-phase commit in the monolith, by a saga in the decoupled shop."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import request
from opentelemetry import metrics

from sample_traces.shop.calls import CallFailedError, RefusedError, call_http
from sample_traces.shop.database import commit_prepared, connection, prepare, roll_back_prepared
from sample_traces.shop.runtime import DECOUPLED, work
from sample_traces.shop.serving import create_app, log, serve_http

if DECOUPLED:
    from sample_traces.shop.messages import Consumer, publish

app = create_app()
placed = metrics.get_meter("checkout").create_counter("orders.placed", unit="{order}")


@app.post("/orders")
def place() -> dict[str, Any]:
    """Buy what is in a cart."""
    wanted = request.get_json()
    lines = wanted["lines"] if DECOUPLED else call_http("cart", "GET", f"/carts/{wanted['cart']}")["lines"]
    order = {"customer": wanted["customer"], "lines": lines, "order": next_number()}
    order["amount"] = sum(line["price"] * line["units"] for line in lines)
    work(4)
    if DECOUPLED:
        write(order, "pending")
        publish("inventory.reserve_stock", order)
    else:
        buy(order)
        with connection() as database:
            database.execute("DELETE FROM cart_line WHERE cart = %s", (wanted["cart"],))
    placed.add(1)
    log.info("order %s placed", order["order"])
    return {"order": order["order"]}


def next_number() -> int:
    """Number the next order."""
    with connection() as database:
        row = database.execute("SELECT nextval('order_number') AS number").fetchone()
    return int(row["number"]) if row else 0


def write(order: dict[str, Any], state: str, *, hold: bool = False) -> None:
    """Write an order down, for good or until its transaction is told what to do."""
    number = order["order"]
    with connection() as database:
        database.execute("BEGIN")
        row = (number, order["customer"], order["amount"], state)
        database.execute("INSERT INTO customer_order VALUES (%s, %s, %s, %s)", row)
        for line in order["lines"]:
            database.execute("INSERT INTO order_line VALUES (%s, %s, %s)", (number, line["sku"], line["units"]))
        if hold:
            database.execute(prepare(number))
        else:
            database.execute("COMMIT")


def buy(order: dict[str, Any]) -> None:
    """Commit order and payment together, or neither."""
    number = order["order"]
    write(order, "paid", hold=True)
    try:
        call_http("payment", "POST", "/payments", order)
    except (CallFailedError, RefusedError):
        with connection() as database:
            database.execute(roll_back_prepared(number))
        raise
    with connection() as database:
        database.execute(commit_prepared(number))
    call_http("payment", "POST", f"/payments/{number}/commit")


@app.get("/orders/<int:order>")
def show(order: int) -> dict[str, Any]:
    """Show how far an order has come; the monolith asks payment and shipping."""
    with connection() as database:
        row = database.execute("SELECT id, amount, state FROM customer_order WHERE id = %s", (order,)).fetchone()
    if row is None:
        raise RefusedError(f"no order {order}", HTTPStatus.NOT_FOUND)
    if DECOUPLED:
        return row
    payment = call_http("payment", "GET", f"/payments/{order}")
    return {**row, "payment": payment, "shipment": call_http("shipping", "GET", f"/shipments/{order}")}


@app.get("/customers/<int:customer>/address")
def address(customer: int) -> dict[str, Any]:
    """Say where a customer lives."""
    with connection() as database:
        row = database.execute("SELECT address FROM customer WHERE id = %s", (customer,)).fetchone()
    return row or {}


def complete_order(message: dict[str, Any], _headers: dict[str, str]) -> None:
    """All went well."""
    move(message["order"], "shipped")


def cancel_order(message: dict[str, Any], _headers: dict[str, str]) -> None:
    """Somebody further on could not do their part."""
    move(message["order"], "cancelled")
    log.warning("order %s cancelled", message["order"])


def move(order: int, state: str) -> None:
    """Give an order another state."""
    with connection() as database:
        database.execute("UPDATE customer_order SET state = %s WHERE id = %s", (state, order))


def consumers() -> list[Consumer]:
    """Listen to how orders end."""
    queues = {"checkout.complete_order": complete_order, "checkout.cancel_order": cancel_order}
    return [Consumer(queue, handle) for queue, handle in queues.items()]


if __name__ == "__main__":
    serve_http(app, consumers() if DECOUPLED else ())
