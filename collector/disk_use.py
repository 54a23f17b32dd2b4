"""What a collector takes on disk and what is left of it, looked up when ``/metrics`` is asked."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from collector.ingest.quarantine import quarantine_folder
from collector.log import log_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from prometheus_client import Metric


class DiskUse(Collector):
    """Sizes as the file system tells them: no question to the database, which may be what fails."""

    def __init__(self, db: Path) -> None:
        self._db = db

    def collect(self) -> Iterator[Metric]:
        """See ``prometheus_client.registry.Collector``; what cannot be looked up is left out."""
        sizes = {
            "database_bytes": ("The database file.", [self._db]),
            "database_wal_bytes": ("What is yet to be written into the database file.", [_wal(self._db)]),
            "quarantine_bytes": (
                "Acknowledged requests that the store refuses.",
                quarantine_folder(self._db).glob("*"),
            ),
            "log_bytes": ("The durable log.", log_folder(self._db).glob("*.segment")),
        }
        for name, (text, files) in sizes.items():
            yield GaugeMetricFamily(f"lithoscope_{name}", text, value=_size(files))
        with suppress(OSError):
            disk = shutil.disk_usage(self._db.parent)
            yield GaugeMetricFamily("lithoscope_disk_free_bytes", "Left where the database is.", value=disk.free)
            yield GaugeMetricFamily("lithoscope_disk_size_bytes", "The disk where the database is.", value=disk.total)


def _wal(db: Path) -> Path:
    return db.with_name(f"{db.name}.wal")


def _size(files: Iterable[Path]) -> int:
    size = 0
    for file in files:
        with suppress(OSError):  # a segment may be gone by now
            size += file.stat().st_size
    return size
