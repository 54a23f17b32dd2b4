"""Log records into the store: in groups, and in ever smaller ones when something in a group is at fault."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from collector.decode.decoder import Decoder, concatenate
from collector.errors import InvalidRequestError, StoreError, UnstorableError
from collector.ingest import quarantine
from collector.ingest.retries import request_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from collector.batch import Batch
    from collector.log import Record
    from collector.redaction import Redaction
    from collector.store.protocol import LogPosition, Store
    from collector.telemetry import Telemetry

log = structlog.get_logger(__name__)


class Applier:
    """Decodes log records and appends them; what the store can never take goes to the quarantine folder.

    A request that is in the log twice is stored once: its first append may have failed after all of it was written.
    ``forget`` hears the digest of each request that went to quarantine: sent again, it is new.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        telemetry: Telemetry,
        forget: Callable[[bytes], None] | None = None,
        redaction: Redaction | None = None,
    ) -> None:
        self._quarantine = folder.with_suffix(".quarantine")
        self._store = store
        self._telemetry = telemetry
        self._forget = forget
        self._decoder = Decoder(redaction)
        self._seen = set(store.recent_requests())

    def apply(self, records: Sequence[Record]) -> None:
        """Append records, together if possible; raises ``StoreError`` when the store fails.

        Those before the failure are stored then.
        """
        fresh = [record for record in records if self._is_new(record)]
        self._apply(fresh, [self._decode(record) for record in fresh], records[-1].end)

    def _apply(self, records: Sequence[Record], batches: Sequence[Batch | None], end: LogPosition) -> None:
        """Append as one transaction, or halves by halves, until what is at fault stands alone."""
        try:
            self._append(batches, end)
        except UnstorableError:
            half = len(records) // 2
            if half:
                self._apply(records[:half], batches[:half], records[half - 1].end)
                self._apply(records[half:], batches[half:], end)
            else:
                self._apply_alone(records, batches, end)

    def _apply_alone(self, records: Sequence[Record], batches: Sequence[Batch | None], end: LogPosition) -> None:
        """Append one record again, and move it to quarantine if the store takes nothing at all, but not this."""
        try:
            self._append([], self._store.log_position())
        except UnstorableError as sick:
            raise StoreError(str(sick)) from sick
        try:
            self._append(batches, end)
        except UnstorableError as error:
            for record in records:
                self._set_aside(record, str(error))
            self._append([], end)

    def _append(self, batches: Sequence[Batch | None], end: LogPosition) -> None:
        self._telemetry.count(self._store.append(concatenate([batch for batch in batches if batch is not None]), end))

    def _set_aside(self, record: Record, reason: str) -> None:
        path = quarantine.put(self._quarantine, record, reason)
        self._telemetry.quarantined.inc()
        log.error("request quarantined", file=str(path), error=reason)
        if self._forget is not None:
            self._forget(request_digest(record.signal, record.body))

    def _is_new(self, record: Record) -> bool:
        digest = request_digest(record.signal, record.body)
        is_new = digest not in self._seen
        self._seen.add(digest)
        return is_new

    def _decode(self, record: Record) -> Batch | None:
        try:
            batch = self._decoder.decode(record.signal, [record.body]).batch
        except InvalidRequestError as error:  # it was decoded before it was logged: damage, or a change of rules
            log.error("log record not decodable", end=record.end, error=str(error))  # noqa: TRY400
            return None
        return replace(batch, requests=(request_digest(record.signal, record.body),))
