"""What there is, what it costs, and whether it is to be had."""

from __future__ import annotations

from typing import Any

from sample_traces.shop.calls import RefusedError, call_grpc
from sample_traces.shop.database import connection
from sample_traces.shop.runtime import DECOUPLED, work
from sample_traces.shop.serving import create_app, serve_http

PAGE = 10

app = create_app()


@app.get("/products")
def products() -> dict[str, Any]:
    """List a page of products; the monolith asks the inventory about each of them."""
    with connection() as database:
        rows = database.execute("SELECT sku, name, price, available FROM product ORDER BY sku LIMIT %s", (PAGE,))
        page = rows.fetchall()
    return {"products": [with_stock(row) for row in page]}


@app.get("/products/<int:sku>")
def product(sku: int) -> dict[str, Any]:
    """Show one product."""
    with connection() as database:
        row = database.execute("SELECT sku, name, price, available FROM product WHERE sku = %s", (sku,)).fetchone()
    if row is None:
        raise RefusedError(f"no product {sku}", 404)
    return with_stock(row)


def with_stock(row: dict[str, Any]) -> dict[str, Any]:
    """Add whether it is to be had."""
    if DECOUPLED:
        work(2)
        return row
    return {**row, "available": call_grpc("inventory", "Level", {"sku": row["sku"]})["units"] > 0}


if __name__ == "__main__":
    serve_http(app)
