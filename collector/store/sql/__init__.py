"""The store's statements, one ``.sql`` file each, with their reasons as SQL comments."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from string import Template


@cache
def _text(name: str) -> str:
    return files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")


def statement(name: str, **parts: str) -> str:
    """Return the statement of ``name``.sql with its ``$parts`` filled in; a missing part raises ``KeyError``."""
    return Template(_text(name)).substitute(parts) if parts else _text(name)
