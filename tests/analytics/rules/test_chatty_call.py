"""Calls in a loop are found, and calls side by side, repeated attempts and polls are not."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from analytics.rules.chatty_call import RULE, Limits
from tests.analytics.clean_scripts import clean_script, clean_subject
from tests.analytics.planted import SEEDS, found
from tests.analytics.scripts import Ask, Poll, Sql, Together, Work, reads, script_subject, writes
from tests.analytics.shop import shop, truth


def price(ms: float = 8, *, failed: bool = False) -> Ask:
    """A call for one price."""
    return Ask("prices", "GET /prices/{id}", (reads("price", ms),), failed=failed)


def page(*steps: Ask | Together | Work | Sql | Poll) -> Ask:
    """A request to the catalog."""
    return Ask("catalog", "GET /list", steps)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_loop_is_found(seed: int) -> None:
    """With the edge, the number of calls and what one call would save."""
    chance = random.Random(seed)
    loops = [page(*[price(chance.uniform(8, 20)) for _ in range(chance.randint(7, 15))]) for _ in range(20)]
    requests = [*clean_script(seed), *loops]
    chance.shuffle(requests)
    (finding,) = found(RULE, script_subject(requests))
    assert (finding.services, finding.edges) == (("catalog", "prices"), ("catalog->prices",))
    assert finding.evidence["loops"] == 20
    assert 7 <= float(finding.evidence["calls_mean"] or 0) <= 15
    assert finding.severity == "critical"
    assert "GET /prices/{id}" in finding.title
    assert "prices" in finding.advice
    assert "GET /prices/{id}" in finding.advice
    assert len(finding.trace_ids) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_systems_have_none(seed: int) -> None:
    """Twelve calls at the same time are no loop."""
    assert RULE.find(clean_subject(seed), Limits()) == []


def test_the_same_calls_side_by_side_are_no_loop() -> None:
    """What differs is only when they begin."""
    calls = [price() for _ in range(10)]
    assert len(found(RULE, script_subject([page(*calls)] * 20))) == 1
    assert found(RULE, script_subject([page(Together(tuple(calls)))] * 20)) == []


@pytest.mark.parametrize(("calls", "ms", "loops"), [(5, 30.0, 0), (6, 30.0, 1), (6, 5.0, 0), (30, 5.0, 1)])
def test_a_loop_has_more_calls_and_time_than_the_limits(calls: int, ms: float, loops: int) -> None:
    """Five calls are none, and neither are fifty milliseconds or less in all."""
    assert len(found(RULE, script_subject([page(*[price(ms)] * calls)] * 20))) == loops


def test_attempts_after_failures_are_no_loop() -> None:
    """Ten calls of which each repeats one that failed."""
    attempts = [*[price(failed=True)] * 9, price()]
    assert found(RULE, script_subject([page(*attempts)] * 20)) == []


def test_polls_of_a_queue_are_no_calls() -> None:
    """A consumer that receives ten times in a row talks to its broker."""
    assert found(RULE, script_subject([page(*[Poll("offers", 20)] * 10, Work(5))] * 20)) == []


def test_a_statement_for_each_row_is_a_loop() -> None:
    """Whatever literals it has; different statements to one database are none."""
    rows = [Sql(f"SELECT name FROM product WHERE id = {number}", 10) for number in range(10)]
    (finding,) = found(RULE, script_subject([page(*rows)] * 20))
    assert finding.services == ("catalog",)
    assert finding.edges == ("catalog->postgresql db/catalog",)
    assert "SELECT name FROM product WHERE id = ?" in finding.advice
    others = [Sql(f"SELECT name FROM product_{name} WHERE id = 1", 10) for name in "abcdefghij"]
    assert found(RULE, script_subject([page(*others)] * 20)) == []


def test_a_loop_that_was_seen_twice_is_information() -> None:
    """It may be a slow day."""
    slow, quick = page(*[price()] * 10), page(price())
    (finding,) = found(RULE, script_subject([slow, slow, *[quick] * 30]))
    assert finding.severity == "info"


def test_too_few_traces_cannot_tell() -> None:
    """Unknown below the limit, nothing where nobody calls anybody."""
    (finding,) = RULE.find(script_subject([page(price())] * 19), Limits())
    assert (finding.status, finding.evidence["traces"]) == ("unknown", 19)
    assert RULE.find(script_subject([page(price())] * 20), Limits()) == []
    assert RULE.find(script_subject([page(Work(5))]), Limits()) == []
    assert RULE.find(script_subject([]), Limits()) == []


def test_the_share_is_that_of_the_critical_path() -> None:
    """A loop beside a longer call costs nobody time."""
    loop = replace(page(*[price(10)] * 10), service="lists")
    request = page(Together((loop, Ask("slow", "GET /slow", (Work(5000),)))))
    (finding,) = found(RULE, script_subject([request] * 20))
    assert (finding.evidence["critical_path_share"], finding.severity) == (0.0, "warning")


@pytest.mark.parametrize("state", ["monolith", "decoupled", "incident"])
def test_what_is_true_of_the_shop_is_found(state: str) -> None:
    """Every loop of the configuration, and no other one that weighs more than information."""
    findings = found(RULE, shop(state))
    wanted = {(call["caller"], call["callee"], call["operation"]) for call in truth(state)["chatty_calls"]}
    assert wanted == {(*f.services, f.title.split(" for ")[1]) for f in findings if f.severity != "info"}
    assert all(finding.severity != "critical" for finding in findings) or wanted


def test_writes_in_a_loop_are_told_as_batches() -> None:
    """The advice names one batch."""
    (finding,) = found(RULE, script_subject([page(*[writes("line", 10)] * 8)] * 20))
    assert "one batch" in finding.advice
