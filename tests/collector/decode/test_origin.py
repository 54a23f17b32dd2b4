"""Resources and scopes are decoded once, and told apart by all that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from collector.batch import SCOPES
from collector.decode import origin
from collector.decode.origin import Interner

if TYPE_CHECKING:
    import pytest


class Decode:
    """Counts what it is asked to decode."""

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []

    def __call__(self, raw: pa.Array) -> list[dict[str, Any]]:
        """A row a message, named for it."""
        self.asked.append(raw.to_pylist())
        return [{"name": content.decode()} for content in raw.to_pylist()]


def intern(interner: Interner, *pairs: tuple[bytes, str]) -> list[tuple[str, str | None]]:
    """Each pair's row, found by its digest."""
    messages, urls = pa.array([raw for raw, _ in pairs], pa.binary()), pa.array([url for _, url in pairs], pa.string())
    digests, table = interner.intern(messages, urls)
    rows = {row["digest"]: (row["name"], row["schema_url"]) for row in table.to_pylist()}
    assert len(rows) == table.num_rows
    return [rows[int(digest)] for digest in digests]


def test_each_distinct_message_is_decoded_once_and_all_new_ones_together() -> None:
    """A request may bring thousands, and the next ones bring them again."""
    decode = Decode()
    interner = Interner(decode, SCOPES)
    for _ in range(2):
        assert intern(interner, (b"a", ""), (b"b", ""), (b"a", "")) == [("a", None), ("b", None), ("a", None)]
    assert intern(interner, (b"c", ""), (b"b", "")) == [("c", None), ("b", None)]
    assert decode.asked == [[b"a", b"b"], [b"c"]]


def test_the_schema_url_is_a_part_of_identity() -> None:
    """The same attributes under another schema may mean something else."""
    pairs = [(b"a", "u"), (b"a", "v"), (b"a", ""), (b"au", "")]
    assert intern(Interner(Decode(), SCOPES), *pairs) == [("a", "u"), ("a", "v"), ("a", None), ("au", None)]


def test_the_longest_unused_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a request with more than are remembered is answered all the same."""
    monkeypatch.setattr(origin, "_REMEMBERED", 2)
    decode = Decode()
    interner = Interner(decode, SCOPES)
    for name in (b"a", b"b", b"a", b"c", b"a", b"b"):
        intern(interner, (name, ""))
    assert decode.asked == [[b"a"], [b"b"], [b"c"], [b"b"]]
    assert len(intern(interner, *((bytes([number]), "") for number in range(97, 107)))) == 10


def test_nothing_is_interned_for_nothing() -> None:
    """No message, no call."""
    decode = Decode()
    assert intern(Interner(decode, SCOPES)) == []
    assert decode.asked == []
