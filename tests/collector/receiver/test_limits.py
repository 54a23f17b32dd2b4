"""The size limit counts what comes out of decompression, and holds while it is decompressed: duty 3 of a receiver."""

from __future__ import annotations

import gzip
import http.client
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import zstandard
from google.rpc import code_pb2
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import InvalidRequestError, PayloadTooLargeError
from collector.receiver.limits import decompress
from collector.signals import Signal
from tests.collector.receiver.running import JSON, PROTOBUF, Answer, as_json, serve, trace_body, trace_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.collector.receiver.running import Collector, Senders

MIB = 1024**2
LIMIT = 64 * MIB
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}
BOMB_MIB = 1024
MOST_GROWTH = 256 * MIB  # the limit itself, once more to join it, and what a step may bring


def sized_request(trace_id: bytes, size: int) -> bytes:
    """A request of exactly so many bytes: one span with a long attribute."""
    request = trace_request(trace_id)
    attribute = request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="long")
    attribute.value.string_value = "x" * (size - 200)
    attribute.value.string_value += "x" * (size - request.ByteSize())
    assert request.ByteSize() == size
    return bytes(request.SerializeToString())


def sized_json(trace_id: bytes, size: int) -> bytes:
    """A JSON request of exactly so many bytes."""
    request = trace_request(trace_id)
    request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="long").value.string_value = "<>"
    body = as_json(request)
    return body.replace(b"<>", b"x" * (size - len(body) + 2))


def bomb(encoding: str) -> bytes:
    """A GiB of zeros, compressed."""
    streams: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.compressobj(1, wbits=31),
        "deflate": lambda: zlib.compressobj(1),
        "zstd": zstandard.ZstdCompressor().compressobj,
    }
    stream = streams[encoding]()
    return b"".join([*(stream.compress(bytes(MIB)) for _ in range(BOMB_MIB)), stream.flush()])


def memory(process: int, field: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (the most so far) of a process, in bytes."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


@given(st.sampled_from(list(COMPRESS)), st.lists(st.binary(max_size=3000), min_size=1, max_size=4))
def test_what_was_compressed_comes_out(encoding: str, members: list[bytes]) -> None:
    """One member or several give back the bytes, at a limit of just their number; one byte less refuses them."""
    whole = b"".join(members)
    body = b"".join(COMPRESS[encoding](member) for member in members)
    assert decompress(body, encoding, len(whole)) == whole
    if whole:
        with pytest.raises(PayloadTooLargeError, match="over"):
            decompress(body, encoding, len(whole) - 1)


@given(st.sampled_from(list(COMPRESS)), st.binary(min_size=1, max_size=3000), st.data())
def test_what_was_cut_off_is_refused(encoding: str, whole: bytes, data: st.DataObject) -> None:
    """No beginning of compressed data is taken for the whole, except nothing at all."""
    body = COMPRESS[encoding](whole)
    cut = data.draw(st.integers(1, len(body) - 1))
    with pytest.raises(InvalidRequestError, match=encoding):
        decompress(body[:cut], encoding, 10_000)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_very_many_members_are_refused(encoding: str) -> None:
    """Empty members cost time and bring nothing: the size limit alone would let millions of them pass."""
    with pytest.raises(InvalidRequestError, match="members"):
        decompress(COMPRESS[encoding](b"") * 100_000, encoding, LIMIT)


def test_a_window_that_takes_much_memory_is_refused() -> None:
    """A zstandard frame says how much memory its decoder needs; no sender of telemetry asks for 64 MiB."""
    parameters = zstandard.ZstdCompressionParameters(window_log=26)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(InvalidRequestError, match="zstd"):
        decompress(stream.compress(b"x") + stream.flush(), "zstd", LIMIT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Collector]]:
    """A collector of its own process."""
    with serve(tmp_path_factory.mktemp("limits")) as (process, running):
        yield process.pid, running


def assert_refused(answer: Answer, senders: Senders, trace_id: bytes) -> None:
    """The error is permanent, and the next request is taken."""
    if isinstance(answer.status, int):
        assert answer.status == 413
        assert answer.error().code == code_pb2.RESOURCE_EXHAUSTED
        assert "over 67,108,864 bytes once decompressed" in answer.error().message
    else:
        assert answer.status == "RESOURCE_EXHAUSTED"
        assert b"larger than max" in answer.body
    assert not {"retry-after", "google.rpc.retryinfo-bin", "grpc-status-details-bin"} & answer.headers.keys()
    assert senders.send("http", trace_body(trace_id)).status == 200


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_bomb_over_http_fills_no_memory(server: tuple[int, Collector], trace_id: bytes, encoding: str) -> None:
    """A GiB of zeros is refused while it unfolds."""
    process, collector = server
    before = memory(process, "VmRSS")
    answer = collector.post("/v1/traces", bomb(encoding), PROTOBUF, encoding)
    assert memory(process, "VmHWM") - before < MOST_GROWTH
    assert_refused(answer, collector, trace_id)


def test_a_bomb_over_grpc_fills_no_memory(server: tuple[int, Collector], trace_id: bytes) -> None:
    """A canary: gRPC decompresses by itself, and since some version stops at the limit (half a GiB here)."""
    process, collector = server
    before = memory(process, "VmRSS")
    answer = collector.call(Signal.TRACES, bytes(BOMB_MIB * MIB // 2), grpc.Compression.Gzip)
    assert memory(process, "VmHWM") - before < MOST_GROWTH
    assert_refused(answer, collector, trace_id)


@pytest.mark.parametrize("transport", ["grpc", "grpc gzip", "http", "http gzip", "json"])
@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1, LIMIT + MIB])
def test_64_mib_pass_and_a_byte_more_does_not(collector: Collector, trace_id: bytes, transport: str, size: int) -> None:
    """The limit is the same for both transports, plain and compressed."""
    if transport == "json":
        answer = collector.post("/v1/traces", sized_json(trace_id, size), JSON)
    elif transport == "http gzip":
        answer = collector.post("/v1/traces", gzip.compress(sized_request(trace_id, size), 1), PROTOBUF, "gzip")
    elif transport == "http":
        answer = collector.post("/v1/traces", sized_request(trace_id, size))
    else:
        compression = grpc.Compression.Gzip if "gzip" in transport else None
        answer = collector.call(Signal.TRACES, sized_request(trace_id, size), compression)
    if size > LIMIT:
        assert_refused(answer, collector, trace_id)
    else:
        assert answer.status in (200, "OK")
    length = "coalesce(strlen(attributes['long']), 0) AS length"
    rows = collector.rows(f"SELECT {length} FROM spans WHERE trace_id = '{trace_id.hex()}'")
    assert (rows[0]["length"] > LIMIT - 500) == (size == LIMIT)


def test_a_sender_hears_of_the_limit_however_much_it_sends(collector: Collector) -> None:
    """The rest of the body is read and dropped: a connection that is reset would be taken for an outage."""
    connection = http.client.HTTPConnection(collector.http, timeout=60)
    parts = (bytes(MIB) for _ in range(200))
    connection.request("POST", "/v1/traces", parts, {"Content-Type": PROTOBUF}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
