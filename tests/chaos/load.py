"""What chaos sends, and exactly what was acknowledged of it."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import grpc

from collector.signals import PROTOCOL, Signal
from collector.store.protocol import QueryLimits

if TYPE_CHECKING:
    import random

    from collector.store.protocol import Store

SENDERS = 4
_PATIENCE_S = 5.0
_MINUTE_NS = 60 * 10**9
_HOUR_NS = 60 * _MINUTE_NS
_SIGNALS = (Signal.TRACES, Signal.TRACES, Signal.LOGS, Signal.METRICS)
_QUERIES = {
    Signal.TRACES: "SELECT span_name AS name, count(*) AS n, count(DISTINCT span_id) AS differ FROM spans GROUP BY 1",
    Signal.LOGS: "SELECT split_part(body, ' ', 1) AS name, count(*) AS n, count(DISTINCT body) AS differ FROM logs "
    "GROUP BY 1",
    Signal.METRICS: "SELECT metric_name AS name, count(*) AS n, count(DISTINCT value) AS differ FROM metrics "
    "GROUP BY 1",
}

_TRACES = "SELECT count(DISTINCT trace_id) AS n FROM spans WHERE start_time > now()::TIMESTAMP - INTERVAL 1 HOUR"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request: its records all carry its number. ``is_old`` ones are older than retention keeps."""

    number: int
    signal: Signal
    records: int
    is_old: bool
    body: bytes


def make(number: int, rng: random.Random) -> Sent:
    """Return a request of any signal, with one to forty records."""
    signal = _SIGNALS[number % len(_SIGNALS)]
    records = rng.randrange(1, 41)
    is_old = number % 9 == 0
    start = time.time_ns() - (2 * _HOUR_NS if is_old else rng.randrange(3 * _MINUTE_NS))
    request = PROTOCOL[signal].request()
    _FILL[signal](request, number, records, start)
    return Sent(number, signal, records, is_old, request.SerializeToString())


def _fill_spans(request: Any, number: int, records: int, start: int) -> None:
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = f"service {number % 3}"
    for index in range(records):
        group.scope_spans.add().spans.add(
            trace_id=(number + 1).to_bytes(16, "big"),
            span_id=(index + 1).to_bytes(8, "big"),
            parent_span_id=(1).to_bytes(8, "big") if index else b"",
            name=str(number),
            kind=2,
            start_time_unix_nano=start + index,
            end_time_unix_nano=start + 1_000_000,
        )


def _fill_logs(request: Any, number: int, records: int, start: int) -> None:
    logs = request.resource_logs.add().scope_logs.add().log_records
    for index in range(records):
        logs.add(time_unix_nano=start).body.string_value = f"{number} {index}"


def _fill_points(request: Any, number: int, records: int, start: int) -> None:
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=str(number))
    for index in range(records):
        metric.gauge.data_points.add(time_unix_nano=start, as_int=index)


_FILL = {Signal.TRACES: _fill_spans, Signal.LOGS: _fill_logs, Signal.METRICS: _fill_points}


@dataclass
class Load:
    """Senders that repeat most requests until they are acknowledged, across restarts, as exporters do."""

    rng: random.Random
    sent: list[Sent] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)
    _open: list[Sent] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    def sending(self, grpc_address: str, http_address: str) -> Sending:
        """Send inside the ``with`` block, or until the collector is gone."""
        return Sending(self, grpc_address, http_address)

    def next(self) -> Sent:
        """One that was not acknowledged, or a new one."""
        with self._lock:
            if self._open and self.rng.random() < 0.7:
                return self._open.pop(0)
            self.sent.append(make(len(self.sent), self.rng))
            return self.sent[-1]

    def note(self, request: Sent, *, is_acknowledged: bool) -> None:
        """Hear how it went; one in five of those that failed is given up."""
        with self._lock:
            if is_acknowledged:
                self.acknowledged.add(request.number)
            elif self.rng.random() < 0.8:
                self._open.append(request)


class Sending:
    """Four senders, three over gRPC and one over HTTP."""

    def __init__(self, load: Load, grpc_address: str, http_address: str) -> None:
        self._load = load
        self._grpc, self._http = grpc_address, http_address
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._by_grpc) for _ in range(SENDERS - 1)]
        self._threads.append(threading.Thread(target=self._by_http))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _by_grpc(self) -> None:
        with grpc.insecure_channel(self._grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            while not self._stopping.is_set():
                request = self._load.next()
                export = channel.unary_unary(f"/{PROTOCOL[request.signal].grpc_service}/Export")
                try:
                    export(request.body, timeout=_PATIENCE_S)
                except grpc.RpcError:
                    self._load.note(request, is_acknowledged=False)
                    self._stopping.wait(0.02)
                else:
                    self._load.note(request, is_acknowledged=True)

    def _by_http(self) -> None:
        while not self._stopping.is_set():
            request = self._load.next()
            connection = http.client.HTTPConnection(self._http, timeout=_PATIENCE_S)
            try:
                headers = {"Content-Type": "application/x-protobuf"}
                connection.request("POST", f"/v1/{request.signal.value}", request.body, headers)
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException):
                status = 0
            finally:
                connection.close()
            self._load.note(request, is_acknowledged=status == 200)
            if status != 200:
                self._stopping.wait(0.02)


def differences(load: Load, store: Store) -> list[str]:
    """Say how the store differs from what it must hold: all that was acknowledged, once, and nothing unknown."""
    found: dict[tuple[Signal, str], tuple[int, int]] = {}
    for signal, query in _QUERIES.items():
        rows = store.query(query, QueryLimits()).to_pylist()
        found |= {(signal, row["name"]): (row["n"], row["differ"]) for row in rows}
    wrong = []
    for request in load.sent:
        rows, differ = found.pop((request.signal, str(request.number)), (0, 0))
        if not _is_right(request, rows, differ, is_acknowledged=request.number in load.acknowledged):
            is_known = "acknowledged" if request.number in load.acknowledged else "not acknowledged"
            wrong.append(f"{request.signal.value} request {request.number} ({is_known}): {rows} of {request.records}")
    return wrong + [f"nobody sent {signal.value} {name}" for signal, name in found]


def _is_right(request: Sent, rows: int, differ: int, *, is_acknowledged: bool) -> bool:
    if request.is_old:  # retention may have been there
        return rows == differ <= request.records
    return rows == differ and (rows == request.records or (rows == 0 and not is_acknowledged))


def analysed(store: Store) -> tuple[int, int]:
    """How many of the last hour's traces are stored, and how many of them the rollups know."""
    begin = time.time_ns() // _MINUTE_NS - 30
    kept = store.rolled_minutes(begin, begin + 60).environments
    rows = store.query(_TRACES, QueryLimits()).to_pylist()
    return rows[0]["n"], sum(kept.column("traces").to_pylist())
