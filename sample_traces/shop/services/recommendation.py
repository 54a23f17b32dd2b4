"""What goes with what."""

from __future__ import annotations

from typing import Any

from sample_traces.shop.calls import CallFailedError, call_http
from sample_traces.shop.database import connection
from sample_traces.shop.runtime import DECOUPLED, fault, work
from sample_traces.shop.serving import serve_grpc

# Straight out of the tables of checkout and catalogue.
BOUGHT_TOGETHER = """
SELECT p.sku FROM product AS p LEFT JOIN order_line AS l ON l.sku = p.sku
WHERE p.sku <> %s AND p.sku BETWEEN %s AND %s GROUP BY p.sku ORDER BY count(l.order_id) DESC LIMIT 2
"""
OWN_SUMMARY = "SELECT other AS sku FROM also_bought WHERE sku = %s ORDER BY times DESC LIMIT 2"
NEIGHBOURS = 10


def recommend(request: dict[str, Any]) -> dict[str, Any]:
    """Name two products that go with one; the monolith fetches each from the catalogue."""
    sku, trouble = request["sku"], fault()
    work(trouble.hold_s * 1000 if trouble else 4)
    if trouble and trouble.kind == "error":
        raise CallFailedError("the model is not loaded")
    with connection() as database:
        if DECOUPLED:
            return {"products": database.execute(OWN_SUMMARY, (sku,)).fetchall()}
        rows = database.execute(BOUGHT_TOGETHER, (sku, sku - NEIGHBOURS, sku + NEIGHBOURS)).fetchall()
    return {"products": [call_http("catalog", "GET", f"/products/{row['sku']}") for row in rows]}


if __name__ == "__main__":
    serve_grpc({"Recommend": recommend})
