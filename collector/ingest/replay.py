"""From the log into the store: after a crash, and when something in the log is at fault."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

import structlog

from collector.ingest.applying import Applier
from collector.log import Record, read_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from collector.store.protocol import LogPosition, Store
    from collector.telemetry import Telemetry

_GROUP_BYTES = 64 * 1024 * 1024

log = structlog.get_logger(__name__)


def replay(folder: Path, store: Store, telemetry: Telemetry, *, through: LogPosition | None = None) -> int:
    """Append to the store what a log folder holds after the store's position, or between that and ``through``.

    Returns the number of requests. Raises ``StoreError`` when the store fails; what came before is stored then.
    """
    applier = Applier(folder, store, telemetry)
    waiting = read_records(folder, store.log_position(), telemetry.count_damage)
    requests = 0
    for records in _groups(takewhile(lambda record: through is None or record.end <= through, waiting)):
        applier.apply(records)
        requests += len(records)
        log.info("replaying the log", requests=requests)
    return requests


def _groups(records: Iterable[Record]) -> Iterator[list[Record]]:
    group: list[Record] = []
    size = 0
    for record in records:
        group.append(record)
        size += len(record.body)
        if size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
