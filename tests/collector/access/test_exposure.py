"""Nothing is offered to strangers by mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from collector.access.exposure import check_dashboard, is_local
from collector.access.passwords import hash_password, is_hash, matches
from collector.errors import ConfigurationError
from collector.service import Service
from collector.settings import Address, load_settings
from tests.collector.receiver.running import ANY_PORT, run_collector

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collector.access.conftest import KeyFile

EVERYWHERE = Address("0.0.0.0", 0)
HASH = "scrypt$2$1$1$AA==$AA=="
PORTS = ("grpc", "http", "query")


def _start(folder: Path, **settings: Any) -> None:
    given = {**dict.fromkeys(PORTS, ANY_PORT), "dashboard": "off", **settings}
    with Service(load_settings({"db": folder / "a.duckdb", **given})):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
@pytest.mark.parametrize("name", [*PORTS, "dashboard"])
def test_a_public_address_wants_keys(tmp_path: Path, name: str, host: str) -> None:
    """The refusal names the option and both remedies, and nothing is created."""
    with pytest.raises(ConfigurationError) as caught:
        _start(tmp_path, **{name: Address(host, 0)})
    message = str(caught.value)
    assert f"--{name} {Address(host, 0)} can be reached" in message
    assert "--keys" in message
    assert "--insecure" in message
    assert not list(tmp_path.iterdir())


def test_insecure_or_keys_allow_a_public_address(tmp_path: Path, key_file: KeyFile) -> None:
    """Whoever says so, or asks who comes, may listen everywhere."""
    _start(tmp_path, query=EVERYWHERE, insecure=True)
    _start(tmp_path, query=EVERYWHERE, keys=key_file.path)


def test_a_guarded_collector_has_no_open_dashboard(tmp_path: Path, key_file: KeyFile) -> None:
    """Nor one on the loopback address: other people may have accounts on the machine."""
    with pytest.raises(ConfigurationError, match="dashboard_password"):
        _start(tmp_path, keys=key_file.path, dashboard=ANY_PORT)
    _start(tmp_path, keys=key_file.path, dashboard=ANY_PORT, dashboard_password=HASH)


def test_a_dashboard_alone_is_not_open_either() -> None:
    """It shows what its collector tells it."""
    with pytest.raises(ConfigurationError, match="LITHOSCOPE_DASHBOARD_PASSWORD"):
        check_dashboard("--bind", EVERYWHERE, load_settings())
    ways: tuple[dict[str, Any], ...] = ({"insecure": True}, {"dashboard_password": HASH})
    for allowed in ways:
        check_dashboard("--bind", EVERYWHERE, load_settings(allowed))
    check_dashboard("--bind", ANY_PORT, load_settings())


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
    ],
)
def test_local_is_what_this_machine_alone_reaches(host: str, *, local: bool) -> None:
    """All of 127/8 and its IPv6 sibling."""
    assert is_local(host) is local


def test_tls_settings_belong_together(tmp_path: Path) -> None:
    """Half of a pair, and a plain password, are told as mistakes of the settings; the password is not repeated."""
    with pytest.raises(ConfigurationError, match="tls_cert and tls_key belong together"):
        load_settings({"tls_cert": tmp_path / "a"})
    with pytest.raises(ConfigurationError, match="tls_client_ca needs"):
        load_settings({"tls_client_ca": tmp_path / "a"})
    with pytest.raises(ConfigurationError, match="lithoscope key password") as caught:
        load_settings({"dashboard_password": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_the_hash_of_a_password_is_not_shown() -> None:
    """Settings are printed in tracebacks."""
    assert HASH not in repr(load_settings({"dashboard_password": HASH}))


def test_a_password_is_behind_its_hash_alone() -> None:
    """Salted: the same password has another hash each time, and both are it."""
    first, second = hash_password("correct horse"), hash_password("correct horse")
    assert first != second
    assert all(is_hash(text) for text in (first, second))
    assert all(matches("correct horse", text) for text in (first, second))
    assert not any(matches(wrong, first) for wrong in ("", "correct horse ", "Correct horse"))
    assert "correct" not in first


@pytest.mark.parametrize("text", ["", "hunter2", "scrypt$1$2$3$4", "bcrypt$2$1$1$AA==$AA==", "scrypt$a$1$1$AA==$AA=="])
def test_what_is_no_hash_is_told(text: str) -> None:
    """A password written where its hash belongs."""
    assert not is_hash(text)


def test_a_collector_without_anything_set_needs_nothing(tmp_path: Path) -> None:
    """As on a laptop."""
    with run_collector(tmp_path) as running:
        assert running.client.status()["failure"] is None
