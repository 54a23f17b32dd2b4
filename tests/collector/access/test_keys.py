"""A file of keys: what is kept, what is valid when, and what a mistake in it does."""

from __future__ import annotations

import hmac
import stat
from functools import partial
from timeit import timeit
from typing import TYPE_CHECKING

import pytest

from collector.access import keys
from collector.access.keys import (
    PREFIX,
    FixedKeys,
    Key,
    Keyring,
    Scope,
    add_key,
    make_key,
    match,
    read_keys,
    remove_key,
)
from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

_SHA = "0" * 64


class _Clock:
    """A clock that a test sets."""

    now = 0.0

    def monotonic(self) -> float:
        """The time that was set."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    """The clock by which files are looked at again."""
    clock = _Clock()
    monkeypatch.setattr(keys, "time", clock)
    return clock


def _name(found: Key | None) -> str | None:
    return None if found is None else found.name


def test_a_key_is_added_listed_and_removed(tmp_path: Path) -> None:
    """The file keeps names, scopes and digests, and no key; only its owner reads it."""
    path = tmp_path / "keys.toml"
    first = add_key(path, "shop", [Scope.INGEST])
    second = add_key(path, "ops", [Scope.QUERY, Scope.INGEST])
    assert [(key.name, sorted(key.scopes)) for key in read_keys(path)] == [
        ("shop", ["ingest"]),
        ("ops", ["ingest", "query"]),
    ]
    assert first.startswith("lsk_")
    assert len(first) == len("lsk_") + 43
    assert first not in path.read_text()
    assert second not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["keys.toml"]
    remove_key(path, "shop")
    assert [key.name for key in read_keys(path)] == ["ops"]


def test_two_keys_are_valid_while_one_replaces_the_other(tmp_path: Path, clock: _Clock) -> None:
    """The new one is added, handed out, and then the old one removed, beside a collector that runs."""
    path = tmp_path / "keys.toml"
    old = add_key(path, "shop", [Scope.INGEST])
    ring = Keyring(path)
    new = add_key(path, "shop-2", [Scope.INGEST])
    clock.now = 0.9
    assert (_name(ring.match(old)), _name(ring.match(new))) == ("shop", None)
    clock.now = 1.0
    assert (_name(ring.match(old)), _name(ring.match(new))) == ("shop", "shop-2")
    remove_key(path, "shop")
    clock.now = 2.0
    assert (_name(ring.match(old)), _name(ring.match(new))) == (None, "shop-2")


@pytest.mark.parametrize("content", [None, "[[key", "key = 1", '[[key]]\nname = "a"'])
def test_a_file_that_is_broken_meanwhile_leaves_the_last_good_keys(
    tmp_path: Path, clock: _Clock, content: str | None
) -> None:
    """An editor's mistake locks nobody out; the file that is mended counts again."""
    path = tmp_path / "keys.toml"
    text = add_key(path, "shop", [Scope.INGEST])
    good = path.read_text()
    ring = Keyring(path)
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    clock.now = 1.0
    assert _name(ring.match(text)) == "shop"
    path.write_text(good + f'[[key]]\nname = "b"\nscopes = ["query"]\nsha256 = "{keys.digest_of("b").hex()}"\n')
    clock.now = 2.0
    assert (_name(ring.match(text)), _name(ring.match("b"))) == ("shop", "b")


@pytest.mark.parametrize(
    "content",
    [
        "[[key",
        "key = 1",
        "keys = []",
        "[[key]]",
        f'[[key]]\nname = "a"\nscopes = []\nsha256 = "{_SHA}"',
        f'[[key]]\nname = "a"\nscopes = ["root"]\nsha256 = "{_SHA}"',
        f'[[key]]\nname = "a b"\nscopes = ["query"]\nsha256 = "{_SHA}"',
        f'[[key]]\nname = 1\nscopes = ["query"]\nsha256 = "{_SHA}"',
        '[[key]]\nname = "a"\nscopes = ["query"]\nsha256 = "12"',
        f'[[key]]\nname = "a"\nscopes = ["query"]\nsha256 = "{_SHA}"\nkey = "x"',
        f'[[key]]\nname = "a"\nscopes = ["query"]\nsha256 = "{_SHA}"\n' * 2,
        "key = [1]",
        "",
    ],
)
def test_a_file_that_is_wrong_at_the_start_is_one_sentence(tmp_path: Path, content: str) -> None:
    """It names the file; a file without keys would let nobody in."""
    path = tmp_path / "keys.toml"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        Keyring(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    """The remedy is in the message."""
    with pytest.raises(ConfigurationError, match="lithoscope key add"):
        Keyring(tmp_path / "keys.toml")


@pytest.mark.parametrize("name", ["", "a b", 'a"', "ü", "-a", "a" * 65, "a\n"])
def test_a_name_is_plain(tmp_path: Path, name: str) -> None:
    """It stands in a TOML file and in a metric's label."""
    with pytest.raises(ConfigurationError, match="is not a name"):
        add_key(tmp_path / "keys.toml", name, [Scope.QUERY])


def test_what_cannot_be_done_to_a_file_is_said(tmp_path: Path) -> None:
    """A name twice, no scope, a name that is not there, a folder that is not there."""
    path = tmp_path / "keys.toml"
    add_key(path, "a", [Scope.QUERY])
    with pytest.raises(ConfigurationError, match="has a key a already"):
        add_key(path, "a", [Scope.QUERY])
    with pytest.raises(ConfigurationError, match="--scope"):
        add_key(path, "b", [])
    with pytest.raises(ConfigurationError, match="has no key b: it has a"):
        remove_key(path, "b")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        add_key(tmp_path / "none" / "keys.toml", "a", [Scope.QUERY])


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever key it is, each is compared once by ``hmac.compare_digest``; none ends the search."""
    made = [make_key(str(number), [Scope.QUERY]) for number in range(3)]
    compared: list[bytes] = []

    def compare(kept: bytes, sent: bytes) -> bool:
        compared.append(kept)
        return compare_digest(kept, sent)

    compare_digest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    found = [_name(match([key for _, key in made], text)) for text in (*(text for text, _ in made), "lsk_", "\udcff")]
    assert found == ["0", "1", "2", None, None]
    assert compared == [key.digest for _, key in made] * 5


def test_how_much_of_a_guess_is_right_takes_no_longer() -> None:
    """Measured: the fastest of many looks at a guess that is wrong at once, and at one that is wrong at its end."""
    text, key = make_key("one", [Scope.INGEST])
    right = text[:-1] + ("A" if text[-1] != "A" else "B")
    wrong = PREFIX + "".join("A" if letter != "A" else "B" for letter in text[len(PREFIX) :])
    others = [make_key(f"other {place}", [Scope.INGEST])[1] for place in range(20)]
    fastest = {right: 1.0, wrong: 1.0}
    for _ in range(300):
        for guess, best in fastest.items():
            fastest[guess] = min(best, timeit(partial(match, [key, *others], guess), number=10))
    assert abs(fastest[right] / fastest[wrong] - 1) < 0.2


def test_admin_opens_everything_and_the_others_themselves() -> None:
    """Scopes are told apart."""
    opened = {scope: [other for other in Scope if Key("a", frozenset({scope}), b"").opens(other)] for scope in Scope}
    assert opened == {Scope.INGEST: [Scope.INGEST], Scope.QUERY: [Scope.QUERY], Scope.ADMIN: list(Scope)}


def test_fixed_keys_are_those_given() -> None:
    """As the dashboard's."""
    text, key = make_key("dashboard", [Scope.QUERY])
    assert FixedKeys(key).match(text) is key
    assert FixedKeys(key).match(text[:-1]) is None


def test_a_key_has_limits_of_its_own(tmp_path: Path) -> None:
    """Written by hand into its table, kept when another key is added, and refused when they are no limits."""
    path = tmp_path / "keys.toml"
    add_key(path, "one", [Scope.QUERY])
    path.write_text(path.read_text() + 'query_seconds = "2s"\nquery_memory = "1MiB"\nquery_rows = 10\n')
    add_key(path, "two", [Scope.INGEST])
    limits = {"query_seconds": 2.0, "query_memory": 1024**2, "query_rows": 10}
    assert [dict(key.limits) for key in read_keys(path)] == [limits, {}]
    for wrong in ("query_rows = 0", "query_seconds = 'soon'", "colour = 1"):
        path.write_text(f"{_HEAD_OF_ONE}{wrong}\n")
        with pytest.raises(ConfigurationError, match="query_concurrency"):
            read_keys(path)


_HEAD_OF_ONE = f'[[key]]\nname = "one"\nscopes = ["query"]\nsha256 = "{"0" * 64}"\n'
