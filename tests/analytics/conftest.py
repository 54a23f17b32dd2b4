"""What tests of several modules start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from analytics.policy import PolicyFile, read_policy
from collector.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collector.store.protocol import Store


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty store."""
    store = open_store(":memory:")
    yield store
    store.close()


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], PolicyFile]:
    """Read a policy of this text, from a file in the working folder."""
    monkeypatch.chdir(tmp_path)

    def read(text: str) -> PolicyFile:
        path = Path("shop.policy.toml")
        path.write_text(text, encoding="utf-8")
        return read_policy(path)

    return read
