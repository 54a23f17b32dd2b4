"""Sends requests over gRPC from a process of its own: ``sender.py ADDRESS SECONDS SPANS_PER_SECOND [SEED]``.

Zero spans a second means top speed; senders beside each other need a seed each, or they send the same spans.

At a rate, the time in the spans passes as the clock does, so that minutes fill as those of a live system do.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from itertools import count

import grpc
import numpy as np

from benchmarks.payloads import SPANS, Template, templates

_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_THREADS = 8
_FASTEST = 0.05  # seconds in the spans from one request to the next, at top speed


class Sender:
    """Eight connections, as eight exporters have; a refused request is sent again after a moment, as they do.

    ``answered`` has for each request when, since the start, and after which time it was acknowledged, in seconds.
    """

    def __init__(self, address: str, seconds: float, rate: float, templates: list[Template]) -> None:
        self._address = address
        self._templates = templates
        self._interval = SPANS / rate if rate else 0.0
        self._numbers = count()
        self._lock = threading.Lock()
        self.answered: list[tuple[float, float]] = []
        self.refused = 0
        self.bytes = 0
        self._started = time.perf_counter()
        self._until = self._started + seconds

    def run(self) -> None:
        """Send until the time is up."""
        threads = [threading.Thread(target=self._send_all) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _send_all(self) -> None:
        with grpc.insecure_channel(self._address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            export = channel.unary_unary(_METHOD)
            while time.perf_counter() < self._until:
                with self._lock:
                    number = next(self._numbers)
                due = self._started + number * self._interval
                time.sleep(max(0.0, due - time.perf_counter()))
                body = self._templates[number % len(self._templates)].renew(
                    number, int(number * (self._interval or _FASTEST) * 1e9)
                )
                self._send(export, body)

    def _send(self, export: grpc.UnaryUnaryMultiCallable, body: bytes) -> None:
        while True:
            started = time.perf_counter()
            try:
                export(body, timeout=10)
            except grpc.RpcError:
                with self._lock:
                    self.refused += 1
                time.sleep(0.1)
                continue
            now = time.perf_counter()
            with self._lock:
                self.answered.append((now - self._started, now - started))
                self.bytes += len(body)
            return


def main() -> None:
    """Send, and print the figures as JSON."""
    begun = time.perf_counter()
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    sender = Sender(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), templates(50, seed=seed))
    preparing = time.perf_counter() - begun
    sender.run()
    p50, p99 = np.percentile([latency for _, latency in sender.answered], [50, 99]) * 1000
    spans = len(sender.answered) * SPANS
    figures = {"spans": spans, "bytes": sender.bytes, "refused_requests": sender.refused, "preparing_s": preparing}
    print(json.dumps(figures | {"ack_p50_ms": round(p50, 1), "ack_p99_ms": round(p99, 1)}))


if __name__ == "__main__":
    main()
