"""A service's pool of PostgreSQL connections, with the metrics that semantic conventions ask of a pool."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from psycopg import sql
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from sample_traces.shop.runtime import SERVICE, STATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

Row = dict[str, Any]

DATABASE = STATE.databases[SERVICE.name]
# Older instrumentation says "connections", counts them as "usage" and waits in milliseconds.
NAMES = "db.client.connection" if SERVICE.current_names else "db.client.connections"
COUNT = "count" if SERVICE.current_names else "usage"
POOL_KEY, STATE_KEY = (f"{NAMES}.pool.name", f"{NAMES}.state") if SERVICE.current_names else ("pool.name", "state")
WAIT_UNIT, WAIT_SCALE = ("s", 1) if SERVICE.current_names else ("ms", 1000)

# Every statement is its own transaction unless it says BEGIN, so that each shows as a span.
pool: ConnectionPool[Connection[Row]] = ConnectionPool(
    f"{os.environ['SHOP_POSTGRES']} dbname={DATABASE}",
    min_size=min(2, SERVICE.pool_size),
    max_size=SERVICE.pool_size,
    timeout=STATE.pool_timeout_s,
    kwargs={"autocommit": True, "row_factory": dict_row},
    open=True,
)
pool.wait()


@contextmanager
def connection() -> Iterator[Connection[Row]]:
    """Borrow a connection, waiting for one if need be."""
    asked = time.perf_counter()
    with pool.connection() as borrowed:
        waited.record((time.perf_counter() - asked) * WAIT_SCALE, LABELS)
        yield borrowed


def transaction_id(statement: sql.SQL, number: int) -> sql.Composed:
    """Put the name of a prepared transaction into a statement: PostgreSQL takes no parameter there."""
    return statement.format(sql.Literal(f"{SERVICE.name}-{number}"))


def prepare(number: int) -> sql.Composed:
    """First phase: what this transaction did is safe, and waits for the word."""
    return transaction_id(sql.SQL("PREPARE TRANSACTION {}"), number)


def commit_prepared(number: int) -> sql.Composed:
    """Second phase, all being well."""
    return transaction_id(sql.SQL("COMMIT PREPARED {}"), number)


def roll_back_prepared(number: int) -> sql.Composed:
    """Second phase, if another participant said no."""
    return transaction_id(sql.SQL("ROLLBACK PREPARED {}"), number)


def _used_and_idle(_options: CallbackOptions) -> list[Observation]:
    stats = pool.get_stats()
    idle = stats["pool_available"]
    counts = {"used": stats["pool_size"] - idle, "idle": idle}
    return [Observation(count, {**LABELS, STATE_KEY: state}) for state, count in counts.items()]


def _pending(_options: CallbackOptions) -> list[Observation]:
    return [Observation(pool.get_stats()["requests_waiting"], LABELS)]


def _most(_options: CallbackOptions) -> list[Observation]:
    return [Observation(SERVICE.pool_size, LABELS)]


LABELS = {POOL_KEY: DATABASE}
meter = metrics.get_meter("shop.database")
meter.create_observable_up_down_counter(f"{NAMES}.{COUNT}", [_used_and_idle], unit="{connection}")
meter.create_observable_up_down_counter(f"{NAMES}.max", [_most], unit="{connection}")
meter.create_observable_up_down_counter(f"{NAMES}.pending_requests", [_pending], unit="{request}")
waited = meter.create_histogram(f"{NAMES}.wait_time", unit=WAIT_UNIT)
