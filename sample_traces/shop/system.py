"""The shop as it is meant to be: what the services, the recorder and the truth files are all driven by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["sync", "async"]
Protocol = Literal["http", "grpc", "rabbitmq"]
FaultKind = Literal["slow", "error"]


@dataclass(frozen=True, slots=True)
class Service:
    """One service: how many processes it has, how it is spoken to, and its share of database connections."""

    name: str
    protocol: Protocol = "http"
    instances: int = 1
    pool_size: int = 8
    current_names: bool = True
    """Whether its attributes bear the names of today's semantic conventions, or those of before 2023."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One service's use of another, with what protects the caller; ``queue`` names an asynchronous one."""

    caller: str
    callee: str
    protocol: Protocol = "http"
    queue: str = ""
    timeout_s: float | None = None
    attempts: int = 1
    breaker: bool = False

    @property
    def mode(self) -> Mode:
        """Say whether the caller waits."""
        return "async" if self.queue else "sync"


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong in a service, from and to which second of the load; ``hold_s`` is how long work then takes."""

    service: str
    kind: FaultKind
    from_s: float
    to_s: float
    hold_s: float = 0.0
    starved: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Services that get a new version together, at a second of the load."""

    at_s: float
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class State:
    """The whole shop in one of its states."""

    name: str
    services: tuple[Service, ...]
    edges: tuple[Edge, ...]
    databases: dict[str, str]
    """Which database each service keeps its data in."""
    shared_tables: dict[str, tuple[str, ...]]
    users: tuple[int, ...]
    """People in the shop, one number for every step of the day."""
    step_s: float = 20.0
    pool_timeout_s: float = 10.0
    re_entry: tuple[str, ...] = ()
    """A chain of calls within one request that comes back to where it began."""
    chatty: tuple[tuple[str, str, str], ...] = ()
    """Caller, callee and operation of what is called once an item."""
    two_phase_commit: tuple[str, ...] = ()
    lock: tuple[str, str] | None = None
    compensations: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    lock_step: tuple[str, ...] = field(default=())

    @property
    def environment(self) -> str:
        """The deployment environment that all telemetry of this state carries."""
        return f"shop-{self.name}"

    @property
    def duration_s(self) -> float:
        """How long there is load."""
        return len(self.users) * self.step_s

    @property
    def has_queues(self) -> bool:
        """Say whether a message broker is part of it."""
        return any(edge.queue for edge in self.edges)

    def service(self, name: str) -> Service:
        """Return the service of that name."""
        return next(service for service in self.services if service.name == name)

    def edge(self, caller: str, callee: str) -> Edge:
        """Return the synchronous edge between two services; a call that is not in the description is an error."""
        return next(e for e in self.edges if (e.caller, e.callee, e.mode) == (caller, callee, "sync"))

    def version(self, service: str, deployments: int) -> str:
        """Return a service's version after so many deployments."""
        major = 1 + [each.name for each in self.services].index(service) % 4
        return f"{major}.{deployments}.0"

    def fault(self, service: str, second: float) -> Fault | None:
        """Return what is wrong with a service at a second of the load."""
        return next((f for f in self.faults if f.service == service and f.from_s <= second < f.to_s), None)


SERVICES = (
    Service("gateway", pool_size=0),
    Service("catalog", instances=2, current_names=False),
    Service("cart"),
    Service("checkout"),
    Service("payment", pool_size=2),
    Service("inventory", "grpc", instances=2),
    Service("shipping", current_names=False),
    Service("notification", current_names=False),
    Service("recommendation", "grpc"),
)
KEEPS_DATA = tuple(service.name for service in SERVICES if service.pool_size)

SYNCHRONOUS = (
    Edge("gateway", "catalog"),
    Edge("gateway", "recommendation", "grpc"),
    Edge("gateway", "cart"),
    Edge("gateway", "checkout"),
    Edge("recommendation", "catalog"),
    Edge("cart", "catalog"),
    Edge("catalog", "inventory", "grpc"),
    Edge("checkout", "cart"),
    Edge("checkout", "payment", attempts=3),
    Edge("checkout", "shipping"),
    Edge("payment", "inventory", "grpc"),
    Edge("inventory", "shipping", attempts=3),
    Edge("shipping", "checkout"),
    Edge("shipping", "notification"),
)

PROTECTED = (
    Edge("gateway", "catalog", timeout_s=2.0, breaker=True),
    Edge("gateway", "recommendation", "grpc", timeout_s=1.0, breaker=True),
    Edge("gateway", "cart", timeout_s=2.0, breaker=True),
    Edge("gateway", "checkout", timeout_s=2.0, breaker=True),
    Edge("checkout", "inventory", "rabbitmq", queue="inventory.reserve_stock"),
    Edge("inventory", "payment", "rabbitmq", queue="payment.charge"),
    Edge("inventory", "checkout", "rabbitmq", queue="checkout.cancel_order"),
    Edge("payment", "shipping", "rabbitmq", queue="shipping.dispatch"),
    Edge("payment", "inventory", "rabbitmq", queue="inventory.release_stock"),
    Edge("payment", "checkout", "rabbitmq", queue="checkout.cancel_order"),
    Edge("shipping", "checkout", "rabbitmq", queue="checkout.complete_order"),
    Edge("shipping", "notification", "rabbitmq", queue="notification.send"),
    Edge("shipping", "payment", "rabbitmq", queue="payment.refund_payment"),
)

SHARED_TABLES = {
    "product": ("catalog", "recommendation"),
    "customer": ("checkout", "payment", "notification"),
    "cart_line": ("cart", "checkout"),
    "order_line": ("checkout", "recommendation"),
}
LOCK_STEP = ("checkout", "payment", "shipping")

MONOLITH = State(
    name="monolith",
    services=SERVICES,
    edges=SYNCHRONOUS,
    databases=dict.fromkeys(KEEPS_DATA, "shop"),
    shared_tables=SHARED_TABLES,
    users=(2, 3, 4, 5, 6, 8, 8, 6, 5, 4, 2),
    re_entry=("checkout", "payment", "inventory", "shipping", "checkout"),
    chatty=(
        ("catalog", "inventory", "/inventory.Inventory/Level"),
        ("cart", "catalog", "GET /products/<int:sku>"),
    ),
    two_phase_commit=("checkout", "payment"),
    lock=("inventory", "pg_advisory_xact_lock"),
    deployments=(
        Deployment(25, LOCK_STEP),
        Deployment(45, ("recommendation",)),
        Deployment(65, LOCK_STEP),
        Deployment(85, ("cart",)),
        Deployment(105, LOCK_STEP),
        Deployment(125, ("notification",)),
        Deployment(145, LOCK_STEP),
        Deployment(165, ("catalog",)),
        Deployment(185, LOCK_STEP),
    ),
    lock_step=LOCK_STEP,
)

DECOUPLED = State(
    name="decoupled",
    services=SERVICES,
    edges=PROTECTED,
    databases={name: name for name in KEEPS_DATA},
    shared_tables={},
    users=(2, 3, 4, 6, 9, 12, 12, 9, 6, 4, 2),
    compensations=("release_stock", "cancel_order", "refund_payment"),
    faults=(
        Fault("recommendation", "error", 96, 122),
        Fault("recommendation", "slow", 134, 154, hold_s=2.5),
    ),
    deployments=(
        Deployment(20, ("checkout",)),
        Deployment(36, ("catalog",)),
        Deployment(49, ("payment",)),
        Deployment(66, ("shipping",)),
        Deployment(81, ("inventory",)),
        Deployment(94, ("checkout",)),
        Deployment(112, ("cart",)),
        Deployment(127, ("payment",)),
        Deployment(141, ("notification",)),
        Deployment(158, ("gateway",)),
        Deployment(172, ("shipping",)),
        Deployment(190, ("recommendation",)),
    ),
)

POOL = "db.client.connection"
INCIDENT = State(
    name="incident",
    services=SERVICES,
    edges=SYNCHRONOUS,
    databases=dict.fromkeys(KEEPS_DATA, "shop"),
    shared_tables=SHARED_TABLES,
    users=(2, 3, 5, 7, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 8, 6, 4),
    pool_timeout_s=8.0,
    re_entry=MONOLITH.re_entry,
    chatty=MONOLITH.chatty,
    two_phase_commit=MONOLITH.two_phase_commit,
    lock=MONOLITH.lock,
    faults=(
        Fault("payment", "slow", 80, 150, hold_s=2.0, starved=POOL),
        Fault("payment", "error", 150, 270, hold_s=2.5, starved=POOL),
    ),
)

STATES = {state.name: state for state in (MONOLITH, DECOUPLED, INCIDENT)}
