"""An acknowledged span survives ``kill -9`` at any moment, once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from collector.service import offline_pipeline
from collector.store import open_store
from collector.store.protocol import QueryLimits

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 20
SPANS = 64
SENDERS = 4
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LIMITS = QueryLimits(rows=10_000_000, seconds=120)


def request_body(number: int) -> bytes:
    """A request whose spans are named for it, so that each can be counted afterwards."""
    request = trace_service_pb2.ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for index in range(SPANS):
        spans.add(
            trace_id=(number + 1).to_bytes(16, "big"),
            span_id=(index + 1).to_bytes(8, "big"),
            name=str(number),
            start_time_unix_nano=time.time_ns(),
        )
    return bytes(request.SerializeToString())


@dataclass
class Load:
    """Senders that repeat a request until it is acknowledged, as exporters do, across restarts of the collector."""

    bodies: dict[int, bytes] = field(default_factory=dict)
    acknowledged: set[int] = field(default_factory=set)
    lock: Any = field(default_factory=threading.Lock)

    def next_number(self) -> int:
        """A request that was sent and not acknowledged, else a new one."""
        with self.lock:
            open_ones = self.bodies.keys() - self.acknowledged
            number = min(open_ones) if len(open_ones) > SENDERS else len(self.bodies)
            self.bodies.setdefault(number, request_body(number))
            return number

    def send(self, address: str, stopping: threading.Event) -> None:
        """Send until told to stop, or until the collector is gone."""
        with grpc.insecure_channel(address) as channel:
            export = channel.unary_unary(METHOD)
            while not stopping.is_set():
                number = self.next_number()
                try:
                    export(self.bodies[number], timeout=5)
                except grpc.RpcError:
                    return
                with self.lock:
                    self.acknowledged.add(number)


def start(db: Path) -> tuple[subprocess.Popen[str], str]:
    """A collector of its own process, and its gRPC address."""
    command = [sys.executable, "-m", "lithoscope", "serve", "--db", str(db)]
    ports = [part for name in ("grpc", "http", "query") for part in (f"--{name}", "127.0.0.1:0")]
    process = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name, _, address = process.stdout.readline().strip().partition(" ")
    assert name == "grpc", f"the collector did not start: {name} {address}"
    return process, address


def stored(db: Path) -> Counter[int]:
    """How often each request's spans are in the file, in spans."""
    with offline_pipeline(db):
        pass  # opening replays what the log still holds
    store = open_store(db, read_only=True)
    try:
        rows = store.query("SELECT span_name, count(*) AS n FROM spans GROUP BY 1", LIMITS).to_pylist()
    finally:
        store.close()
    return Counter({int(row["span_name"]): row["n"] for row in rows})


@pytest.mark.slow
def test_every_acknowledged_span_is_stored_exactly_once_after_kills(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Twenty kills under load: what was acknowledged is there, and nothing is there twice."""
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    db = tmp_path / "kill.duckdb"
    load = Load()
    for kill in range(KILLS):
        process, address = start(db)
        stopping = threading.Event()
        request.addfinalizer(process.kill)
        senders = [threading.Thread(target=load.send, args=(address, stopping)) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        stopping.wait(rng.uniform(0.05, 1.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        stopping.set()
        for sender in senders:
            sender.join()
        if process.stdout is not None:
            process.stdout.close()
        assert load.acknowledged, f"nothing was acknowledged before kill {kill}, seed {seed}"
    found = stored(db)
    assert {number: found[number] for number in load.acknowledged} == dict.fromkeys(load.acknowledged, SPANS), seed
    assert set(found.values()) <= {SPANS}, f"a request is there in part or twice, seed {seed}"
