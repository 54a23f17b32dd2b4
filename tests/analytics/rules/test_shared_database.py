"""Databases that services share are found, shared hosts told apart from them, and names of files never compared."""

from __future__ import annotations

import random
from typing import Any

import pytest

from analytics.rules.shared_database import RULE, Limits
from tests.analytics.clean_scripts import clean_script, clean_subject
from tests.analytics.planted import SEEDS, found
from tests.analytics.scripts import Ask, Sql, reads, script_subject, writes
from tests.analytics.shop import shop, truth

SHARED = {"db_namespace": "shop"}


def use(service: str, table: str, **also: Any) -> Ask:
    """A request to a service that reads a table of the database ``shop``."""
    return Ask(service, "GET /", (reads(table, **SHARED | also),))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_shared_table_is_found(seed: int) -> None:
    """With who shares what, and whose it should be."""
    chance = random.Random(seed)
    writer = Ask("billing", "POST /", (Sql("INSERT INTO invoice VALUES (?)", also=SHARED),))
    requests = [*clean_script(seed), *[use("reports", "invoice")] * 10, *[writer] * 10]
    chance.shuffle(requests)
    (finding,) = [one for one in found(RULE, script_subject(requests)) if one.severity != "info"]
    assert finding.services == ("billing", "reports")
    assert finding.edges == ("billing->postgresql db/shop", "reports->postgresql db/shop")
    assert finding.severity == "warning"
    assert finding.evidence["tables"] == "invoice (billing, reports)"
    assert finding.evidence["writers_of_a_table"] == 1
    assert "let billing own invoice, and reports ask billing" in finding.advice
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """Databases of their own on one host are information about that host."""
    (finding,) = RULE.find(clean_subject(seed), Limits())
    assert (finding.severity, finding.edges) == ("info", ())
    assert "on one host" in finding.title


def test_a_shared_host_is_no_shared_database() -> None:
    """What differs is only the namespace, or only the address."""
    one = [use("billing", "invoice"), use("reports", "report")] * 10
    (together,) = RULE.find(script_subject(one), Limits())
    assert (together.severity, together.services) == ("warning", ("billing", "reports"))
    apart = [use("billing", "invoice"), use("reports", "report", db_namespace="reports")] * 10
    (host,) = RULE.find(script_subject(apart), Limits())
    assert (host.severity, host.services, host.evidence["namespaces"]) == ("info", ("billing", "reports"), 2)
    elsewhere = [use("billing", "invoice"), use("reports", "invoice", server_address="db2")] * 10
    assert RULE.find(script_subject(elsewhere), Limits()) == []


def test_two_writers_of_one_table_are_critical() -> None:
    """Who reads only is none, even in a statement that writes elsewhere."""
    copy = Sql("INSERT INTO archive SELECT * FROM invoice", also=SHARED)
    write = Sql("UPDATE invoice SET paid = true WHERE id = ?", also=SHARED)
    for second, severity in ((copy, "warning"), (write, "critical")):
        requests = [Ask("billing", "POST /", (write,)), Ask("reports", "POST /", (second,))] * 10
        (finding,) = found(RULE, script_subject(requests))
        assert (finding.severity, finding.evidence["shared_tables"]) == (severity, 1)


def test_tables_weigh_more() -> None:
    """No table, a table that both read, a table that both write."""
    scores = []
    for one, other in (("a", "b"), ("a", "a")):
        scores += [found(RULE, script_subject([use("x", one), use("y", other)] * 10))[0].score]
    both = [Ask(name, "POST /", (Sql("DELETE FROM a", also=SHARED),)) for name in ("x", "y")]
    scores.append(found(RULE, script_subject(both * 10))[0].score)
    assert scores == sorted(set(scores))


@pytest.mark.parametrize("system", ["sqlite", "h2"])
def test_databases_inside_a_process_are_not_compared(system: str) -> None:
    """Equal files, tables and names of two services are two databases."""
    also = {"db_system": system, "server_address": None, "db_namespace": "main"}
    assert RULE.find(script_subject([use("x", "t", **also), use("y", "t", **also)] * 10), Limits()) == []


@pytest.mark.parametrize(
    ("also", "missing"),
    [
        ({"server_address": None}, "server.address"),
        ({"server_address": None, "db_namespace": None}, "server.address"),
        ({"db_namespace": None}, "db.namespace"),
        ({"server_address": "localhost"}, "no host is known"),
    ],
)
def test_a_database_that_is_not_named_is_unknown(also: dict[str, Any], missing: str) -> None:
    """It says which attribute is missing."""
    (finding,) = RULE.find(script_subject([use("x", "a", **also), use("y", "b", **also)] * 10), Limits())
    assert finding.status == "unknown"
    assert missing in finding.title


@pytest.mark.parametrize("also", [{"db_namespace": None}, {"server_address": "127.0.0.1"}])
def test_a_shared_table_proves_what_names_leave_open(also: dict[str, Any]) -> None:
    """One table at one address, whatever the namespace or the host."""
    (finding,) = RULE.find(script_subject([use("x", "a", **also), use("y", "a", **also)] * 10), Limits())
    assert (finding.status, finding.services) == ("found", ("x", "y"))


def test_a_port_that_is_left_out_is_the_usual_one() -> None:
    """5432 of PostgreSQL; another port is another database."""
    for port, count in ((5432, 1), (5433, 0)):
        requests = [use("x", "a"), use("y", "a", server_port=port)] * 10
        assert len(found(RULE, script_subject(requests))) == count


def test_who_looked_once_is_no_user() -> None:
    """Four statements are too few to tell."""
    (finding,) = RULE.find(script_subject([*[use("x", "a")] * 10, *[use("y", "a")] * 4]), Limits())
    assert finding.status == "unknown"
    assert len(found(RULE, script_subject([*[use("x", "a")] * 10, *[use("y", "a")] * 5]))) == 1


def test_redis_without_a_number_is_its_database_0() -> None:
    """Two services on one Redis share it, on two databases of it they do not."""
    also = {"db_system": "redis", "db_namespace": None}
    for second, severity in ((None, "warning"), ("1", "info")):
        requests = [use("x", "a", **also), use("y", "a", **also | {"db_namespace": second})] * 10
        (finding,) = found(RULE, script_subject(requests))
        assert finding.severity == severity


def test_no_database_no_word() -> None:
    """Neither of services without one, nor of none at all."""
    assert RULE.find(script_subject([Ask("x"), Ask("y")] * 10), Limits()) == []
    assert RULE.find(script_subject([]), Limits()) == []
    assert RULE.find(script_subject([Ask("x", steps=(writes("t"),))] * 10), Limits()) == []


@pytest.mark.parametrize("state", ["monolith", "decoupled", "incident"])
def test_what_is_true_of_the_shop_is_found(state: str) -> None:
    """Every database with several services, and its shared tables."""
    wanted = [db for db in truth(state)["databases"] if len(db["services"]) > 1]
    tables = {table["table"]: sorted(table["services"]) for table in truth(state)["shared_tables"]}
    findings = found(RULE, shop(state))
    assert [finding.services for finding in findings] == [tuple(sorted(db["services"])) for db in wanted]
    told = "; ".join(str(finding.evidence["tables"]) for finding in findings)
    assert {f"{table} ({', '.join(users)})" for table, users in tables.items()} == {
        part for part in told.split("; ") if part
    }
    assert [finding.severity for finding in findings] == ["critical" for _ in wanted]
