"""The file of a backup: a ZIP of Parquet files, one a table, and what must be in them.

Written front to back, so that it can be sent while it is made; a ZIP's directory comes last, so half of one is none.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from collector.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.store.protocol import Snapshot

_FORMAT = "lithoscope backup 1"
_MANIFEST = "manifest.json"
_SUFFIX = ".parquet"
_LEVEL = 1  # of zstd: 147 MB for three million spans in 5.8 s; the database has 202 MB
_LOCAL_HEADER, _NAME_AT = 30, 26  # of a ZIP entry: its fixed part, and where in it the lengths of what follows are


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself; ``rows`` by table, ``made_at`` as in RFC 3339."""

    format: str
    lithoscope: str
    made_at: str
    schema_version: int
    rows: dict[str, int]


def write_archive(snapshot: Snapshot) -> Iterator[bytes]:
    """Yield the file in parts, some megabytes at most, as the tables of a snapshot are read."""
    rows: dict[str, int] = {}
    out: Any = _Outbox()  # a ZipFile wants no more than this, and says so only in its code
    with zipfile.ZipFile(out, "w") as archive:
        for name, batches in snapshot.tables():
            rows[name] = 0
            with (
                archive.open(f"{name}{_SUFFIX}", "w", force_zip64=True) as member,
                pq.ParquetWriter(member, batches.schema, compression="zstd", compression_level=_LEVEL) as writer,
            ):
                for batch in batches:
                    writer.write_batch(batch)
                    rows[name] += batch.num_rows
                    yield out.take()
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = Manifest(_FORMAT, version("lithoscope"), made_at, snapshot.schema_version, rows)
        archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=2))
    yield out.take()


class _Outbox:
    """A file that can only be written; what was written is taken away piece by piece."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


class Archive:
    """A backup's file, opened to be read; leave the ``with`` block to close it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
            self.manifest = _read_manifest(self._zip)
        except OSError as error:
            raise BackupError(f"{path} cannot be read ({error.strerror or error}).") from error
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
            raise BackupError(
                f"{path} is no whole backup ({error}): take another, or make one with `lithoscope backup`."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def verify(self) -> None:
        """Read all of it; raises ``BackupError`` when a checksum is wrong or a table is not there."""
        missing = [name for name in self.manifest.rows if f"{name}{_SUFFIX}" not in self._zip.namelist()]
        try:
            damaged = missing[0] if missing else self._zip.testzip()
        except (OSError, zipfile.BadZipFile, EOFError) as error:
            damaged = str(error)
        if damaged:
            raise BackupError(f"{self._path} is damaged ({damaged}): take another backup.")

    def tables(self) -> Iterator[tuple[str, pa.RecordBatchReader]]:
        """Yield each table's name and rows; a table's rows must be read before the next."""
        with pa.memory_map(str(self._path)) as file:
            whole = file.read_buffer()
            for name in self.manifest.rows:
                with pq.ParquetFile(pa.BufferReader(whole.slice(*self._place(name)))) as table:
                    yield name, pa.RecordBatchReader.from_batches(table.schema_arrow, table.iter_batches(1 << 17))

    def _place(self, name: str) -> tuple[int, int]:
        """Where in the file an entry's bytes are: behind a header of its own, whose length is in it."""
        entry = self._zip.getinfo(f"{name}{_SUFFIX}")
        with self._path.open("rb") as file:
            file.seek(entry.header_offset + _NAME_AT)
            lengths = file.read(4)
        follows = int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
        return entry.header_offset + _LOCAL_HEADER + follows, entry.file_size


def _read_manifest(archive: zipfile.ZipFile) -> Manifest:
    found = json.loads(archive.read(_MANIFEST))
    manifest = Manifest(**{field.name: found[field.name] for field in fields(Manifest)})
    if manifest.format != _FORMAT:
        raise ValueError(f"its format is {manifest.format!r}")
    return manifest
