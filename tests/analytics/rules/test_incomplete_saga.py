"""Failures that leave writes of others behind are found, and what is undone, rolled back or retried is not."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from analytics.rules.incomplete_saga import RULE, Limits
from tests.analytics.clean_scripts import clean_script, clean_subject
from tests.analytics.planted import SEEDS, found
from tests.analytics.scripts import Ask, Send, Sql, Work, script_subject, writes
from tests.analytics.shop import shop

if TYPE_CHECKING:
    from tests.analytics.scripts import Step

RESERVE = Ask("stock", "POST /reservations", (writes("reservation"),))
REFUSE = Ask("payment", "POST /payments", (Work(2),), failed=True)
RELEASE = Ask("stock", "POST /reservations/{id}/release", (writes("reservation"),))


def order(*steps: Step, failed: bool = True) -> Ask:
    """An order, by an orchestrator that writes nothing itself."""
    return Ask("orders", "POST /orders", steps, failed=failed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_gap_is_found(seed: int) -> None:
    """With who failed, who keeps what, and what to give whom."""
    chance = random.Random(seed)
    requests = [*clean_script(seed), *[order(RESERVE, REFUSE) for _ in range(10)]]
    chance.shuffle(requests)
    (finding,) = found(RULE, script_subject(requests))
    assert (finding.severity, finding.services) == ("critical", ("payment", "stock"))
    assert (finding.evidence["failures"], finding.evidence["left"]) == (10, 10)
    assert "stock something that undoes POST /reservations (reservation)" in finding.advice
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """They fail before anything is written, so nothing is known of what would follow."""
    (finding,) = RULE.find(clean_subject(seed), Limits())
    assert finding.status == "unknown"


@pytest.mark.parametrize(
    "undoing",
    [
        RELEASE,
        Send("stock", "release_stock", (writes("reservation"),)),
        Send("stock", "release_stock", (writes("reservation"),), linked=True),
        Send("stock", "release_stock", lost=True),
    ],
)
def test_what_is_undone_is_complete(undoing: Step) -> None:
    """By a call, a message, a message into another trace, or one whose consumer was not seen."""
    assert RULE.find(script_subject([order(RESERVE, REFUSE, undoing)] * 10), Limits()) == []


def test_undoing_before_the_failure_undoes_nothing() -> None:
    """It was about something else."""
    (finding,) = found(RULE, script_subject([order(RESERVE, RELEASE, REFUSE)] * 10))
    assert finding.services == ("payment", "stock")


def test_each_writer_needs_an_undoing_of_its_own() -> None:
    """Stock is released, the shipment stays."""
    ship = Ask("shipping", "POST /shipments", (writes("shipment"),))
    (finding,) = found(RULE, script_subject([order(RESERVE, ship, REFUSE, RELEASE)] * 10))
    assert finding.services == ("payment", "shipping")
    assert finding.evidence["compensated_writers"] == 1


def test_patterns_are_limits() -> None:
    """A house may have words of its own."""
    requests = [order(RESERVE, REFUSE, Ask("stock", "POST /storno", (writes("reservation"),)))] * 10
    assert len(found(RULE, script_subject(requests))) == 1
    assert RULE.find(script_subject(requests), Limits(compensations=("storno",))) == []


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ((Sql("BEGIN"), writes("r"), REFUSE), False),
        ((Sql("BEGIN"), writes("r"), REFUSE, Sql("ROLLBACK")), False),
        ((writes("r"), REFUSE), False),
        ((Sql("BEGIN"), writes("r"), Sql("COMMIT"), REFUSE), True),
        ((Sql("BEGIN"), writes("r"), Sql("PREPARE TRANSACTION 'x'"), REFUSE, Sql("ROLLBACK PREPARED 'x'")), False),
        ((Sql("SELECT 1"), REFUSE), False),
    ],
)
def test_only_what_was_committed_is_left(steps: tuple[Step, ...], left: bool) -> None:  # noqa: FBT001
    """The caller fails with the step and rolls its own transaction back, unless it had committed."""
    requests = [order(*steps)] * 10 + [order(RESERVE, writes("order"), failed=False)] * 10
    assert bool(found(RULE, script_subject(requests))) is left


@pytest.mark.parametrize(
    "request_",
    [
        order(RESERVE, REFUSE, failed=False),
        order(RESERVE, REFUSE, Ask("payment", "POST /payments", (writes("bill"),)), failed=False),
        order(REFUSE, RESERVE),
    ],
)
def test_what_is_made_good_or_comes_first_leaves_nothing(request_: Ask) -> None:
    """A fallback, a second attempt, and a failure before the write."""
    requests = [request_] * 10 + [order(RESERVE, writes("order"), failed=False)] * 10
    assert found(RULE, script_subject(requests)) == []


def test_failures_of_consumers_count() -> None:
    """Nobody waits for them, so nobody's failure is needed."""
    request = order(RESERVE, Send("payment", "charges", (Work(2),), failed=True), failed=False)
    (finding,) = found(RULE, script_subject([request] * 10))
    assert finding.services == ("payment", "stock")


def test_few_failures_are_a_warning() -> None:
    """Four of them."""
    (finding,) = found(RULE, script_subject([order(RESERVE, REFUSE)] * 4))
    assert finding.severity == "warning"


def test_nothing_is_said_where_nobody_writes_with_others() -> None:
    """No spans, no database, or one service that writes."""
    for requests in ([], [order(REFUSE)] * 5, [order(writes("order"), failed=False)] * 5):
        assert RULE.find(script_subject(requests), Limits()) == []


@pytest.mark.parametrize("state", ["monolith", "decoupled", "incident"])
def test_the_shop_undoes_everything(state: str) -> None:
    """Decoupled by compensations, otherwise by two-phase commit."""
    findings = RULE.find(shop(state), Limits())
    assert [finding.status for finding in findings] == ([] if state == "decoupled" else ["unknown"])
