"""Charges customers; the service that breaks in the incident."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import request
from opentelemetry import trace
from psycopg_pool import PoolTimeout

from sample_traces.shop.calls import CallFailedError, RefusedError, call_grpc
from sample_traces.shop.database import commit_prepared, connection, prepare, roll_back_prepared
from sample_traces.shop.runtime import DECOUPLED, fault, work
from sample_traces.shop.serving import create_app, log, serve_http

if DECOUPLED:
    from sample_traces.shop.messages import Consumer, publish

REFUSED_CUSTOMERS = 8  # one in so many has an empty account
WRITE = "INSERT INTO payment VALUES (%s, %s, %s)"

app = create_app()


@app.errorhandler(PoolTimeout)
def starved(error: PoolTimeout) -> tuple[dict[str, str], int]:
    """No connection in time."""
    log.error("no database connection: %s", error)
    return {"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE


@app.post("/payments")
def charge() -> dict[str, Any]:
    """Prepare a payment, and have the goods reserved before it is committed."""
    order = request.get_json()
    with connection() as database:
        database.execute("SELECT credit FROM customer WHERE id = %s", (order["customer"],))
        authorise(order)
        database.execute("BEGIN")
        database.execute(WRITE, (order["order"], order["amount"], "paid"))
        database.execute(prepare(order["order"]))
    try:
        call_grpc("inventory", "Reserve", {key: order[key] for key in ("order", "customer", "lines")})
    except (CallFailedError, RefusedError):
        with connection() as database:
            database.execute(roll_back_prepared(order["order"]))
        raise
    return {"order": order["order"]}


@app.post("/payments/<int:order>/commit")
def commit(order: int) -> dict[str, Any]:
    """Finish what was prepared."""
    with connection() as database:
        database.execute(commit_prepared(order))
    return {"order": order}


@app.get("/payments/<int:order>")
def show(order: int) -> dict[str, Any]:
    """Show a payment."""
    with connection() as database:
        row = database.execute("SELECT amount, state FROM payment WHERE order_id = %s", (order,)).fetchone()
    return row or {}


def authorise(order: dict[str, Any]) -> None:
    """Ask the acquirer, a stranger without telemetry; in the incident it is slow, then of no use."""
    trouble = fault()
    work(trouble.hold_s * 1000 if trouble else 12)
    if trouble and trouble.kind == "error":
        raise CallFailedError(f"order {order['order']}: the acquirer gave no answer")
    if order["customer"] % REFUSED_CUSTOMERS == 0:
        raise RefusedError(f"order {order['order']}: payment refused", HTTPStatus.PAYMENT_REQUIRED)


def charge_order(message: dict[str, Any], _headers: dict[str, str]) -> None:
    """Charge for an order whose goods are reserved, or undo what was done for it."""
    try:
        authorise(message)
    except RefusedError as error:
        span = trace.get_current_span()
        span.record_exception(error)
        span.set_status(trace.StatusCode.ERROR, str(error))
        log.warning("compensating: %s", error)
        undo(message)
        return
    with connection() as database:
        database.execute(WRITE, (message["order"], message["amount"], "paid"))
    publish("shipping.dispatch", message)


def refund_payment(message: dict[str, Any], _headers: dict[str, str]) -> None:
    """Give the money back, and undo what came before."""
    with connection() as database:
        database.execute("UPDATE payment SET state = 'refunded' WHERE order_id = %s", (message["order"],))
    undo(message)


def undo(message: dict[str, Any]) -> None:
    """Let the services before this one take their part back."""
    publish("inventory.release_stock", message)
    publish("checkout.cancel_order", message)


def consumers() -> list[Consumer]:
    """Listen to what is to be charged and paid back."""
    queues = {"payment.charge": charge_order, "payment.refund_payment": refund_payment}
    return [Consumer(queue, handle) for queue, handle in queues.items()]


if __name__ == "__main__":
    serve_http(app, consumers() if DECOUPLED else ())
