"""Keys and certificates for the tests of who may come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import trustme

from collector.access.keys import Scope, add_key

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file with a key for each scope, and what they are."""

    path: Path
    ingest: str
    query: str
    admin: str


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates into files."""

    ca: trustme.CA
    folder: Path

    @property
    def pem(self) -> Path:
        """What those that trust it are given."""
        path = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(path)
        return path

    def sign(self, name: str, host: str = "127.0.0.1", not_after: datetime | None = None) -> dict[str, Path]:
        """Write a certificate and its key; the settings that name them."""
        issued = self.ca.issue_cert(host, not_after=not_after)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.unlink(missing_ok=True)
        issued.private_key_pem.write_to_path(key)
        for part in issued.cert_chain_pems:
            part.write_to_path(cert, append=True)
        return {"tls_cert": cert, "tls_key": key}


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    """A file of keys that no test changes."""
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    return KeyFile(path, *(add_key(path, scope.value, [scope]) for scope in Scope))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Somebody who signs certificates."""
    return Authority(trustme.CA(), tmp_path)
