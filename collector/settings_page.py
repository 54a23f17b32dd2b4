"""``docs/settings.md``: a table of every setting, written from the settings themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from collector.settings import Settings, variable
from collector.units import format_size

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def describe_settings() -> str:
    """Return ``docs/settings.md``: a Markdown table of every setting."""
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join([*_HEAD, *rows, ""])


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{name}` | `{variable(name)}` | {_default(field.default)} | {field.description} |"


def _default(value: object) -> str:
    if value is None or value in ({}, ()) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, int) and value % 1024**2 == 0 and value:
        return f"`{format_size(value).replace('.0', '').replace(' ', '')}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


_HEAD = (
    "# Settings",
    "",
    "<!-- Written by `python -m collector.settings_page`; do not edit. -->",
    "",
    "Flags win over the environment, and the environment over the file that `lithoscope serve --config FILE` names, in",
    "TOML with the names below. Sizes are written as `64MiB` or `20GB`, durations as `200ms`, `5s`, `1h` or `7d`.",
    "",
    "| name | variable | default | what it does |",
    "|---|---|---|---|",
)

if __name__ == "__main__":
    Path("docs/settings.md").write_text(describe_settings(), encoding="utf-8")
