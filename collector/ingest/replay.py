"""From the log into the store: after a crash, after the store has failed, and when something in the log is at fault."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import structlog

from collector.ingest.applying import Applier
from collector.log import Record, read_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from collector.redaction import Redaction
    from collector.store.protocol import LogPosition, Store
    from collector.telemetry import Telemetry

GROUP_BYTES = 64 * 1024 * 1024

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of a replay: how many requests and bytes, and where the log is applied up to now."""

    requests: int
    size: int
    end: LogPosition


def replay(  # noqa: PLR0913  (options by name)
    folder: Path,
    store: Store,
    telemetry: Telemetry,
    *,
    through: LogPosition | None = None,
    group_bytes: int = GROUP_BYTES,
    forget: Callable[[bytes], None] | None = None,
    redaction: Redaction | None = None,
) -> Iterator[Step]:
    """Append to the store what a log folder holds after the store's position, or between that and ``through``.

    Yields each transaction of about ``group_bytes`` once it is stored. Raises ``StoreError`` when the store fails; what
    came before is stored then.
    """
    applier = Applier(folder, store, telemetry, forget, redaction)
    waiting = read_records(folder, store.log_position(), telemetry.count_damage)
    requests = 0
    for records in _groups(takewhile(lambda record: through is None or record.end <= through, waiting), group_bytes):
        applier.apply(records)
        requests += len(records)
        log.info("replaying the log", requests=requests)
        yield Step(len(records), sum(len(record.body) for record in records), records[-1].end)


def _groups(records: Iterable[Record], group_bytes: int) -> Iterator[list[Record]]:
    group: list[Record] = []
    size = 0
    for record in records:
        group.append(record)
        size += len(record.body)
        if size >= group_bytes:
            yield group
            group, size = [], 0
    if group:
        yield group
