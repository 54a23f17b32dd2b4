"""Calls that a message could replace are found, and calls whose answer is needed are not."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from analytics.rules.async_candidate import RULE, Limits
from tests.analytics.clean_scripts import clean_script, clean_subject
from tests.analytics.planted import SEEDS, found
from tests.analytics.scripts import Ask, Poll, Send, Sql, Work, reads, script_subject, writes
from tests.analytics.shop import shop

if TYPE_CHECKING:
    from tests.analytics.scripts import Step


def mail(ms: float = 20, *, failed: bool = False) -> Ask:
    """A call that writes something in another service."""
    return Ask("mail", "POST /mails", (reads("customer"), writes("mail", ms)), failed=failed)


def shipment(*steps: Step, failed: bool = False) -> Ask:
    """A request to shipping."""
    return Ask("shipping", "POST /shipments", steps, failed=failed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_candidate_is_found(seed: int) -> None:
    """With the edge, what it saves, and the queue."""
    chance = random.Random(seed)
    sent = [shipment(writes("shipment"), Work(5), mail(chance.uniform(10, 40))) for _ in range(40)]
    requests = [*clean_script(seed), *sent]
    chance.shuffle(requests)
    (finding,) = found(RULE, script_subject(requests))
    assert (finding.severity, finding.services, finding.edges) == ("warning", ("shipping", "mail"), ("shipping->mail",))
    assert 10 < float(finding.evidence["saved_ms"] or 0) < 45
    assert finding.score == finding.evidence["saved_share"]
    assert "mail.mails" in finding.advice
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """They send messages, and need the answers of their calls."""
    assert found(RULE, clean_subject(seed, 200)) == []


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ((writes("shipment"), mail()), 1),
        ((writes("shipment"), mail(), Sql("COMMIT")), 1),
        ((writes("shipment"), mail(), writes("log")), 0),
        ((writes("shipment"), mail(), reads("shipment")), 0),
        ((writes("shipment"), mail(), Work(30)), 0),
        ((mail(),), 0),
        ((reads("shipment"), mail()), 0),
        ((writes("shipment"), Ask("mail", "GET /mails", (reads("mail", 20),))), 0),
        ((writes("shipment"), mail(0.1), Ask("gps", "GET /", (Work(30),))), 0),
    ],
)
def test_what_is_a_candidate(steps: tuple[Step, ...], count: int) -> None:
    """The last call, after the caller's own write, that writes; whoever only passes requests on has none."""
    assert len(found(RULE, script_subject([shipment(*steps)] * 30))) == count


def test_a_call_whose_failure_fails_the_caller_is_none() -> None:
    """Its outcome is needed; one that is survived is not."""
    well = [shipment(writes("shipment"), mail())] * 30
    for failed, count in ((True, 0), (False, 1)):
        bad = [shipment(writes("shipment"), mail(failed=True), failed=failed)] * 8
        assert len(found(RULE, script_subject([*well, *bad]))) == count


def test_what_callers_do_without_is_information() -> None:
    """It reads, and its failures fail nobody: there may be another way than a message."""
    advice = Ask("advice", "GET /advice", (reads("advice", 20),))
    well, bad = shipment(Work(5), advice), shipment(Work(5), Ask("advice", "GET /advice", (Work(5),), failed=True))
    (finding,) = found(RULE, script_subject([*[well] * 30, *[bad] * 8]))
    assert (finding.severity, finding.edges, finding.evidence["failures"]) == ("info", ("shipping->advice",), 8)
    assert found(RULE, script_subject([*[well] * 30, *[bad] * 4])) == []


def test_messages_and_polls_are_no_candidates() -> None:
    """They are asynchronous already, or talk with the broker."""
    sent = Send("mail", "mails", (writes("mail", 20),))
    for last in (sent, Poll("mails", 50)):
        assert RULE.find(script_subject([shipment(writes("shipment"), last)] * 30), Limits()) == []


def test_what_saves_little_is_none() -> None:
    """Less than a twentieth of the time."""
    quick = shipment(writes("shipment", 300), mail(1))
    assert found(RULE, script_subject([quick] * 30)) == []


def test_too_few_requests_cannot_tell() -> None:
    """Nineteen; and nothing is said where nobody calls anybody."""
    (finding,) = RULE.find(script_subject([shipment(writes("shipment"), mail())] * 19), Limits())
    assert (finding.status, finding.evidence["most_requests"]) == ("unknown", 19)
    for requests in ([], [shipment(writes("shipment"))] * 30):
        assert RULE.find(script_subject(requests), Limits()) == []


def test_the_monolith_waits_for_shipping_and_mail() -> None:
    """What the decoupled shop sends as messages."""
    assert [finding.edges for finding in found(RULE, shop("monolith"))] == [
        ("inventory->shipping",),
        ("shipping->notification",),
    ]


def test_the_decoupled_shop_has_only_what_it_does_without() -> None:
    """Pages come without recommendations when these fail."""
    (finding,) = found(RULE, shop("decoupled"))
    assert (finding.severity, finding.edges) == ("info", ("gateway->recommendation",))
