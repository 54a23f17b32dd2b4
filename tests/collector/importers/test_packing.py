"""Small requests travel together, and nothing else about them changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.errors import ImportFileError
from collector.importers.packing import packed
from collector.importers.records import MOST_BYTES, MOST_RECORDS, Problem, Request
from collector.signals import PROTOCOL, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator


def request(number: int, signal: Signal = Signal.LOGS, records: int = 1, size: int = 0) -> Request:
    """A request of records whose bodies are its number."""
    message = ExportLogsServiceRequest()
    lines = message.resource_logs.add().scope_logs.add().log_records
    for _ in range(records):
        lines.add().body.string_value = str(number) + "x" * size
    return Request(signal, message.SerializeToString(), records, f"file: line {number}")


@given(st.lists(st.tuples(st.sampled_from([Signal.TRACES, Signal.LOGS]), st.booleans()), max_size=12))
def test_each_signal_comes_together_in_its_order(drawn: list[tuple[Signal, bool]]) -> None:
    """Problems come through; a request says what it was made of."""
    items = [Problem(f"{place}", "bad") if bad else request(place, signal) for place, (signal, bad) in enumerate(drawn)]
    done = list(packed(items))
    assert [item for item in done if isinstance(item, Problem)] == [item for item in items if isinstance(item, Problem)]
    for signal in Signal:
        before = [item for item in items if isinstance(item, Request) and item.signal is signal]
        after = [item for item in done if isinstance(item, Request) and item.signal is signal]
        assert len(after) == (1 if before else 0)
        assert [part for item in after for part in item.parts or (item,)] == before
        assert [item.records for item in after] == ([len(before)] if before else [])


def test_the_joined_bytes_are_one_request() -> None:
    """And its position is from where to where."""
    (joined,) = packed([request(1), request(2, records=2), request(3)])
    assert isinstance(joined, Request)
    message = PROTOCOL[Signal.LOGS].request.FromString(joined.body)
    lines = [
        line.body.string_value for resource in message.resource_logs for line in resource.scope_logs[0].log_records
    ]
    assert (lines, joined.position) == (["1", "2", "2", "3"], "file: line 1 to line 3")


def test_the_bounds_of_a_request_hold() -> None:
    """In records and in bytes; what is over a bound by itself comes alone."""
    half = MOST_RECORDS // 2
    many = [request(number, records=half) for number in range(3)]
    large = [request(number, size=MOST_BYTES // 2) for number in range(3)]
    for items, records in ((many, [2 * half, half]), (large, [1, 1, 1])):
        assert [item.records for item in packed(items) if isinstance(item, Request)] == records


def test_what_was_read_before_a_failure_counts() -> None:
    """The file ends in an error; its first requests come all the same."""

    def failing() -> Iterator[Request | Problem]:
        yield request(1)
        raise ImportFileError("broken")

    items = packed(failing())
    assert next(items) == request(1)
    with pytest.raises(ImportFileError):
        next(items)
