"""The Python client: frames for answers, and errors that say what to do."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from collector.client import connect
from collector.errors import ConfigurationError, LithoscopeError, QueryError

if TYPE_CHECKING:
    from collector.client import Client


def test_sql_is_a_frame(client: Client) -> None:
    """Columns in Polars' types, times with nanoseconds."""
    found = client.sql("SELECT span_name, start_time, duration_ns FROM spans ORDER BY start_time LIMIT 2")
    expected = pl.DataFrame(
        {
            "span_name": ["op 1", "op 2"],
            "start_time": pl.Series([1_795_435_200_001_000_000, 1_795_435_200_002_000_000]).cast(pl.Datetime("ns")),
            "duration_ns": [99_000_000, 78_000_000],
        }
    )
    assert_frame_equal(found, expected)


def test_attributes_arrive(client: Client) -> None:
    """A MAP column has its keys and values."""
    table = client.sql_arrow("SELECT resource_attributes FROM spans WHERE span_name = 'op 1'")
    assert table.column(0).to_pylist() == [[("service.name", "web")]]


def test_no_rows_are_a_frame(client: Client) -> None:
    """An empty answer has its columns."""
    found = client.sql("SELECT trace_id, duration_ns FROM spans WHERE false")
    assert found.schema == {"trace_id": pl.String, "duration_ns": pl.Int64}
    assert found.height == 0


def test_a_refused_query_says_why(client: Client) -> None:
    """Message, code and hint are the collector's own."""
    with pytest.raises(QueryError) as caught:
        client.sql("SELECT nope FROM traces")
    assert caught.value.code == "bad_sql"
    assert str(caught.value).startswith('Binder Error: Referenced column "nope" not found')
    assert caught.value.hint.startswith("Did you mean ")


def test_another_server_is_told_apart() -> None:
    """The dashboard answers everything with a page: that is a sentence, and no traceback."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asking = connect(f"http://127.0.0.1:{server.server_port}")
        for ask in (asking.check, asking.report, asking.status):
            with pytest.raises(LithoscopeError, match="is no query API of a collector: give the address that"):
                ask()
        server.shutdown()


def test_an_unknown_trace_is_not_found(client: Client) -> None:
    """It can be told apart from a failure."""
    with pytest.raises(QueryError) as caught:
        client.trace("f" * 32)
    assert caught.value.code == "not_found"
    assert client.trace("01" * 16)["complete"] is True


def test_silence_names_the_remedy() -> None:
    """Nothing listens: the message says where, and how to start a collector."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(LithoscopeError, match=rf"Nothing answers at {url} .*`lithoscope serve`"):
            connect(url).sql("SELECT 1")


def test_slowness_is_no_silence() -> None:
    """Something listens and does not answer: the message says how long was waited."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(LithoscopeError, match=r"did not answer within 0\.05 s"):
            connect(url, timeout_s=0.05).sql("SELECT 1")


@pytest.mark.parametrize("url", ["", "127.0.0.1", "127.0.0.1:http", "ftp://host", "http://", "file:///etc/passwd"])
def test_a_wrong_address_is_refused(url: str) -> None:
    """Only http and https are asked; what is no HOST:PORT needs its scheme."""
    with pytest.raises(ConfigurationError, match=r"is not the address of a query API"):
        connect(url)


def test_a_key_is_not_shown() -> None:
    """A client in a log or a notebook does not give its key away."""
    assert "secret" not in repr(connect(api_key="secret"))


@pytest.mark.parametrize("address", ["127.0.0.1:4319", "localhost:4319", "[::1]:4319"])
def test_an_address_needs_no_scheme(address: str) -> None:
    """The collector prints HOST:PORT, and that can be pasted."""
    assert connect(address).url == f"http://{address}"
