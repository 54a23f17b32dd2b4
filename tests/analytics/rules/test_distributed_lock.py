"""Locks are found with what they wait for and whom they make wait, and other statements are none."""

from __future__ import annotations

import random

import pytest

from analytics.rules.distributed_lock import RULE, Limits
from tests.analytics.clean_scripts import clean_script, clean_subject
from tests.analytics.planted import SEEDS, found
from tests.analytics.scripts import Ask, Sql, Work, script_subject, writes
from tests.analytics.shop import shop, truth

ADVISORY = "SELECT pg_advisory_xact_lock(42)"
ROW = "SELECT * FROM stock WHERE sku = ? FOR UPDATE"


def locked(text: str, wait: float = 1, *, before: bool = False) -> Ask:
    """Stock takes a lock and calls shipping, before it commits or ``before`` it takes the lock."""
    ship = Ask("shipping", "POST /ship", (Work(20),))
    inside = (Sql("BEGIN"), Sql(text, wait), writes("stock"), *(() if before else (ship,)), Sql("COMMIT"))
    return Ask("gateway", "POST /", (Ask("stock", "POST /take", (*((ship,) if before else ()), *inside)),))


@pytest.mark.parametrize("text", [ADVISORY, ROW])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_lock_is_found(seed: int, text: str) -> None:
    """With who holds it, whom it calls meanwhile, and for how long."""
    chance = random.Random(seed)
    requests = [*clean_script(seed), *[locked(text, chance.uniform(0, 9)) for _ in range(20)]]
    chance.shuffle(requests)
    (finding,) = found(RULE, script_subject(requests))
    assert (finding.services, finding.edges) == (("stock",), ("stock->shipping",))
    assert finding.severity == "warning"
    assert finding.evidence["locks"] == 20
    assert finding.evidence["held_while_calling_share"] == 1.0
    assert 20 < float(finding.evidence["held_ms"] or 0) < 30
    assert "before it calls shipping" in finding.advice
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """They read, write and commit."""
    assert RULE.find(clean_subject(seed), Limits()) == []


@pytest.mark.parametrize(
    ("text", "system", "count"),
    [
        ("SELECT GET_LOCK('x', 10)", "mysql", 1),
        ("EXEC sp_getapplock @Resource = 'x'", "mssql", 1),
        ("SET lock:7 token NX PX 30000", "redis", 1),
        ("SETNX lock:7 token", "redis", 1),
        ("EVALSHA 9 if redis.call('exists') then redis.call('pexpire')", "redis", 1),
        ("LOCK TABLES stock WRITE", "mysql", 1),
        ("SELECT 1 FROM t FOR NO KEY UPDATE", "postgresql", 1),
        ("SELECT id FROM job ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1", "postgresql", 0),
        ("SELECT * FROM locks", "postgresql", 0),
        ("SELECT pg_advisory_unlock(42)", "postgresql", 0),
        ("SET lock:7 token PX 30000", "redis", 0),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET x = 1", "postgresql", 0),
        ("UPDATE t SET nx = 1", "postgresql", 0),
    ],
)
def test_what_is_a_lock(text: str, system: str, count: int) -> None:
    """Of each database, and what only looks like one."""
    request = Ask("stock", "POST /take", (Sql(text, 2, also={"db_system": system}), Work(2)))
    assert len(RULE.find(script_subject([request] * 5), Limits())) == count


@pytest.mark.parametrize("name", ["RedissonLock.tryLock", "acquire_lock", "/v3lockpb.Lock/Lock", "Redlock"])
def test_locks_of_libraries_are_found_by_name(name: str) -> None:
    """In spans that are no statement."""
    request = Ask("stock", "POST /take", (Work(30, name), Work(2)))
    (finding,) = RULE.find(script_subject([request] * 5), Limits())
    assert (finding.services, finding.severity) == (("stock",), "critical")


def test_names_that_only_speak_of_locks_are_none() -> None:
    """An account that is locked, a lock that is given back, a block."""
    steps = tuple(Work(5, name) for name in ("POST /accounts/lock", "unlock", "GET /blocks", "clock"))
    assert RULE.find(script_subject([Ask("stock", "POST /take", steps)] * 5), Limits()) == []


def test_a_row_lock_that_nobody_waits_for_is_information() -> None:
    """Waits, or calls under the lock, make it more."""
    for request, severity in (
        (locked(ROW, 0.2, before=True), "info"),
        (locked(ROW, 0.2), "warning"),
        (locked(ROW, 4, before=True), "warning"),
        (locked(ROW, 40, before=True), "critical"),
    ):
        (finding,) = RULE.find(script_subject([request] * 5), Limits())
        assert finding.severity == severity


def test_what_is_called_before_or_after_the_lock_is_not_held_up() -> None:
    """Until the commit, the unlock, or the end of the request."""
    ship = Ask("shipping", "POST /ship", (Work(20),))
    free = Sql("SELECT pg_advisory_unlock(42)")
    lock = Sql("SELECT pg_advisory_lock(42)")
    for steps, calling in (
        ((lock, free, ship), 0.0),
        ((lock, ship), 1.0),
        ((ship, lock), 0.0),
        ((lock, ship, free), 1),
    ):
        (finding,) = RULE.find(script_subject([Ask("stock", "POST /take", steps)] * 5), Limits())
        assert finding.evidence["held_while_calling_share"] == calling


def test_nothing_is_said_of_nothing() -> None:
    """No spans, and no locks."""
    assert RULE.find(script_subject([]), Limits()) == []


@pytest.mark.parametrize("state", ["monolith", "decoupled", "incident"])
def test_what_is_true_of_the_shop_is_found(state: str) -> None:
    """The services that lock, and nobody else."""
    wanted = [(lock["service"],) for lock in truth(state)["distributed_locks"]]
    findings = RULE.find(shop(state), Limits())
    assert [finding.services for finding in findings] == wanted
    assert all(finding.edges == ("inventory->shipping",) for finding in findings)
