"""Which records are refused, one by one, and the sentence that tells the sender why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow as pa

    from collector.decode.attributes import Ints
    from collector.decode.nesting import Records

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
LAST_UNIX_NANO = 2**63 - 2
"""The last nanosecond a signed 64-bit timestamp can hold (2262-04-11); DuckDB keeps the one after for infinity."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """How many records of one request were refused, and why; ``count`` 0 means none."""

    count: int = 0
    message: str = ""


def invalid_id(ids: pa.Array, size: int, *, optional: bool = False) -> Ints:
    """Return a mask of ids that are not ``size`` bytes or all zero; ``optional`` lets absent and all-zero ones pass."""
    lengths = pc.binary_length(ids).to_numpy()
    wrong: Ints = lengths != size
    if optional:
        wrong &= lengths != 0
    else:
        wrong |= pc.equal(ids, b"\0" * size).to_numpy(zero_copy_only=False)
    return wrong


def late(times: pa.Array) -> Ints:
    """Return a mask of unsigned nanoseconds that no signed timestamp can hold."""
    mask: Ints = times.to_numpy() > LAST_UNIX_NANO
    return mask


def refuse(records: Records, problems: dict[str, Ints], requests: int) -> tuple[Ints, list[Rejection]]:
    """Return the mask of records to keep and a ``Rejection`` for each request.

    ``problems`` are masks by reason; of several reasons the first counts.
    """
    refused = np.zeros(len(records), bool)
    counts: list[Counter[str]] = [Counter() for _ in range(requests)]
    for reason, mask in problems.items():
        fresh = mask & ~refused
        if not fresh.any():
            continue
        refused |= fresh
        which, how_many = np.unique(records.request[fresh], return_counts=True)
        for request, count in zip(which.tolist(), how_many.tolist(), strict=True):
            counts[request][reason] += count
    return ~refused, [_rejection(counter) for counter in counts]


def _rejection(counter: Counter[str]) -> Rejection:
    if not counter:
        return Rejection()
    reasons = "; ".join(f"{count}: {reason}" for reason, count in counter.items())
    return Rejection(counter.total(), f"Refused {counter.total()} and kept the rest ({reasons}).")
