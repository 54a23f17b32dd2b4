"""Tells customers how their order is doing, and in the decoupled shop tells the shop now and then how many it told."""

from __future__ import annotations

from typing import Any

from flask import request
from opentelemetry import propagate, trace
from opentelemetry.context import Context

from sample_traces.shop.database import connection
from sample_traces.shop.runtime import DECOUPLED, work
from sample_traces.shop.serving import create_app, serve_http

if DECOUPLED:
    from sample_traces.shop.messages import Consumer

BATCH = 5
QUEUE = "notification.send"
WRITE = "INSERT INTO notification (order_id, email) VALUES (%s, %s)"
BATCH_ATTRIBUTES: dict[str, str | int] = {
    "messaging.system": "rabbitmq",
    "messaging.destination.name": QUEUE,
    "messaging.operation.type": "process",
    "messaging.batch.message_count": BATCH,
}

app = create_app()
tracer = trace.get_tracer("notification")
_batch: list[trace.Link] = []


@app.post("/notifications")
def send_now() -> dict[str, Any]:
    """Send a mail while shipping waits; the address comes straight from another service's table."""
    order = request.get_json()
    with connection() as database:
        row = database.execute("SELECT email FROM customer WHERE id = %s", (order["customer"],)).fetchone()
        work(25)
        database.execute(WRITE, (order["order"], row["email"] if row else ""))
    return {"order": order["order"]}


def send(message: dict[str, Any], headers: dict[str, str]) -> None:
    """Send a mail when there is time; remember which message asked for it."""
    work(15)
    with connection() as database:
        database.execute(WRITE, (message["order"], "as ordered"))
    creation = trace.get_current_span(propagate.extract(headers)).get_span_context()
    _batch.append(trace.Link(creation))
    if len(_batch) == BATCH:
        report()


def report() -> None:
    """Write down a batch in a trace of its own, linked to the messages in it."""
    links = _batch.copy()
    _batch.clear()
    kind = trace.SpanKind.CONSUMER
    with (
        tracer.start_as_current_span(f"process {QUEUE}", Context(), kind, attributes=BATCH_ATTRIBUTES, links=links),
        connection() as database,
    ):
        database.execute("INSERT INTO digest (mails) VALUES (%s)", (len(links),))


if __name__ == "__main__":
    serve_http(app, [Consumer(QUEUE, send)] if DECOUPLED else ())
