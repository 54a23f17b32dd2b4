"""Log records into the store: in groups, and one by one when something in a group is at fault."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from collector.decode.decoder import Decoder, concatenate
from collector.errors import InvalidRequestError, UnstorableError
from collector.ingest.retries import request_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collector.batch import Batch
    from collector.log import Record
    from collector.store.protocol import LogPosition, Store
    from collector.telemetry import Telemetry

ASIDE = "set-aside"  # the folder inside the log's

log = structlog.get_logger(__name__)


class Applier:
    """Decodes log records and appends them; what the store can never take is kept in a folder of its own.

    A request that is in the log twice is stored once: its first append may have failed after all of it was written.
    """

    def __init__(self, folder: Path, store: Store, telemetry: Telemetry) -> None:
        self._aside = folder / ASIDE
        self._store = store
        self._telemetry = telemetry
        self._decoder = Decoder()
        self._seen = set(store.recent_requests())

    def apply(self, records: Sequence[Record]) -> None:
        """Append records together, or one by one if they cannot be; raises ``StoreError`` when the store fails."""
        fresh = [record for record in records if self._is_new(record)]
        try:
            self._append([batch for record in fresh for batch in self._decode(record)], records[-1].end)
        except UnstorableError:
            for record in fresh:
                self._apply_or_set_aside(record)

    def _append(self, batches: list[Batch], end: LogPosition) -> None:
        self._telemetry.count(self._store.append(concatenate(batches), end))

    def _apply_or_set_aside(self, record: Record) -> None:
        try:
            self._append(self._decode(record), record.end)
        except UnstorableError as error:
            path = self._set_aside(record)
            self._telemetry.set_aside.inc()
            log.error("request set aside", file=str(path), error=str(error))  # noqa: TRY400  (its text says the cause)
            self._append([], record.end)

    def _set_aside(self, record: Record) -> Path:
        """Write a request to a file that `lithoscope import` reads, durably: it was acknowledged."""
        self._aside.mkdir(exist_ok=True)
        path = self._aside / f"{record.end.segment:010d}-{record.end.offset:010d}.{record.signal.value}.otlp"
        with path.open("wb") as file:
            file.write(record.body)
            file.flush()
            os.fsync(file.fileno())
        return path

    def _is_new(self, record: Record) -> bool:
        digest = request_digest(record.signal, record.body)
        is_new = digest not in self._seen
        self._seen.add(digest)
        return is_new

    def _decode(self, record: Record) -> list[Batch]:
        try:
            batch = self._decoder.decode(record.signal, [record.body]).batch
        except InvalidRequestError as error:  # it was decoded before it was logged: damage, or a change of rules
            log.error("log record not decodable", end=record.end, error=str(error))  # noqa: TRY400
            return []
        return [replace(batch, requests=(request_digest(record.signal, record.body),))]
