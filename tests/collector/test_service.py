"""The collector comes up whole or not at all, and goes down without losing what it acknowledged."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import grpc
import pytest

from collector.errors import ConfigurationError, SchemaVersionError, StoreBusyError, StoreError
from collector.log import log_folder
from collector.service import Service, offline_pipeline
from collector.settings import Address, Settings
from collector.signals import PROTOCOL, Signal
from collector.store import open_store
from collector.store.protocol import QueryLimits
from tests.collector.receiver.running import ANY_PORT, PROTOBUF, Senders, run_collector, serve, trace_body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PORTS = {"grpc": ANY_PORT, "http": ANY_PORT, "query": ANY_PORT}
SENDERS = 4
PATIENCE_S = 30


def files_open() -> int:
    """How many files and sockets this process holds."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (its entries are gone when a Path looks at them)


@contextmanager
def taken_port(host: str = "127.0.0.1") -> Iterator[Address]:
    """A port that something else listens on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        yield Address(host, server.getsockname()[1])


def spans(db: Path) -> list[dict[str, Any]]:
    """How many spans of each name a database file holds, once it is closed."""
    with closing(open_store(db, read_only=True)) as store:
        query = "SELECT span_name, count(*) AS spans FROM spans GROUP BY ALL ORDER BY ALL"
        rows: list[dict[str, Any]] = store.query(query, QueryLimits()).to_pylist()
        return rows


def start(db: Path, **settings: Any) -> None:
    """Start a collector that must not start."""
    with Service(Settings(db=db, **{**PORTS, **settings})):
        raise AssertionError("it started")


@pytest.mark.parametrize("name", PORTS)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_in_use_is_one_sentence_that_names_the_option(
    tmp_path: Path, name: str, host: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing stays open behind it, and nothing else is written: gRPC has a log of its own."""
    before = set(threading.enumerate())
    with taken_port() as taken:
        address = Address(host, taken.port)
        with pytest.raises(ConfigurationError) as caught:
            start(tmp_path / "a.duckdb", **{name: address}, insecure=True)
    assert str(caught.value) == (
        f"{address} cannot be listened on (Address already in use): "
        f"stop what uses it, or choose another address with --{name}."
    )
    assert capfd.readouterr() == ("", "")
    assert set(threading.enumerate()) <= before
    with run_collector(tmp_path) as collector:
        assert collector.post("/v1/traces", b"").status == 200


def test_one_port_for_two_receivers_is_refused(tmp_path: Path) -> None:
    """A port is in use as well when the collector itself has it."""
    with taken_port() as free:
        pass
    with pytest.raises(ConfigurationError, match="--http"):
        start(tmp_path / "a.duckdb", http=free, query=free)


def test_a_name_with_one_address_taken_is_refused(tmp_path: Path) -> None:
    """GRPC would listen on the other address alone, and half of the senders would reach a stranger."""
    with taken_port() as taken, pytest.raises(ConfigurationError, match="--grpc"):
        start(tmp_path / "a.duckdb", grpc=Address("localhost", taken.port))


@pytest.mark.parametrize("name", PORTS)
@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 64, "a..b", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_one_sentence(tmp_path: Path, name: str, host: str) -> None:
    """A host without an address, a name that is none, and another machine's address."""
    with pytest.raises(ConfigurationError, match=rf"^(gRPC cannot listen on )?{host}:0 .*with --{name}\.$"):
        start(tmp_path / "a.duckdb", **{name: Address(host, 0)}, insecure=True)


def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    """``lithoscope serve`` on a port in use: status 2, one line, no traceback."""
    with taken_port() as taken:
        for name in PORTS:
            options = [text for port in PORTS for text in (f"--{port}", str(taken if port == name else ANY_PORT))]
            command = [sys.executable, "-m", "lithoscope", "serve", "--db", str(tmp_path / "a.duckdb"), *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
            assert f"with --{name}." in done.stderr


def test_a_database_that_another_process_holds_is_busy(tmp_path: Path) -> None:
    """The error says what to do, and the holder is not disturbed."""
    with serve(tmp_path) as (_, collector):
        with pytest.raises(StoreBusyError, match=r"is held by another process: .* give another file with --db\.$"):
            start(tmp_path / "test.duckdb")
        assert collector.send("grpc", trace_body(b"\1" * 16)).status == "OK"
        collector.span(b"\1" * 16)


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """Before anything in it or in its log is changed."""
    db = tmp_path / "test.duckdb"
    with run_collector(tmp_path):
        pass
    with duckdb.connect(db) as connection:
        connection.execute("INSERT INTO store.migrations VALUES (999, 'of the future', now()::TIMESTAMP)")
    before = [db.read_bytes(), *sorted(log_folder(db).iterdir())]
    with pytest.raises(SchemaVersionError, match=r"has schema version 999, .*: upgrade Lithoscope, or give another"):
        start(db)
    assert [db.read_bytes(), *sorted(log_folder(db).iterdir())] == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It is not written to."""
    file = tmp_path / "notes.txt"
    file.write_text("no database" * 1000, encoding="utf-8")
    with pytest.raises(StoreError, match=r"cannot be opened as a DuckDB database"):
        start(file)
    assert file.read_text(encoding="utf-8") == "no database" * 1000


def test_start_and_stop_leave_nothing_behind(tmp_path: Path) -> None:
    """No thread, no open file and no port; the second start finds what the first stored."""
    before = set(threading.enumerate())
    files = []
    ports = PORTS
    for number in range(3):
        with run_collector(tmp_path, **ports) as collector:
            assert collector.send("grpc", trace_body(bytes([number + 1]) * 16)).status == "OK"
            assert collector.send("http", trace_body(bytes([number + 11]) * 16)).status == 200
            rows = collector.rows("SELECT DISTINCT trace_id FROM spans", 2 * number + 2)
            assert len(rows) == 2 * number + 2
            ports = {"grpc": Address.parse(collector.grpc), "http": Address.parse(collector.http)}
        for address in ports.values():
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
        assert set(threading.enumerate()) <= before
        files.append(files_open())
    assert files[2] <= files[1]


def test_stopping_stores_all_that_was_acknowledged(tmp_path: Path) -> None:
    """Rows that no query could see yet are in the file afterwards."""
    with run_collector(tmp_path) as collector:
        for number in range(1, 30):
            assert collector.send("http", trace_body(number.to_bytes(16, "big"))).status == 200
    assert spans(tmp_path / "test.duckdb") == [{"span_name": "test", "spans": 29}]


class Load:
    """Senders by both transports, that count what was acknowledged until the collector is gone."""

    def __init__(self, senders: Senders) -> None:
        self._senders = senders
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(SENDERS)]
        self.acknowledged: set[str] = set()
        self.many = threading.Event()

    def _run(self, sender: int) -> None:
        with grpc.insecure_channel(self._senders.grpc) as channel:
            export = channel.unary_unary(f"/{PROTOCOL[Signal.TRACES].grpc_service}/Export")
            for number in range(1_000_000):
                trace_id = bytes([sender + 1]) + number.to_bytes(15, "big")
                body = trace_body(trace_id, name=trace_id.hex())
                try:
                    if sender % 2:
                        export(body, timeout=20)
                    elif self._senders.post("/v1/traces", body, PROTOBUF).status != 200:
                        return
                except (grpc.RpcError, OSError):
                    return
                self._count(trace_id.hex())

    def _count(self, name: str) -> None:
        with self._lock:
            self.acknowledged.add(name)
            if len(self.acknowledged) > 200:
                self.many.set()

    def __enter__(self) -> Load:  # noqa: PYI034
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_under_load(tmp_path: Path, number: signal.Signals) -> None:
    """All that senders heard an acknowledgement of is in the file, once, without the log having to be replayed."""
    with serve(tmp_path) as (process, collector), Load(collector) as load:
        assert load.many.wait(PATIENCE_S)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
    stored = {row["span_name"]: row["spans"] for row in spans(tmp_path / "test.duckdb")}
    assert load.acknowledged <= stored.keys()
    assert set(stored.values()) == {1}
    with offline_pipeline(tmp_path / "test.duckdb") as pipeline:
        assert pipeline.replayed == 0
