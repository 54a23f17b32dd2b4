"""No key can keep the others from querying."""

from __future__ import annotations

import asyncio

import pytest

from collector.errors import OverloadedError, QueryError
from collector.query.turns import Turns


async def _until_idle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


class _Askers:
    """Asks for turns and holds them until told."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.running: list[str | None] = []
        self.release = asyncio.Event()

    async def ask(self, who: str | None, at_once: int = 2) -> None:
        async with self.turns.take(who, at_once):
            self.running.append(who)
            await self.release.wait()


def test_a_key_has_two_turns_of_four() -> None:
    """However many queries one sends first, another's run at once."""

    async def ask() -> list[str | None]:
        askers = _Askers()
        tasks = [asyncio.create_task(askers.ask("greedy")) for _ in range(10)]
        await _until_idle()
        tasks.append(asyncio.create_task(askers.ask("modest")))
        await _until_idle()
        running = list(askers.running)
        askers.release.set()
        await asyncio.gather(*tasks)
        assert len(askers.running) == 11
        return running

    assert asyncio.run(ask()) == ["greedy", "greedy", "modest"]


def test_a_key_that_asks_too_much_is_told_so() -> None:
    """The eleventh query of a key with two turns is refused; that of another key is not."""

    async def ask() -> str:
        askers = _Askers()
        tasks = [asyncio.create_task(askers.ask("greedy")) for _ in range(10)]
        await _until_idle()
        with pytest.raises(QueryError) as caught:
            await askers.ask("greedy")
        askers.release.set()
        await asyncio.gather(*tasks, askers.ask("modest"), askers.ask("greedy"))
        return caught.value.code

    assert asyncio.run(ask()) == "too_many_queries"


def test_all_keys_together_are_bounded() -> None:
    """Forty keys with a query each fill the line."""

    async def ask() -> None:
        askers = _Askers()
        tasks = [asyncio.create_task(askers.ask(f"key {place}")) for place in range(36)]
        await _until_idle()
        with pytest.raises(OverloadedError):
            await askers.ask("one more")
        askers.release.set()
        await asyncio.gather(*tasks)

    asyncio.run(ask())
