"""The filter of recent spans never misses one, is seldom wrong, and forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.store import open_store, recent
from collector.store.protocol import Appended
from collector.store.recent import WINDOW_S, RecentSpans, Words, span_hashes
from tests.collector.store.telemetry import Log, nothing, spans

if TYPE_CHECKING:
    import pytest


def hashes(count: int, seed: int) -> Words:
    """Random hashes."""
    return np.random.default_rng(seed).integers(0, 2**64, count, np.uint64)


@settings(deadline=None, max_examples=20)
@given(batches=st.lists(st.tuples(st.integers(0, 500), st.floats(0, WINDOW_S / 10)), max_size=8))
def test_what_was_added_within_the_window_is_found(batches: list[tuple[int, float]]) -> None:
    """Whatever the batches, and however they are spread over the window."""
    filters = RecentSpans()
    now = 0.0
    added = []
    for seed, (count, passed) in enumerate(batches):
        now += passed
        added.append(hashes(count, seed))
        filters.add(added[-1], now)
    assert all(filters.contains(batch).all() for batch in added)


def test_nothing_is_found_in_an_empty_filter() -> None:
    """Neither before the first addition, nor among no hashes."""
    filters = RecentSpans()
    assert not filters.contains(hashes(100, 1)).any()
    assert len(filters.contains(hashes(0, 1))) == 0


def test_few_new_spans_look_old_in_a_full_filter() -> None:
    """Under one in a hundred when a filter is as full as it gets, by hashes of real spans and by random ones."""
    filters = RecentSpans()
    filters.add(hashes(recent._CAPACITY, 1), 0.0)
    assert filters.contains(hashes(200_000, 2)).mean() < 0.01
    rows = [{"trace_id": (number + 1).to_bytes(16), "span_id": (number + 1).to_bytes(8)} for number in range(20_000)]
    assert filters.contains(span_hashes(spans(*rows).spans)).mean() < 0.01


def test_a_full_filter_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a busy hour is wrong no more often than a quiet one, by filter."""
    monkeypatch.setattr(recent, "_CAPACITY", 1000)
    filters = RecentSpans()
    added = [hashes(600, seed) for seed in range(5)]
    for number, batch in enumerate(added):
        filters.add(batch, float(number))
    assert [one.keys for one in filters._filters] == [1200, 1200, 600]
    assert all(filters.contains(batch).all() for batch in added)


def test_spans_are_forgotten_after_the_window() -> None:
    """Not before ten minutes, and not later than some twenty, while new ones come."""
    filters = RecentSpans()
    added = [hashes(100, minute) for minute in range(60)]
    for minute, batch in enumerate(added):
        filters.add(batch, minute * 60.0)
        found = [bool(filters.contains(earlier).all()) for earlier in added[: minute + 1]]
        assert all(found[-11:])
        assert not any(found[:-23])


def test_identity_is_ids_kind_resource_and_time() -> None:
    """Each of them changes the hash, nothing else does, and it is the same in every process."""
    base = span_hashes(spans({}).spans)[0]
    others = [
        spans({"trace_id": b"\1" * 15 + b"\2"}),
        spans({"trace_id": b"\2" + b"\1" * 15}),
        spans({"span_id": b"\1" + b"\0" * 6 + b"\1"}),
        *(spans({"kind": kind}) for kind in (0, 1, 3, 4, 5)),
        spans({}, resource={"service.name": "other"}),
        spans({"start_time_unix_nano": 9, "end_time_unix_nano": 14}),
        spans({"end_time_unix_nano": 2**62}),
    ]
    found = [int(span_hashes(batch.spans)[0]) for batch in others]
    assert len({int(base), *found}) == len(others) + 1
    same = spans({"name": "else", "attributes": {"a": 1}})
    assert span_hashes(same.spans)[0] == base
    assert len(span_hashes(nothing().spans)) == 0


def test_slices_of_a_table_have_the_hashes_of_their_rows() -> None:
    """An Arrow slice keeps the whole buffer and an offset into it."""
    table = spans(*[{}] * 10).spans
    assert (span_hashes(table.slice(3, 4)) == span_hashes(table)[3:7]).all()


def test_a_filter_that_is_always_wrong_loses_no_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it suspects is looked up by all of its identity."""
    monkeypatch.setattr(RecentSpans, "contains", lambda _, hashes: np.ones(len(hashes), bool))
    store = open_store(":memory:")
    log = Log()
    others = [
        spans({}),
        spans({"trace_id": b"\2" * 16}),
        spans({"span_id": b"\2" * 8}),
        spans({"kind": 3}),
        spans({}, resource={"service.name": "other"}),
        spans({"start_time_unix_nano": 9, "end_time_unix_nano": 14}),
        spans({"end_time_unix_nano": 2**62}),
    ]
    found = [store.append(batch, log.next()) for batch in others + others]
    store.close()
    assert found == [Appended(1, 0)] * len(others) + [Appended(0, 1)] * len(others)
