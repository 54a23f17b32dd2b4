"""A market of twelve services: parallel and overlapping calls, messages beside the path, databases shared and not.

At its load every service is busy for a tenth to a half of its time, so that what goes wrong in one is felt by others.
"""

from __future__ import annotations

from tests.analytics.systems.simulator import (
    Call,
    Database,
    Endpoint,
    Maybe,
    Parallel,
    Query,
    Repeat,
    Send,
    Service,
    Steps,
    System,
    Time,
    Transaction,
    Work,
)


def _work(mean_ms: float) -> Work:
    return Work(Time(mean_ms, 0.5))


def _select(database: str, table: str, mean_ms: float) -> Query:
    return Query(database, Time(mean_ms, 0.5), f"SELECT * FROM {table} WHERE id = ?", table)


def _insert(database: str, table: str, mean_ms: float) -> Query:
    return Query(database, Time(mean_ms, 0.5), f"INSERT INTO {table} VALUES (?)", table)


_HOME: Steps = (
    _work(1.5),
    Call("auth", "GET /session"),
    Parallel(
        (
            (Call("catalog", "GET /products"),),
            (Call("cart", "GET /cart"),),
            # Begins while the other two run and, as a rule, ends last.
            (_work(2), Call("recommendation", "recommend.Similar")),
        )
    ),
    _work(2),
)
_ORDER: Steps = (
    _work(1.5),
    Call("auth", "GET /session"),
    Call("cart", "GET /cart"),
    Call("orders", "POST /orders"),
    _work(1),
)
_PLACE: Steps = (
    _work(2),
    Call("stock", "stock.Reserve"),
    Parallel(((Call("payment", "POST /payments"),), (Call("shipping", "POST /quotes"),))),
    Transaction("orders-db", "order-number", (_insert("orders-db", "orders", 1.5),)),
    Send("order-events", (("mail", "mail order"), ("shipping", "ship order"))),
    _work(1),
)
_SEARCH: Steps = (
    _work(1),
    Call("search", "GET /search"),
    Parallel(((Call("pricing", "pricing.List"),), (Call("stock", "stock.Level"),))),
)

_SERVICES = (
    Service(
        "gateway", {"GET /home": _HOME, "POST /orders": _ORDER, "GET /search": _SEARCH},
        instances=2, workers=32, cores=1,
    ),
    Service(
        "auth", {"GET /session": (_work(1.5), _select("sessions", "session", 1))}, workers=16, cores=1, connections=8
    ),
    Service(
        "catalog",
        {
            "GET /products": (
                _work(2),
                _select("catalog-db", "product", 5),
                Parallel(((Call("pricing", "pricing.List"),), (_work(1), Call("stock", "stock.Level")))),
                _work(1),
            ),
            "GET /product": (_work(1), _select("catalog-db", "product", 2)),
        },
        instances=2, workers=16, cores=1, connections=6,
    ),
    Service(
        "pricing", {"pricing.List": (_work(3), Maybe(0.5, (_select("catalog-db", "price", 3),)))},
        workers=16, cores=1, connections=6, protocol="grpc",
    ),
    Service(
        "stock",
        {
            "stock.Level": (_work(1), _select("stock-db", "stock", 2)),
            "stock.Reserve": (_work(1.5), Transaction("stock-db", "stock", (_work(1),), Time(1.5, 0.4), "stock")),
        },
        workers=16, cores=1, connections=8, protocol="grpc",
    ),
    Service(
        "cart",
        {"GET /cart": (_work(1.5), _select("carts", "cart_line", 4), Call("pricing", "pricing.List"), _work(1))},
        workers=16, cores=1, connections=6,
    ),
    Service(
        "recommendation",
        {"recommend.Similar": (_work(6), Repeat(2, (Call("catalog", "GET /product"),)), _work(2))},
        instances=2, workers=16, cores=1, protocol="grpc",
    ),
    Service("search", {"GET /search": (_work(4), _select("index", "product", 9))}, workers=16, cores=1, connections=8),
    Service("orders", {"POST /orders": _PLACE}, workers=16, cores=1, connections=6),
    Service(
        "payment", {"POST /payments": (_work(3), _insert("orders-db", "payment", 4), Work(Time(8, 0.3), cpu=False))},
        workers=16, cores=1, connections=6,
    ),
    Service(
        "shipping",
        {
            "POST /quotes": (_work(3), Work(Time(4, 0.3), cpu=False)),
            "ship order": (_work(4), _insert("orders-db", "parcel", 2)),
        },
        workers=16, cores=1, connections=6,
    ),
    Service("mail", {"mail order": (_work(5), Work(Time(20, 0.3), cpu=False))}, workers=16, cores=1),
)  # fmt: skip

DATABASES = {
    "sessions": "redis",
    "catalog-db": "postgresql",
    "stock-db": "postgresql",
    "carts": "mongodb",
    "index": "elasticsearch",
    "orders-db": "postgresql",
}
"""Their systems by name."""

USERS = {
    "sessions": {"auth"},
    "catalog-db": {"catalog", "pricing"},
    "stock-db": {"stock"},
    "carts": {"cart"},
    "index": {"search"},
    "orders-db": {"orders", "payment", "shipping"},
}
"""The services that use each database."""

MARKET = System(
    services=_SERVICES,
    databases=tuple(Database(name, system, capacity=16) for name, system in DATABASES.items()),
    endpoints=(
        Endpoint("gateway", "GET /home", levels=((6.0, 30.0),)),
        Endpoint("gateway", "POST /orders", levels=((6.0, 15.0),)),
        Endpoint("gateway", "GET /search", levels=((6.0, 15.0),)),
    ),
)
"""Some 360 requests in 6 seconds."""


def node_name(database: str) -> str:
    """Return what the analysis calls a database."""
    return f"{DATABASES[database]} {database}-host/{database}"
