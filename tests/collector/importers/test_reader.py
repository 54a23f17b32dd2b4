"""Files are known by content, survive damage, and can be moved to now."""

from __future__ import annotations

import gzip
import io
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import zstandard

from collector.errors import ImportFileError
from collector.importers import detect, reader
from collector.importers.reader import newest_unix_nano, read_requests
from tests.collector.importers.files import FIXTURES, framed, line, logs, metrics, read, spans_of, traces

if TYPE_CHECKING:
    from collections.abc import Callable

_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
_CONTENTS = {
    "lines": line(1) + line(2),
    "stream": framed(traces(1), traces(2)),
    "message": traces(1, 2).SerializeToString(),
    "jaeger": (FIXTURES / "jaeger.json").read_bytes(),
    "zipkin": (FIXTURES / "zipkin.json").read_bytes(),
}
_COUNTS = {"lines": 2, "stream": 2, "message": 2, "jaeger": 2, "zipkin": 3}


@pytest.mark.parametrize("packing", _PACKERS)
@pytest.mark.parametrize("content", _CONTENTS)
def test_the_name_of_a_file_means_nothing(tmp_path: Path, packing: str, content: str) -> None:
    """Format and compression are told by content; the bytes that were read add up to the file."""
    path = tmp_path / "misleading.gz.json"
    path.write_bytes(_PACKERS[packing](_CONTENTS[content]))
    steps: list[int] = []
    requests, problems = read(path, on_bytes=steps.append)
    assert (len(spans_of(requests)), problems, sum(steps)) == (_COUNTS[content], [], path.stat().st_size)


def test_standard_input_is_read_like_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """And stays open."""
    stdin = io.BytesIO(gzip.compress(line(1)))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
    requests, _ = read(Path("-"))
    assert (len(spans_of(requests)), stdin.closed) == (1, False)


@pytest.mark.parametrize(
    "content", [b"", b"hello\nworld\n", b"{}", b'{"data":[{"x":1}]}', b"[1]", b"[" * 900 + b"]" * 900]
)
def test_what_is_not_recognised_names_what_would_be(tmp_path: Path, content: bytes) -> None:
    """The message lists the formats."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ImportFileError) as caught:
        read(tmp_path / "x")
    assert str(caught.value) == f"{tmp_path / 'x'} is of no known format: Lithoscope reads {detect.FORMATS}."


@pytest.mark.parametrize("content", [b'{"data": [', b"[" * 100_000, gzip.compress(line(1), mtime=0)[:12]])
def test_what_is_damaged_from_the_start_says_so(tmp_path: Path, content: bytes) -> None:
    """Nothing could be kept; the file fails with a sentence."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ImportFileError, match="damaged or cut off"):
        read(tmp_path / "x")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    """So does one that cannot be read as a file."""
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ImportFileError, match="cannot be read"):
            list(read_requests(path))


def test_a_file_on_a_failing_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be opened, and its first byte cannot be read."""
    (tmp_path / "x").write_bytes(line(1))

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(reader._Counted, "readinto", fail)
    with pytest.raises(ImportFileError, match=r"x cannot be read \(Input/output error\)"):
        read(tmp_path / "x")


def _random_lines() -> list[bytes]:
    """Lines that hardly compress, so that a cut takes a part of them."""
    source = random.Random(7)
    return [line(source.getrandbits(63)) for _ in range(2000)]


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
@pytest.mark.parametrize("head", [1000, 8 * 1024 * 1024])
def test_a_cut_file_keeps_what_comes_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: str, head: int
) -> None:
    """Whether the cut is within the head or behind it; one problem tells of it."""
    monkeypatch.setattr(reader, "_HEAD_BYTES", head)
    lines = _random_lines()
    packed = _PACKERS[packing](b"".join(lines))
    (tmp_path / "whole").write_bytes(packed)
    (tmp_path / "cut").write_bytes(packed[: len(packed) * 3 // 4])
    (whole, no_problems), (cut, problems) = read(tmp_path / "whole"), read(tmp_path / "cut")
    assert (len(whole), no_problems) == (2000, [])
    assert 500 < len(cut) < 2000
    assert cut == whole[: len(cut)]
    assert problems == ["end: the file is damaged or cut off here (it ends before its end mark)"]


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_members_follow_each_other(tmp_path: Path, packing: str) -> None:
    """As ``cat a.gz b.gz`` makes them; zeros behind them are padding, anything else is damage."""
    pack = _PACKERS[packing]
    (tmp_path / "x").write_bytes(pack(line(1)) + pack(line(2)) + b"\0" * 100_000)
    requests, problems = read(tmp_path / "x")
    assert (len(requests), problems) == (2, [])
    (tmp_path / "x").write_bytes(pack(line(1)) + b"what is this")
    requests, problems = read(tmp_path / "x")
    assert (len(requests), [problem[:4] for problem in problems]) == (1, ["end:"])


@pytest.mark.parametrize("content", [line(1) + line(2), framed(traces(1), traces(2))])
def test_a_first_record_longer_than_the_head_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """Lines and messages are told by their beginning too."""
    monkeypatch.setattr(reader, "_HEAD_BYTES", 20)
    (tmp_path / "x").write_bytes(content)
    requests, problems = read(tmp_path / "x")
    assert (len(requests), problems) == (2, [])


def test_all_times_move_alike(tmp_path: Path) -> None:
    """Spans, events, points, their starts, exemplars and logs; a time of zero is unknown and stays."""
    span = traces(10, end_time_unix_nano=0, events=[{"time_unix_nano": 11}, {}])
    point = metrics(time_unix_nano=12, start_time_unix_nano=0, exemplars=[{"time_unix_nano": 13}])
    (tmp_path / "x").write_bytes(framed(span, point, logs("l", time_unix_nano=14, observed_time_unix_nano=20)))
    assert newest_unix_nano(tmp_path / "x") == 20
    requests, problems = read(tmp_path / "x", shift_ns=100)
    moved = traces(10, start_time_unix_nano=110, end_time_unix_nano=0, events=[{"time_unix_nano": 111}, {}])
    assert requests == [
        moved,
        metrics(time_unix_nano=112, exemplars=[{"time_unix_nano": 113}]),
        logs("l", time_unix_nano=114, observed_time_unix_nano=120),
    ]
    assert problems == []


def test_a_time_that_cannot_move_costs_its_request_only(tmp_path: Path) -> None:
    """A time at the end of what 64 bits hold."""
    late = traces(1, events=[{"time_unix_nano": 2**64 - 1}])
    (tmp_path / "x").write_bytes(framed(late, traces(2)))
    requests, problems = read(tmp_path / "x", shift_ns=100)
    assert [span.start_time_unix_nano for _, span in spans_of(requests)] == [102]
    assert [problem.partition(":")[0] for problem in problems] == ["byte 0"]


def test_a_file_without_times_has_no_newest(tmp_path: Path) -> None:
    """None, not 1970."""
    (tmp_path / "x").write_bytes(logs("l").SerializeToString())
    assert newest_unix_nano(tmp_path / "x") is None
