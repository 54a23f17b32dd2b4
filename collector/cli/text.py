"""Text for a terminal; kept apart from tables so that a command without one starts quickly."""

from __future__ import annotations

import json
import sys
from typing import Any


def print_json(value: Any) -> None:
    """Print a JSON object, indented."""
    sys.stdout.write(f"{json.dumps(value, indent=2, ensure_ascii=False)}\n")


def printable(text: str) -> str:
    """Return text that cannot command a terminal: telemetry comes from anywhere, control characters included."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
