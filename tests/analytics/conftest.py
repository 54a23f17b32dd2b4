"""What tests of several modules start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from analytics.policy import PolicyFile, read_policy

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], PolicyFile]:
    """Read a policy of this text, from a file in the working folder."""
    monkeypatch.chdir(tmp_path)

    def read(text: str) -> PolicyFile:
        path = Path("shop.policy.toml")
        path.write_text(text, encoding="utf-8")
        return read_policy(path)

    return read
