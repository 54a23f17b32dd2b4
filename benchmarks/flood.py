"""Sends at a rate whatever is answered: ``flood.py ADDRESS SECONDS SPANS_PER_SECOND``; prints what was answered.

A refused request is not sent again, so that every one has exactly one answer.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter

import grpc
import numpy as np

from benchmarks.payloads import SPANS, Template, templates

_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_CONNECTIONS = 8
_MOST_OPEN = 64  # unanswered on each connection; more would wait in this process
_PATIENCE_S = 120.0  # beyond the collector's own, so that no request is left without its answer


class Flood:
    """One thread a connection, each with its share of the rate; calls are not waited for."""

    def __init__(self, address: str, seconds: float, rate: float, made: list[Template]) -> None:
        self._address = address
        self._templates = made
        self._interval = SPANS * _CONNECTIONS / rate
        self._lock = threading.Lock()
        self._started = time.perf_counter()
        self._until = self._started + seconds
        self.answers: Counter[str] = Counter()
        self.latencies: list[float] = []

    def run(self) -> None:
        """Send until the time is up, and wait for all answers."""
        threads = [threading.Thread(target=self._send_all, args=(first,)) for first in range(_CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _send_all(self, first: int) -> None:
        room = threading.Semaphore(_MOST_OPEN)
        with grpc.insecure_channel(self._address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            export = channel.unary_unary(_METHOD)
            number = first
            while (due := self._started + number // _CONNECTIONS * self._interval) < self._until:
                time.sleep(max(0.0, due - time.perf_counter()))
                if time.perf_counter() > self._until:
                    break
                room.acquire()
                shift_ns = int((time.perf_counter() - self._started) * 1e9)
                body = self._templates[number % len(self._templates)].renew(number, shift_ns)
                self._send(export, body, room)
                number += _CONNECTIONS
            for _ in range(_MOST_OPEN):
                room.acquire()

    def _send(self, export: grpc.UnaryUnaryMultiCallable, body: bytes, room: threading.Semaphore) -> None:
        started = time.perf_counter()

        def note(call: grpc.Future) -> None:
            with self._lock:
                self.answers[call.code().name] += 1
                self.latencies.append(time.perf_counter() - started)
            room.release()

        export.future(body, timeout=_PATIENCE_S).add_done_callback(note)


def main() -> None:
    """Send, and print the figures as JSON."""
    flood = Flood(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), templates(50))
    flood.run()
    p50, p99 = np.percentile(flood.latencies, [50, 99]) * 1000
    print(json.dumps({"answers": flood.answers, "answer_p50_ms": round(p50, 1), "answer_p99_ms": round(p99, 1)}))


if __name__ == "__main__":
    main()
