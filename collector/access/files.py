"""Files that may be replaced while they are used: keys and certificates are handed out anew without a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Watch:
    """Says of some files when they are others than before."""

    def __init__(self, *files: Path) -> None:
        self._files = files
        self._stamps = self._look()

    def changed(self) -> bool:
        """Whether one of them was replaced, written or removed since the last call, or since the beginning."""
        before, self._stamps = self._stamps, self._look()
        return self._stamps != before

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(file) for file in self._files]


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
