"""Damaged requests by the million: what the receiving side makes of them, and what that takes.

    python -m tests.collector.receiver.fuzzing [REQUESTS [SEED]]

Most go through reading, decoding and now and then storing in this process, since a server would take hours; one in
fifty is sent to a running collector, on one connection. Prints JSON, and fails on any answer but 200 and 4xx, on any
error that is no refusal, and on memory that grows.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collector.decode.decoder import Decoder
from collector.errors import RequestError
from collector.otlp_json import to_protobuf
from collector.position import LogPosition
from collector.signals import Signal
from collector.store.duckdb_store import DuckDBStore
from tests.collector.decode.test_malformed import REQUESTS
from tests.collector.receiver.running import JSON, PROTOBUF, as_json, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.batch import Batch

SENT_SHARE = 50
_STORED_SHARE = 200
_MOST_GROWTH = 100 * 1024**2
_SETTLED = 0.2  # of all requests: by then caches are full
# What a mutation puts in, beside chance: lengths that overflow, deep nesting, numbers and text that are none.
_ODD = (
    *(b"\xff" * 9, b"\xff\xff\xff\xff\x0f", b"\x80" * 11, b"\x0a" * 40, b"\x00", b"\x7f\xff\xff\xff"),
    *(
        b"null",
        b"-1",
        b"1e999",
        b"NaN",
        b'"',
        b"\\u0000",
        b"\\ud800",
        b"[" * 60,
        b'{"a":' * 60,
        b"18446744073709551616",
    ),
)


@dataclass(slots=True)
class Result:
    """What came of the requests."""

    verdicts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    settled_bytes: int = 0
    final_bytes: int = 0

    @property
    def growth_bytes(self) -> int:
        """How much more memory is taken at the end than after the first fifth."""
        return self.final_bytes - self.settled_bytes


def damaged(body: bytes, rng: random.Random) -> bytes:
    """A body with bytes changed, cut out, put in, repeated or moved, or cut off."""
    mutated = bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place, length = rng.randrange(len(mutated) + 1), rng.choice((1, 1, 2, 8, 64))
        part = bytes(mutated[place : place + length])
        match rng.randrange(6):
            case 0:
                mutated[place : place + length] = rng.randbytes(len(part))
            case 1:
                del mutated[place : place + length]
            case 2:
                mutated[place:place] = rng.randbytes(length)
            case 3:
                mutated[place:place] = part * rng.randrange(1, 4)
            case 4:
                mutated[place:place] = rng.choice(_ODD)
            case 5 if rng.random() < 0.1:
                del mutated[place:]
    return bytes(mutated)


def requests(count: int, seed: int) -> Iterator[tuple[Signal, str, bytes]]:
    """Damaged requests of all signals, in protobuf and JSON."""
    rng = random.Random(seed)
    wholes = [(signal, REQUESTS[signal]()) for signal in Signal]
    bodies = [(signal, PROTOBUF, whole.SerializeToString()) for signal, whole in wholes]
    bodies += [(signal, JSON, as_json(whole)) for signal, whole in wholes]
    for _ in range(count):
        signal, media_type, body = rng.choice(bodies)
        yield signal, media_type, damaged(body, rng)


def take(count: int, seed: int) -> Result:
    """Read and decode requests here; store some of what is accepted."""
    result, decoder, store = Result(), Decoder(), DuckDBStore(":memory:")
    for number, (signal, media_type, body) in enumerate(requests(count, seed)):
        try:
            batch = decoder.decode(signal, [to_protobuf(signal, body) if media_type == JSON else body]).batch
        except RequestError:
            result.verdicts[f"{media_type} refused"] += 1
        except Exception as error:  # noqa: BLE001  (any other is what is looked for)
            result.failures.append(f"{type(error).__name__}: {error} for {body[:200]!r}")
        else:
            result.verdicts[f"{media_type} accepted"] += 1
            if number % _STORED_SHARE == 0:
                _store(store, batch, number, result)
        if number == int(count * _SETTLED):
            result.settled_bytes = _resident("self")
    result.final_bytes = _resident("self")
    store.close()
    return result


def _store(store: DuckDBStore, batch: Batch, number: int, result: Result) -> None:
    try:
        store.append(batch, LogPosition(1, number + 1))
    except Exception as error:  # noqa: BLE001  (as above)
        result.failures.append(f"not stored: {error}")
    store.delete_before(2**62, rows=10**6)


def send(count: int, seed: int) -> Result:
    """Send requests to a collector of its own process."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as (process, collector):
        connection = http.client.HTTPConnection(collector.http, timeout=60)
        for number, (signal, media_type, body) in enumerate(requests(count, seed)):
            connection.request("POST", f"/v1/{signal.value}", body, {"Content-Type": media_type})
            answer = connection.getresponse()
            answer.read()
            result.verdicts[f"status {answer.status}"] += 1
            if answer.status not in (200, 400):
                result.failures.append(f"status {answer.status} for {body[:200]!r}")
            if number == int(count * _SETTLED):
                result.settled_bytes = _resident(process.pid)
        result.final_bytes = _resident(process.pid)
        connection.close()
    return result


def _resident(process: int | str) -> int:
    return int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * 4096


def _figures(result: Result) -> dict[str, Any]:
    grown = round(result.growth_bytes / 1024**2, 1)
    return {"verdicts": dict(result.verdicts), "failures": result.failures[:9], "growth_mib": grown}


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    total, first_seed = (*given, *(1_000_000, 20_261_123)[len(given) :])
    results = {"in_process": take(total, first_seed), "sent": send(total // SENT_SHARE, first_seed + 1)}
    print(json.dumps({name: _figures(result) for name, result in results.items()}, indent=1))  # noqa: T201
    sys.exit(any(result.failures or result.growth_bytes > _MOST_GROWTH for result in results.values()))
