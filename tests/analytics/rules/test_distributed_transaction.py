"""Two-phase commit is found in statements and in names, and prepared statements are something else."""

from __future__ import annotations

import random

import pytest

from analytics.rules.distributed_transaction import RULE, Limits
from tests.analytics.clean_scripts import clean_script, clean_subject
from tests.analytics.planted import SEEDS, found
from tests.analytics.scripts import Ask, Sql, Work, script_subject, writes
from tests.analytics.shop import shop, truth

POSTGRESQL = ("BEGIN", "PREPARE TRANSACTION 'x-1'", "COMMIT PREPARED 'x-1'")
MYSQL = ("XA START 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'")


def together(begin: str, prepare: str, commit: str, work: float = 5) -> Ask:
    """Orders and payment commit together; orders stays prepared while payment works."""
    pay = Ask("payment", "POST /pay", (Sql(begin), writes("bill"), Work(work), Sql(prepare)))
    decide = Ask("payment", "POST /decide", (Sql(commit),))
    return Ask("orders", "POST /orders", (Sql(begin), writes("purchase"), Sql(prepare), pay, Sql(commit), decide))


@pytest.mark.parametrize("words", [POSTGRESQL, MYSQL])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_two_phase_commit_is_found(seed: int, words: tuple[str, str, str]) -> None:
    """With the participants in their order, how long they stay prepared, and the saga's steps."""
    chance = random.Random(seed)
    requests = [*clean_script(seed), *[together(*words, work=20) for _ in range(10)]]
    chance.shuffle(requests)
    (finding,) = found(RULE, script_subject(requests))
    assert (finding.severity, finding.services) == ("critical", ("orders", "payment"))
    assert finding.edges == ("orders->payment",)
    assert (finding.evidence["transactions"], finding.evidence["participants"]) == (10, 2)
    assert float(finding.evidence["prepared_most_ms"] or 0) > 20
    assert "orders (purchase) commits alone" in finding.advice
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """They prepare statements and commit local transactions."""
    assert RULE.find(clean_subject(seed), Limits()) == []


@pytest.mark.parametrize(
    ("statement", "count"),
    [
        ("PREPARE foo AS SELECT 1", 0),
        ("PREPARE transaction_list AS SELECT 1", 0),
        ("EXECUTE foo(1)", 0),
        ("DEALLOCATE PREPARE foo", 0),
        ("PREPARE TRANSACTION 'foo'", 1),
        ("  prepare\n transaction 'foo'", 1),
        ("XA PREPARE 'foo'", 1),
        ("COMMIT PREPARED 'foo'", 0),
    ],
)
def test_a_prepared_statement_is_no_transaction(statement: str, count: int) -> None:
    """And to commit alone is not to prepare."""
    inner = Ask("payment", "POST /pay", (Sql(statement),))
    findings = found(RULE, script_subject([Ask("orders", "POST /orders", (Sql(statement), inner))] * 5))
    assert len(findings) == count


def test_one_participant_is_information() -> None:
    """The others are not in the traces."""
    alone = Ask("orders", "POST /orders", tuple(Sql(text) for text in POSTGRESQL))
    (finding,) = RULE.find(script_subject([alone] * 5), Limits())
    assert (finding.severity, finding.services, finding.edges) == ("info", ("orders",), ())


def test_one_service_with_two_databases_has_two_participants() -> None:
    """An application server that coordinates them."""
    other = {"db_namespace": "other"}
    steps = [Sql(text, also=also) for text in MYSQL for also in ({}, other)]
    (finding,) = RULE.find(script_subject([Ask("orders", "POST /orders", tuple(steps))] * 5), Limits())
    assert (finding.severity, finding.evidence["participants"]) == ("critical", 2)


def test_requests_named_after_phases_are_found() -> None:
    """Prepare, then commit, of two services; of one service, or without the second phase, it is none."""

    def coordinate(*names: str) -> Ask:
        asked = tuple(Ask(*name.split(" ", 1)) for name in names)
        return Ask("coordinator", "POST /transfer", asked)

    both = coordinate("a POST /tx/prepare", "b bank.Account/Prepare", "a POST /tx/commit", "b bank.Account/Commit")
    (finding,) = RULE.find(script_subject([both] * 5), Limits())
    assert (finding.severity, sorted(finding.services)) == ("critical", ["a", "b"])
    one = coordinate("a POST /tx/prepare", "a POST /tx/commit", "b POST /ship")
    unfinished = coordinate("a POST /tx/prepare", "b POST /tx/prepare")
    backwards = coordinate("a POST /commit", "b POST /commit", "a POST /prepare", "b POST /prepare")
    meals = coordinate(
        "a POST /meals/prepare-dinner", "b POST /meals/prepare-lunch", "a GET /commits", "b GET /commits"
    )
    for request in (one, unfinished, backwards, meals):
        assert RULE.find(script_subject([request] * 5), Limits()) == []


def test_what_is_rolled_back_or_left_open_is_counted() -> None:
    """Both belong to the same participants."""
    rolled = together("BEGIN", "PREPARE TRANSACTION 'x'", "ROLLBACK PREPARED 'x'")
    open_ = Ask("orders", "POST /orders", (Sql("PREPARE TRANSACTION 'y'"),))
    requests = [*[together(*POSTGRESQL)] * 5, *[rolled] * 3, open_]
    (finding,) = RULE.find(script_subject(requests), Limits())
    counted = [finding.evidence[name] for name in ("transactions", "rolled_back", "undecided")]
    assert counted == [9, 3, 1]


def test_nothing_is_said_of_nothing() -> None:
    """No spans, and no databases."""
    assert RULE.find(script_subject([]), Limits()) == []
    assert RULE.find(script_subject([Ask("a", "GET /")]), Limits()) == []


@pytest.mark.parametrize("state", ["monolith", "decoupled", "incident"])
def test_what_is_true_of_the_shop_is_found(state: str) -> None:
    """Its participants, and nobody else."""
    wanted = [tuple(transaction["participants"]) for transaction in truth(state)["distributed_transactions"]]
    assert [finding.services for finding in RULE.find(shop(state), Limits())] == wanted
