"""What is remembered of minutes says the same as the store, whatever is forgotten and read again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from collector.decode.decoder import concatenate
from collector.store import trace_minutes
from collector.store.trace_minutes import TraceMinutes
from tests.collector.store.places import Place
from tests.collector.store.test_minutes import HORIZON, touched, trace

if TYPE_CHECKING:
    from collections.abc import Iterator

REACH = 10


@pytest.fixture
def memory() -> Iterator[Place]:
    """An empty store in memory."""
    place = Place(":memory:")
    yield place
    place.store.close()


def forget(place: Place) -> None:
    """As a restart does."""
    place.store._trace_minutes = TraceMinutes()  # type: ignore[attr-defined]


@pytest.mark.parametrize("is_forgotten", [False, True])
@pytest.mark.parametrize("traces", [1, 3, 20])
@pytest.mark.parametrize("away", [REACH, REACH + 1])
def test_a_trace_is_known_as_far_as_the_horizon(memory: Place, away: int, traces: int, *, is_forgotten: bool) -> None:
    """Before and after it, in few stretches of minutes and in many; beyond it is another trace."""
    begins = [100 * number for number in range(1, traces + 1)]
    memory.append(concatenate([trace(number, begin) for number, begin in enumerate(begins, 1)]))
    assert touched(memory)[1] == set(begins)
    if is_forgotten:
        forget(memory)
    late = [trace(number, begin + away) for number, begin in enumerate(begins, 1)]
    memory.append(concatenate(late))
    assert touched(memory)[1] == ({begin + away for begin in begins} if away > REACH else set(begins))
    if is_forgotten:
        forget(memory)
    early = [trace(number, begin - away) for number, begin in enumerate(begins, 1)]
    memory.append(concatenate(early))
    moved = set(begins) if away <= REACH else set()
    assert touched(memory)[1] == {begin - away for begin in begins} | moved


def test_a_minute_keeps_the_traces_that_it_had(memory: Place) -> None:
    """When others come: a late span still belongs to where its trace began."""
    for number in (1, 2):
        memory.append(trace(number, 0.1))
        touched(memory)
    memory.append(concatenate([trace(1, 1), trace(2, 2)]))
    assert touched(memory) == ({0: 4}, {0})


def fresh(minute: int, *traces: int) -> dict[str, Any]:
    """A span of each trace in this minute."""
    minutes = np.full(len(traces), minute, np.int64)
    return {"trace": np.array(traces, np.uint64), "minute": minutes, "spans": np.ones(len(traces), np.int64)}


class _Nothing:
    """A cursor of a store that is empty, which counts how often it is asked."""

    asked = 0

    def execute(self, *_: Any) -> _Nothing:
        """Ask."""
        self.asked += 1
        return self

    def fetchnumpy(self) -> dict[str, Any]:
        """Return no row."""
        return {"minute": np.empty(0, np.int64), "trace": np.empty(0, np.uint64)}


def test_memory_is_bounded_and_what_was_used_last_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes without a trace count, too; what is forgotten is asked for again, and only that."""
    most = 30 * 40 + 60
    monkeypatch.setattr(trace_minutes, "_MOST_TRACES", most)
    known, store = TraceMinutes(), _Nothing()

    def come(minute: int, *traces: int) -> int:
        before = store.asked
        known.find(store, datetime.min, arrived := fresh(minute, *traces), HORIZON)  # type: ignore[arg-type]  # noqa: DTZ901
        known.add(arrived)
        kept = known._traces.values()
        assert 40 * len(kept) + sum(map(len, kept)) <= most
        return store.asked - before

    assert come(100, *range(50)) == 1
    assert come(100, *range(50, 55)) == 0, "it fits"
    assert len(known._traces) == 2 * REACH + 1
    assert come(105, *range(60)) == 1
    assert come(105, 1) == 0, "what came last is known"
    assert come(300, 1) == 1
    assert come(300, 2) == 0
    assert come(105, 1) == 1, "what was used longest ago is not"
    touched_again = known.find(store, datetime.min, fresh(106, 1), HORIZON)  # type: ignore[arg-type]  # noqa: DTZ901
    assert touched_again == {105: 1}


def test_few_stretches_are_read_apart_and_many_at_once() -> None:
    """What lies between few is not read for nothing."""
    few = np.concatenate([np.arange(begin, begin + 5) for begin in range(0, 160, 10)])
    assert trace_minutes._runs(few) == [(begin, begin + 5) for begin in range(0, 160, 10)]
    assert trace_minutes._runs(np.append(few, 170)) == [(0, 171)]
    assert trace_minutes._runs(few[:0]) == []


def test_minutes_are_told_apart_with_their_traces_in_order() -> None:
    """However the rows came; what is searched has to be sorted, and a trace keeps its spans."""
    rows = {"minute": np.array([7, 5, 7, 5]), "trace": np.array([4, 9, 3, 2]), "spans": np.array([40, 90, 30, 20])}
    found = [(minute, traces.tolist(), spans.tolist()) for minute, traces, spans in trace_minutes._by_minute(rows)]
    assert found == [(5, [2, 9], [20, 90]), (7, [3, 4], [30, 40])]
