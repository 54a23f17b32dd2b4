"""How many there are of everything, behind one lock."""

from __future__ import annotations

from typing import Any

from psycopg.errors import CheckViolation

from sample_traces.shop.calls import RefusedError, call_http
from sample_traces.shop.database import connection
from sample_traces.shop.runtime import DECOUPLED, work
from sample_traces.shop.serving import log, serve_grpc

if DECOUPLED:
    from sample_traces.shop.messages import Consumer, publish

STOCK_LOCK = 7301  # any number that everybody agrees on
TAKE = "UPDATE stock SET units = units - %s WHERE sku = %s"


def level(request: dict[str, Any]) -> dict[str, Any]:
    """Say how many of one product are left."""
    with connection() as database:
        row = database.execute("SELECT units FROM stock WHERE sku = %s", (request["sku"],)).fetchone()
    work(5)
    return {"units": row["units"] if row else 0}


def reserve(request: dict[str, Any]) -> dict[str, Any]:
    """Take an order's lines off the stock and have them shipped, all under the one lock."""
    with connection() as database:
        database.execute("BEGIN")
        database.execute("SELECT pg_advisory_xact_lock(%s)", (STOCK_LOCK,))
        skus = [line["sku"] for line in request["lines"]]
        database.execute("SELECT sku, units FROM stock WHERE sku = ANY(%s) ORDER BY sku FOR UPDATE", (skus,))
        try:
            for line in request["lines"]:
                database.execute(TAKE, (line["units"], line["sku"]))
        except CheckViolation as error:
            raise RefusedError(f"order {request['order']}: not enough in stock") from error
        call_http("shipping", "POST", "/shipments", {key: request[key] for key in ("order", "customer")})
        database.execute("COMMIT")
    return {"order": request["order"]}


def reserve_stock(message: dict[str, Any], _headers: dict[str, str]) -> None:
    """Take an order's lines off the stock, then let payment know."""
    try:
        move(message["lines"], 1)
    except CheckViolation:
        log.warning("order %s: not enough in stock", message["order"])
        publish("checkout.cancel_order", message)
        return
    publish("payment.charge", message)


def release_stock(message: dict[str, Any], _headers: dict[str, str]) -> None:
    """Put an order's lines back."""
    move(message["lines"], -1)
    log.info("order %s: stock released", message["order"])


def move(lines: list[dict[str, int]], sign: int) -> None:
    """Change the stock of all lines or of none."""
    with connection() as database:
        database.execute("BEGIN")
        for line in sorted(lines, key=lambda line: line["sku"]):
            database.execute(TAKE, (sign * line["units"], line["sku"]))
        database.execute("COMMIT")


def consumers() -> list[Consumer]:
    """Listen to what others ask for."""
    queues = {"inventory.reserve_stock": reserve_stock, "inventory.release_stock": release_stock}
    return [Consumer(queue, handle) for queue, handle in queues.items()]


if __name__ == "__main__":
    serve_grpc({"Level": level, "Reserve": reserve}, consumers() if DECOUPLED else ())
