"""After a crash: what the log holds and the store does not yet have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from collector.decode.decoder import Decoder, concatenate
from collector.errors import InvalidRequestError
from collector.ingest.retries import request_digest
from collector.log import Record, read_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from collector.batch import Batch
    from collector.store.protocol import Store

_GROUP_BYTES = 64 * 1024 * 1024

log = structlog.get_logger(__name__)


def replay(folder: Path, store: Store) -> int:
    """Append to the store what a log folder holds after the store's position; return the number of requests.

    A request that is in the log twice is stored once: its first append may have failed after all of it was written.
    """
    decoder = Decoder()
    seen = set(store.recent_requests())
    requests = 0
    for records in _groups(read_records(folder, store.log_position())):
        batches = [batch for record in records for batch in _decode(decoder, record, seen)]
        store.append(concatenate(batches), records[-1].end)
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


def _decode(decoder: Decoder, record: Record, seen: set[bytes]) -> list[Batch]:
    digest = request_digest(record.signal, record.body)
    if digest in seen:
        return []
    seen.add(digest)
    try:
        batch = decoder.decode(record.signal, [record.body]).batch
    except InvalidRequestError as error:  # it was decoded before it was logged, so this is damage or a change of rules
        log.error("log record not decodable", end=record.end, error=str(error))  # noqa: TRY400
        return []
    return [replace(batch, requests=(digest,))]
