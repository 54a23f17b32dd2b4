"""The durable log gives back exactly what it has acknowledged, whatever happens to its files."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector import log
from collector.log import Damage, DurableLog, read_records, segment_numbers
from collector.position import LogPosition
from collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

START = LogPosition(0, 0)


def bodies(folder: Path, since: LogPosition = START) -> list[bytes]:
    """The bodies that a folder gives back."""
    return [record.body for record in read_records(folder, since)]


def told(folder: Path, since: LogPosition = START) -> list[Damage]:
    """What reading a folder tells of damage."""
    damage: list[Damage] = []
    assert list(read_records(folder, since, damage.append))
    return damage


def append(durable_log: DurableLog, *contents: bytes) -> LogPosition:
    """Append trace requests."""
    return durable_log.append([(Signal.TRACES, content) for content in contents])


def written(folder: Path, groups: Iterable[tuple[bytes, ...]], **options: Any) -> list[LogPosition]:
    """Write groups with a log of their own; return the position after each."""
    durable_log = DurableLog(folder, **options)
    positions = [append(durable_log, *group) for group in groups]
    durable_log.close()
    return positions


def segment(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return next(path for path in folder.iterdir() if int(path.stem) == number)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    groups=st.lists(st.lists(st.tuples(st.sampled_from(Signal), st.binary(max_size=40)), min_size=1), max_size=5),
    segment_bytes=st.integers(1, 200),
)
def test_records_come_back(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[tuple[Signal, bytes]]], segment_bytes: int
) -> None:
    """In order, with signal, body and time of arrival, from any position onwards."""
    folder = tmp_path_factory.mktemp("log")
    before = time.time_ns()
    durable_log = DurableLog(folder, segment_bytes=segment_bytes)
    ends = [START, *(durable_log.append(group) for group in groups)]
    durable_log.close()
    records = list(read_records(folder))
    assert [(record.signal, record.body) for record in records] == [record for group in groups for record in group]
    assert all(before <= record.received_unix_nano <= time.time_ns() for record in records)
    assert [record.end for record in records] == sorted(record.end for record in records)
    for index, end in enumerate(ends):
        rest = [(record.signal, record.body) for record in read_records(folder, end)]
        assert rest == [record for group in groups[index:] for record in group]


def test_each_record_knows_where_it_ends(tmp_path: Path) -> None:
    """Reading on from there gives the records behind it."""
    written(tmp_path, [(b"a", b"", b"ccc")])
    ends = [record.end for record in read_records(tmp_path)]
    assert [bodies(tmp_path, end) for end in ends] == [[b"", b"ccc"], [b"ccc"], []]


def test_more_records_than_one_system_call_takes(tmp_path: Path) -> None:
    """A group of thousands is written as a whole."""
    contents = tuple(str(number).encode() for number in range(3000))
    written(tmp_path, [contents])
    assert tuple(bodies(tmp_path)) == contents


def test_an_empty_folder_has_no_records(tmp_path: Path) -> None:
    """Neither has one that is not there yet."""
    assert bodies(tmp_path) == bodies(tmp_path / "absent") == []


def test_a_torn_tail_loses_only_itself(tmp_path: Path) -> None:
    """A crash may cut the last record anywhere; the next start appends behind it, in a segment of its own."""
    original = tmp_path / "original"
    _, before, after = written(original, [(b"first",), (b"second",), (b"the last one",)])
    for size in range(before.offset, after.offset):
        folder = tmp_path / str(size)
        shutil.copytree(original, folder)
        os.truncate(segment(folder, 1), size)
        assert bodies(folder) == [b"first", b"second"]
        written(folder, [(b"next",)])
        assert bodies(folder) == [b"first", b"second", b"next"]


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff" * 100, b"\0" * 8 + b"\xff" * 13], ids=["zeros", "ones", "huge"])
def test_garbage_behind_the_last_record_is_no_record(tmp_path: Path, tail: bytes) -> None:
    """A file system may leave zeros or anything else behind a crash, and a length in it may be enormous."""
    written(tmp_path, [(b"first",)])
    with segment(tmp_path, 1).open("ab") as file:
        file.write(tail)
    tracemalloc.start()
    try:
        assert bodies(tmp_path) == [b"first"]
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_damaged_byte_loses_its_record_only(tmp_path: Path) -> None:
    """Whichever byte it is, that of a length too; what comes before it and behind it is kept."""
    original = tmp_path / "original"
    first, second, *_ = written(original, [(b"a",), (b"bb",), (b"c",)])
    written(original, [(b"other segment",)])
    content = segment(original, 1).read_bytes()
    for place, change in itertools.product(range(first.offset, second.offset), (0x01, 0x10, 0x80)):
        folder = tmp_path / f"{place} {change}"
        shutil.copytree(original, folder)
        damaged = bytearray(content)
        damaged[place] ^= change
        segment(folder, 1).write_bytes(damaged)
        assert bodies(folder) == [b"a", b"c", b"other segment"]
        assert told(folder) == [Damage(LogPosition(1, first.offset), torn=False)]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Where it is, and whether a crash may have torn it: only the end of a segment is ever torn."""
    ends = written(tmp_path, [(b"a",), (b"b",), (b"c",)])
    written(tmp_path, [(b"d",)])
    assert told(tmp_path) == []
    os.truncate(segment(tmp_path, 1), ends[2].offset - 1)
    with segment(tmp_path, 1).open("r+b") as file:
        file.write(b"damage")
    assert told(tmp_path) == [Damage(LogPosition(1, 0), torn=False), Damage(ends[1], torn=True)]
    assert told(tmp_path, ends[0]) == [Damage(ends[1], torn=True)]


@pytest.mark.parametrize("filling", [b"\0", b"\xff"])
def test_a_hole_in_a_segment_loses_the_records_in_it(tmp_path: Path, filling: bytes) -> None:
    """A block of the disk that cannot be read back, say; also when what is left looks like a header."""
    ends = written(tmp_path, [(str(number).encode() * 50,) for number in range(20)])
    content = bytearray(segment(tmp_path, 1).read_bytes())
    begin, end = ends[4].offset + 5, ends[8].offset + 30
    content[begin:end] = filling * (end - begin)
    segment(tmp_path, 1).write_bytes(content)
    assert bodies(tmp_path) == [str(number).encode() * 50 for number in range(20) if number not in range(5, 10)]


def _fail_after(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next writev write only so many bytes, and the write of the rest find the disk full, once."""
    writev, write = os.writev, os.write
    state = {"failing": True}

    def short_writev(descriptor: int, buffers: list[bytes]) -> int:
        if not state["failing"]:
            return writev(descriptor, buffers)
        return write(descriptor, b"".join(buffers)[:size]) if size else 0

    def full_write(descriptor: int, data: Any) -> int:
        if state.pop("failing", False):
            state["failing"] = False
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "writev", short_writev)
    monkeypatch.setattr(os, "write", full_write)


@pytest.mark.parametrize("size", [0, 5, 30])
def test_a_full_disk_is_an_error_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Not even the records of the failed group that were written whole; later appends work."""
    durable_log = DurableLog(tmp_path)
    position = append(durable_log, b"before")
    _fail_after(size, monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        append(durable_log, b"one", b"two", b"three")
    assert durable_log.position == position
    after = append(durable_log, b"after")
    assert after > position
    assert bodies(tmp_path) == [b"before", b"after"]
    assert bodies(tmp_path, position) == [b"after"]


def test_a_short_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take a part of what it is given."""
    write = os.write
    monkeypatch.setattr(os, "writev", lambda descriptor, buffers: write(descriptor, b"".join(buffers)[:3]))
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:7])))
    written(tmp_path, [(b"one", b"two" * 10)])
    assert bodies(tmp_path) == [b"one", b"two" * 10]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_a_failed_sync_means_the_records_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Nobody knows what reached the disk then, so that file is never appended to again."""
    durable_log = DurableLog(tmp_path)
    append(durable_log, b"before")
    sync = log._sync

    def fail(_descriptor: int) -> None:
        monkeypatch.setattr(log, "_sync", sync)
        raise error

    monkeypatch.setattr(log, "_sync", fail)
    with pytest.raises(type(error)):
        append(durable_log, b"lost")
    assert append(durable_log, b"after").segment == 2
    assert bodies(tmp_path) == [b"before", b"after"]


def test_a_segment_that_cannot_be_opened_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For want of file descriptors, say."""
    durable_log = DurableLog(tmp_path)

    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(OSError, match="Too many open files"):
            append(durable_log, b"lost")
    append(durable_log, b"after")
    assert bodies(tmp_path) == [b"after"]


def test_segments_rotate_and_are_deleted_when_applied(tmp_path: Path) -> None:
    """Those that lie wholly before a position, and no others."""
    durable_log = DurableLog(tmp_path, segment_bytes=1)
    positions = [append(durable_log, bytes([number])) for number in range(4)]
    assert [position.segment for position in positions] == segment_numbers(tmp_path) == [1, 2, 3, 4]
    durable_log.delete_before(positions[2])
    assert segment_numbers(tmp_path) == [3, 4]
    assert bodies(tmp_path, positions[2]) == [b"\3"]
    segment(tmp_path, 3).unlink()
    durable_log.delete_before(positions[3])
    assert append(durable_log, b"next").segment == 5


def test_numbers_go_on_after_the_folder_was_emptied(tmp_path: Path) -> None:
    """A position in the store must never point into the middle of a younger segment."""
    written(tmp_path, [(b"a",)])
    segment(tmp_path, 1).unlink()
    assert written(tmp_path, [(b"b",)], after=7)[0].segment == 8
    assert written(tmp_path, [(b"c",)], after=3)[0].segment == 9


def test_position_is_the_start_until_something_is_written(tmp_path: Path) -> None:
    """So that waiting for it never waits for what an earlier process left torn."""
    written(tmp_path, [(b"a",)])
    durable_log = DurableLog(tmp_path)
    assert durable_log.position == START
    assert append(durable_log, b"b") == durable_log.position == LogPosition(2, 22)
