"""Text of telemetry, which is no Markdown."""

from __future__ import annotations

_MARKS = "\\`*_{}[]<>()#+!|$~:"


def plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return "".join(f"\\{letter}" if letter in _MARKS else letter for letter in text)
