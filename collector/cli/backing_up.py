"""``lithoscope backup`` and ``lithoscope restore``: a file in place of what a collector keeps, and back."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from collector.backup.archive import Archive, write_archive
from collector.cli.source import check_one_given, find_collector
from collector.client import connect
from collector.errors import BackupError, ConfigurationError, StoreBusyError, StoreError
from collector.log import log_folder, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.backup.archive import Manifest

_PATIENCE_S = 600.0  # between two parts: a collector under load inserts what it has acknowledged first
_CHUNK = 1 << 20


def back_up(file: Path, url: str | None, db: Path | None, *, force: bool = False) -> Manifest:
    """Write a backup of a collector, or of a database file that none holds, and read it once to be sure.

    The file appears when it is whole and on the disk. Raises ``ConfigurationError`` when there is one already.
    """
    check_one_given(url, db)
    if file.exists() and not force:
        raise ConfigurationError(f"There is a file {file} already: name another, or say --force.")
    with _appearing(file) as part:
        with open(part, "wb", opener=_for_its_owner) as out:
            if db is None:
                _download(url, out)
            else:
                _write(db, out)
            out.flush()
            os.fsync(out.fileno())
        with Archive(part) as archive:
            archive.verify()
    return archive.manifest


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _download(url: str | None, out: IO[bytes]) -> None:
    collector = connect(find_collector(url).url, timeout_s=_PATIENCE_S)
    with collector.download("/v1/backup") as answer:
        shutil.copyfileobj(answer, out, _CHUNK)


def _write(db: Path, out: IO[bytes]) -> None:
    from collector.service import offline_store  # noqa: PLC0415  (loads all of a collector)

    if not db.exists():
        raise ConfigurationError(f"There is no file {db}: give an existing database with --db.")
    with offline_store(db) as store, store.snapshot() as snapshot:
        for part in write_archive(snapshot):
            out.write(part)


@contextmanager
def _appearing(file: Path) -> Iterator[Path]:
    """A file beside it that takes its name at the end, and is gone when something fails."""
    part = file.with_name(f"{file.name}.part")
    try:
        yield part
        os.replace(part, file)  # noqa: PTH105  (as atomic as it says)
        sync_folder(file.parent)
    except OSError as error:
        raise BackupError(f"{file} cannot be written ({error.strerror or error}).") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def restore(file: Path, db: Path, *, force: bool = False) -> tuple[Manifest, Path | None]:
    """Make a database file of a backup; also return under which name what was there is kept.

    Nothing is changed until the new file is whole. Raises ``ConfigurationError`` when there is a database already,
    ``StoreBusyError`` when a collector holds it, whatever is forced, and ``BackupError`` when the backup is damaged.
    """
    _check_not_held(db)
    if _is_taken(db) and not force:
        raise ConfigurationError(
            f"There is {db} already, or its log: restore to another file, or say --force, which gives it another name."
        )
    with Archive(file) as archive:
        archive.verify()
        with _appearing(db) as part:
            _fill(archive, part)
            aside = _set_aside(db) if _is_taken(db) else None
    return archive.manifest, aside


def _fill(archive: Archive, part: Path) -> None:
    from collector.store import fill_store  # noqa: PLC0415  (loads DuckDB, which a mistake does not need)

    for leftover in (part, _wal(part)):
        leftover.unlink(missing_ok=True)
    rows = fill_store(part, archive.manifest.schema_version, archive.tables())
    if rows != archive.manifest.rows:
        raise BackupError(f"The backup has other rows than it says: {rows} instead of {archive.manifest.rows}.")


def _check_not_held(db: Path) -> None:
    from collector.store import open_store  # noqa: PLC0415  (as above)

    if not db.exists():
        return
    try:
        open_store(db, read_only=True).close()
    except StoreBusyError as error:
        raise StoreBusyError(f"{db} is held by a collector: stop that one first.") from error
    except StoreError:  # what is broken is what one restores over
        return


def _is_taken(db: Path) -> bool:
    return db.exists() or log_folder(db).exists()


def _set_aside(db: Path) -> Path:
    """Give what is there another name, its log with it: that one's place in its log is not the backup's."""
    aside = db.with_name(f"{db.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    pairs = ((db, aside), (_wal(db), _wal(aside)), (log_folder(db), log_folder(aside)))
    for old, new in pairs:
        if old.exists():
            old.rename(new)
    return aside


def _wal(db: Path) -> Path:
    return db.with_name(f"{db.name}.wal")
