"""Systems without a smell, as scripts: services that read, write, call and send, each on its own database."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from analytics.findings import Subject
from tests.analytics.scripts import Ask, Poll, Send, Sql, Together, Work, reads, script_subject, writes

if TYPE_CHECKING:
    from tests.analytics.scripts import Step


def clean_script(seed: int, count: int = 80) -> list[Ask]:
    """Requests that list, show and buy things.

    Lists ask a few services at the same time; orders are written in a local transaction and told by messages; some are
    refused before anything is written; statements are prepared; consumers poll. Every service has its own tables.
    """
    chance = random.Random(seed)
    kinds = (_list, _show, _buy, _refuse)
    return [kinds[chance.randrange(len(kinds))](chance) for _ in range(count)]


def clean_subject(seed: int, count: int = 80) -> Subject:
    """Return what rules look at."""
    return script_subject(clean_script(seed, count))


def _ms(chance: random.Random) -> float:
    return chance.uniform(0.5, 8)


def _list(chance: random.Random) -> Ask:
    parts = tuple(
        Ask("prices", "GET /prices/{id}", (reads("price", _ms(chance)),)) for _ in range(chance.randint(6, 12))
    )
    return Ask("gateway", "GET /", (Ask("catalog", "GET /list", (reads("product", _ms(chance)), Together(parts))),))


def _show(chance: random.Random) -> Ask:
    prepared = (Sql("PREPARE show AS SELECT * FROM product", 0.3), Sql("EXECUTE show(1)", _ms(chance)))
    steps: tuple[Step, ...] = (Ask("catalog", "GET /show", prepared), Work(_ms(chance)))
    return Ask("gateway", "GET /show", steps)


def _buy(chance: random.Random) -> Ask:
    lines = tuple(writes("order_line", 0.4) for _ in range(chance.randint(1, 4)))
    paid = Send("payment", "payments", (writes("payment", _ms(chance)), Send("mail", "mails", (writes("mail"),))))
    steps: tuple[Step, ...] = (Sql("BEGIN", 0.2), writes("orders"), *lines, Sql("COMMIT", 0.5), paid, Work(_ms(chance)))
    return Ask("gateway", "POST /orders", (Ask("orders", "POST /orders", steps), Work(2)))


def _refuse(chance: random.Random) -> Ask:
    asked = Ask("orders", "POST /orders", (reads("orders", _ms(chance)), Poll("offers", 2)), failed=True)
    return Ask("gateway", "POST /orders", (asked,), failed=True)
