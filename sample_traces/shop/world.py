"""The one file through which the recorder tells all processes who listens where, and when the load began."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def write_world(path: Path, addresses: dict[str, list[str]], started: float | None) -> None:
    """Replace the file in one step: processes read it all the time."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"addresses": addresses, "started": started}))
    draft.replace(path)


def read_world(path: Path) -> dict[str, Any]:
    """Return what ``write_world`` was given."""
    world: dict[str, Any] = json.loads(path.read_text())
    return world
