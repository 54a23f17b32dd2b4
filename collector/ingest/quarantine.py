"""Acknowledged requests that the store refuses for what is in them: kept as files, each with the reason beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from collector.log import sync_folder
from collector.signals import Signal

if TYPE_CHECKING:
    from pathlib import Path

    from collector.log import Record

_BODY, _REASON = ".otlp", ".reason.txt"


@dataclass(frozen=True, slots=True)
class Entry:
    """A request in quarantine: the file with its bytes as they came, and why the store refused it."""

    path: Path
    reason: str

    @property
    def signal(self) -> Signal:
        """What kind of request it is."""
        return Signal(self.path.suffixes[-2].removeprefix("."))

    def delete(self) -> None:
        """Remove the request; the reason goes last, so that none is left without one."""
        self.path.unlink(missing_ok=True)
        _reason_of(self.path).unlink(missing_ok=True)


def quarantine_folder(db: Path) -> Path:
    """Return where a database file's quarantine is: beside it."""
    return db.with_name(f"{db.name}.quarantine")


def put(folder: Path, record: Record, reason: str) -> Path:
    """Write a request durably and return its file, which ``lithoscope import`` reads too; raises ``OSError``."""
    folder.mkdir(exist_ok=True)
    at = datetime.fromtimestamp(record.received_unix_nano / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{at}-{record.end.segment:010d}-{record.end.offset:010d}.{record.signal.value}{_BODY}"
    path = folder / name
    _write(_reason_of(path), f"{reason}\n".encode())
    _write(path, record.body)
    sync_folder(folder)
    sync_folder(folder.parent)
    return path


def entries(folder: Path) -> list[Entry]:
    """Return what a folder holds, oldest first; nothing when there is no folder."""
    return [Entry(path, _read_reason(path)) for path in sorted(folder.glob(f"*{_BODY}"))]


def _reason_of(path: Path) -> Path:
    return path.with_suffix(_REASON)


def _read_reason(path: Path) -> str:
    try:
        return _reason_of(path).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return "its reason is lost"


def _write(path: Path, content: bytes) -> None:
    """Under another name first: a crash must not leave half a request that looks like a whole one."""
    half = path.with_name(f"{path.name}.part")
    with half.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
