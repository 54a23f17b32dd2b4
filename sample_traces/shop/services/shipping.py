"""Sends parcels, if the carrier will."""

from __future__ import annotations

import random
from typing import Any

from flask import request
from opentelemetry import trace

from sample_traces.shop.calls import CallFailedError, call_http
from sample_traces.shop.database import connection
from sample_traces.shop.runtime import DECOUPLED, work
from sample_traces.shop.serving import create_app, log, serve_http

if DECOUPLED:
    from sample_traces.shop.messages import Consumer, publish

CARRIER_BUSY = 0.06
UNSERVED = 17  # nobody delivers to customers whose number this divides
WRITE = "INSERT INTO shipment VALUES (%s, %s, %s)"

app = create_app()


@app.post("/shipments")
def ship() -> dict[str, Any]:
    """Send a parcel to an address that only checkout knows, and wait until the customer has been told."""
    order = request.get_json()
    address = call_http("checkout", "GET", f"/customers/{order['customer']}/address")["address"]
    work(20)
    if random.random() < CARRIER_BUSY:
        raise CallFailedError("the carrier is busy")
    with connection() as database:
        database.execute(WRITE, (order["order"], address, "sent"))
    call_http("notification", "POST", "/notifications", order)
    return {"order": order["order"]}


@app.get("/shipments/<int:order>")
def show(order: int) -> dict[str, Any]:
    """Show a parcel's state."""
    with connection() as database:
        row = database.execute("SELECT address, state FROM shipment WHERE order_id = %s", (order,)).fetchone()
    return row or {}


def dispatch(message: dict[str, Any], _headers: dict[str, str]) -> None:
    """Send a parcel, or have the order undone if it cannot be delivered."""
    work(6)
    if message["customer"] % UNSERVED == 0:
        error = CallFailedError(f"order {message['order']}: nobody delivers there")
        span = trace.get_current_span()
        span.record_exception(error)
        span.set_status(trace.StatusCode.ERROR, str(error))
        log.warning("compensating: %s", error)
        publish("payment.refund_payment", message)
        return
    with connection() as database:
        database.execute(WRITE, (message["order"], "as ordered", "sent"))
    publish("notification.send", message)
    publish("checkout.complete_order", message)


if __name__ == "__main__":
    serve_http(app, [Consumer("shipping.dispatch", dispatch)] if DECOUPLED else ())
