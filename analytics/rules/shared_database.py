"""shared-database: several services use one database, so none can change its tables, or fail, alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from analytics.findings import Finding, Rule, unknown_finding
from analytics.rules import requisites

if TYPE_CHECKING:
    from analytics.findings import Evidence, Subject

NAME = "shared-database"
_EMBEDDED = ("sqlite", "h2", "hsqldb", "derby", "duckdb", "leveldb", "rocksdb")
"""Databases inside a process: an equal name is another file or another memory."""
_DEFAULT_NAMESPACES = {"redis": "0", "valkey": "0", "memcached": "", "elasticsearch": "", "opensearch": ""}
"""What a span without a namespace means: database 0 of Redis; the others have one only."""
_DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mongodb": 27017, "redis": 6379}
"""Semantic conventions let a span leave its port out when it is this one."""
_LOOPBACK = r"^(?:localhost|127\.|::1|/)"
"""Addresses that tell a database apart on one host only."""
_PLACE = ("system", "address", "port", "namespace")
_TABLES_IN_TEXT = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """``services`` on one database are too many (methods §5: two).

    ``writers`` of one table make it critical (two: then nobody can keep its rules). ``calls``: a service with fewer
    statements does not count, so that somebody who looked once is no user (our own choice).
    """

    services: int = 2
    writers: int = 2
    calls: int = 5


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each database that services share, one for each host that they share, and what is unknown.

    Nothing is said of databases inside a process (SQLite, H2, ...).
    """
    uses = _uses(subject)
    users = _users(uses).filter(pl.col("services") >= limits.services)
    uncertain: list[str] = []
    found: list[Finding] = []
    for place in users.iter_rows(named=True):
        used = uses.filter(_at(place))
        users_of_it = used.filter(pl.col("service").is_in(_services(used, limits.calls)))
        missing = _missing(place, used, users_of_it, limits)
        if missing:
            uncertain.append(missing)
        else:
            found.append(_shared(subject, limits, place, users_of_it))
    found += _shared_hosts(uses, limits)
    if uncertain:
        found.append(unknown_finding(NAME, "; ".join(uncertain), databases=len(uncertain), calls_limit=limits.calls))
    return found


def _uses(subject: Subject) -> pl.DataFrame:
    """Return who uses which database how: one row a service, place and statement, with the number of ``calls``.

    ``hosts`` are the codes of the hosts that the service ran on, ``tables`` and ``written`` lists of names.
    """
    forest, statements = subject.analysed.forest, subject.statements
    rows = statements.rows
    named = ("db_system", "server_address", "peer_service", "server_port", "db_namespace")
    spans = pl.DataFrame(
        [*(forest.column(name, rows) for name in named), pl.Series("code", statements.code)],
    ).with_columns(service_code=pl.Series(forest.service[rows]), host=pl.Series(forest.host[rows]))
    grouped = spans.group_by(*named, "service_code", "code").agg(calls=pl.len(), hosts=pl.col("host").unique())
    texts = statements.texts.select("tables", "written", "writes").with_row_index("code")
    services = forest.origins.services.select("service_code", "service")
    placed = grouped.with_columns(_place()).filter(~pl.col("system").is_in(_EMBEDDED))
    kept = placed.with_columns(pl.col("code").cast(pl.UInt32)).join(texts, on="code").join(services, on="service_code")
    return kept.select(*_PLACE, "service", "code", "calls", "hosts", "tables", "written", "writes").sort(
        *_PLACE, "service", "code"
    )


def _place() -> list[pl.Expr]:
    def text(name: str) -> pl.Expr:
        return pl.col(name).cast(pl.String).replace("", None)

    system = text("db_system").str.to_lowercase()
    ports = system.replace_strict(_DEFAULT_PORTS, default=None, return_dtype=pl.Int32)
    namespaces = system.replace_strict(_DEFAULT_NAMESPACES, default=None, return_dtype=pl.String)
    return [
        system.fill_null("").alias("system"),
        pl.coalesce(text("server_address"), text("peer_service")).str.to_lowercase().alias("address"),
        pl.coalesce("server_port", ports).alias("port"),
        pl.coalesce(text("db_namespace"), namespaces).alias("namespace"),
    ]


def _users(uses: pl.DataFrame) -> pl.DataFrame:
    """Return each place with how many services use it."""
    return uses.group_by(_PLACE, maintain_order=True).agg(services=pl.col("service").n_unique())


def _at(place: dict[str, object]) -> pl.Expr:
    return pl.all_horizontal(pl.col(name).eq_missing(pl.lit(place[name])) for name in _PLACE)


def _missing(place: dict[str, object], every: pl.DataFrame, used: pl.DataFrame, limits: Limits) -> str:
    """Say what is missing to tell whether services share this database; nothing when they do."""
    names = ", ".join(_services(used))
    system = place["system"]
    if len(_services(used)) < limits.services:
        users = ", ".join(_services(every))
        return f"of {users} not {limits.services} sent {limits.calls} statements to {_describe(place)}"
    if place["address"] is None:
        return f"{names} use {_describe(place)} and their spans name no server.address"
    if _tables(used, limits).height:
        return ""
    if place["namespace"] is None:
        return f"{names} use {system} at {place['address']} and their spans name no db.namespace"
    if used.select(pl.col("address").str.contains(_LOOPBACK).any()).item() and not _one_host(used):
        return f"{names} use {_describe(place)}, an address of each host's own, and no host is known to run them all"
    return ""


def _one_host(used: pl.DataFrame) -> bool:
    """Tell whether some host runs several of the services."""
    hosts = used.select("service", "hosts").explode("hosts").unique()
    return bool(hosts["hosts"].is_duplicated().any())


def _services(used: pl.DataFrame, calls: int = 0) -> list[str]:
    """Return the services with at least so many calls, by name."""
    counted = used.group_by("service").agg(pl.col("calls").sum()).filter(pl.col("calls") >= calls)
    return counted["service"].sort().to_list()


def _tables(used: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """Return the tables that several services use: ``table``, ``users``, ``writers``, ``owner``, ``calls``.

    The owner is who writes it most, else who asks it most. Those with most writers come first.
    """
    touched = used.explode("tables").drop_nulls("tables").with_columns(
        wrote=pl.col("calls") * pl.col("tables").is_in(pl.col("written"))
    )  # fmt: skip
    by_service = touched.group_by("tables", "service").agg(pl.col("calls", "wrote").sum())
    ranked = by_service.sort("wrote", "calls", "service", descending=[True, True, False])
    tables = ranked.group_by("tables", maintain_order=True).agg(
        users=pl.col("service").sort(),
        writers=pl.col("service").filter(pl.col("wrote") > 0).sort(),
        owner=pl.col("service").first(),
        calls=pl.col("calls").sum(),
    )
    shared = tables.filter(pl.col("users").list.len() >= limits.services).rename({"tables": "table"})
    order = [pl.col("writers").list.len(), pl.col("calls"), pl.col("table")]
    return shared.sort(order, descending=[True, True, False])


def _shared(subject: Subject, limits: Limits, place: dict[str, object], used: pl.DataFrame) -> Finding:
    services, tables = _services(used), _tables(used, limits)
    contested = tables.filter(pl.col("writers").list.len() >= limits.writers)
    whole = float(used["calls"].sum())
    shares = [_calls_to(used, part) / whole for part in (tables, contested)]
    database = _describe(place)
    return Finding(
        rule=NAME,
        severity="critical" if contested.height else "warning",
        score=min(0.3 + 0.3 * shares[0] + 0.4 * shares[1], 1.0),
        title=f"{len(services)} services use the database {database}" + _shared_tables(tables),
        services=tuple(services),
        edges=tuple(f"{service}->{database}" for service in services),
        evidence=_evidence(limits, tables, services, shares),
        trace_ids=_trace_ids(subject, used, tables),
        advice=_advice(database, services, tables),
    )


def _shared_tables(tables: pl.DataFrame) -> str:
    count = tables.height
    return f", and {count} of its tables {'has' if count == 1 else 'have'} several users" if count else ""


def _calls_to(used: pl.DataFrame, tables: pl.DataFrame) -> float:
    """Return how many calls touch one of these tables."""
    touching = pl.col("tables").list.set_intersection(tables["table"].to_list()).list.len() > 0
    return float(used.filter(touching)["calls"].sum()) if tables.height else 0.0


def _evidence(limits: Limits, tables: pl.DataFrame, services: list[str], shares: list[float]) -> Evidence:
    writers = max(tables["writers"].list.len().to_list(), default=0)
    told = (f"{row['table']} ({', '.join(row['users'])})" for row in tables.iter_rows(named=True))
    return {
        "services": len(services),
        "services_limit": limits.services,
        "shared_tables": tables.height,
        "writers_of_a_table": writers,
        "writers_limit": limits.writers,
        "shared_table_share": shares[0],
        "calls_limit": limits.calls,
        "tables": "; ".join(told),
    }


def _trace_ids(subject: Subject, used: pl.DataFrame, tables: pl.DataFrame) -> tuple[str, ...]:
    """Return the traces in which most services use the shared tables, or the database where there are none."""
    statements, forest = subject.statements, subject.analysed.forest
    touching = used.with_columns(both=pl.col("tables").list.set_intersection(tables["table"].to_list()).list.len() > 0)
    chosen = touching.filter("both") if tables.height else used
    rows = statements.rows[pl.Series(statements.code).is_in(chosen["code"].unique().implode()).to_numpy()]
    pairs = pl.DataFrame({"trace": forest.trace[rows], "service": forest.service[rows]})
    counted = pairs.group_by("trace").agg(pl.col("service").n_unique())
    return subject.trace_ids(counted.sort("service", "trace", descending=[True, False])["trace"].head(5))


def _advice(database: str, services: list[str], tables: pl.DataFrame) -> str:
    own = (
        f"Give each of {', '.join(services)} a database of its own, or first a schema and a login of its own in"
        f" {database}"
    )
    if tables.is_empty():
        return f"{own}, so that one can change or fail without the others."
    moves = []
    for table in tables.head(_TABLES_IN_TEXT).iter_rows(named=True):
        others = [user for user in table["users"] if user != table["owner"]]
        moves.append(
            f"let {table['owner']} own {table['table']}, and {' and '.join(others)} ask {table['owner']} for it or keep"
            " a copy fed by its events"
        )
    return f"{own}: {'; '.join(moves)}."


def _shared_hosts(uses: pl.DataFrame, limits: Limits) -> list[Finding]:
    """Say which hosts have databases of several services that are apart from each other: information only."""
    apart = uses.drop_nulls(["address", "namespace"]).filter(~pl.col("address").str.contains(_LOOPBACK))
    places = apart.group_by(_PLACE).agg(pl.col("service").unique().sort())
    hosts = places.group_by("system", "address", "port").agg(
        namespaces=pl.col("namespace").unique().sort(), services=pl.col("service").explode().unique().sort()
    )
    several = hosts.filter(
        (pl.col("namespaces").list.len() > 1) & (pl.col("services").list.len() >= limits.services)
    ).sort("system", "address", "port")
    return [_host_finding(row, limits) for row in several.iter_rows(named=True)]


def _host_finding(row: dict[str, object], limits: Limits) -> Finding:
    services, namespaces = (list(row[name]) for name in ("services", "namespaces"))  # type: ignore[call-overload]
    where = f"{row['system']} at {row['address']}"
    return Finding(
        rule=NAME,
        severity="info",
        score=0.1,
        title=f"{len(services)} services have databases of their own on one host, {where}",
        services=tuple(services),
        evidence={"services": len(services), "services_limit": limits.services, "namespaces": len(namespaces)},
        advice=f"Only the host is shared: {where} is one point of failure and of load for {', '.join(services)}.",
    )


def _describe(place: dict[str, object]) -> str:
    """Name the database as the service graph does."""
    where = "/".join(str(place[name]) for name in ("address", "namespace") if place[name])
    return f"{place['system']} {where}".strip()


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.databases))
