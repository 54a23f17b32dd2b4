"""API keys: each has a name and scopes, and only its SHA-256 is kept, in a TOML file that may change while it is used.

A key is 256 random bits, so a plain digest is as good as a slow one: there is nothing to guess. Any number is valid at
once, so that a new key can be handed out before the old one is removed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import tempfile
import time
import tomllib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import structlog

from collector.access.files import Watch
from collector.errors import ConfigurationError
from collector.units import parse_duration_ns, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

PREFIX = "lsk_"
"""What every key begins with, so that scanners for leaked secrets can tell one."""
_KEY_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LOOK_EVERY_S = 1.0
_FIELDS = frozenset({"name", "scopes", "sha256"})


def _seconds(value: Any) -> float:
    return parse_duration_ns(value) / 1e9 if isinstance(value, str) else float(value)


def _bytes(value: Any) -> int:
    return parse_size(value) if isinstance(value, str) else int(value)


LIMITS: dict[str, Callable[[Any], float]] = {
    "query_seconds": _seconds,
    "query_rows": int,
    "query_memory": _bytes,
    "query_concurrency": int,
}
"""What a key may have a limit of its own for, and how it is read."""

_HEAD = "# API keys of Lithoscope, written by `lithoscope key`. A key itself is shown once and kept nowhere.\n"

log = structlog.get_logger(__name__)


class Scope(StrEnum):
    """What a key is good for; ``admin`` includes the others."""

    INGEST = "ingest"
    QUERY = "query"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key; ``digest`` is the SHA-256 of its text.

    ``limits`` are those of ``LIMITS`` that are not as the settings of that name have them for all keys.
    """

    name: str
    scopes: frozenset[Scope]
    digest: bytes
    limits: Mapping[str, float] = field(default_factory=dict, hash=False)

    def opens(self, scope: Scope) -> bool:
        """Whether it is good for this."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def digest_of(text: str) -> bytes:
    """Return what is kept of a key."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def match(keys: Iterable[Key], text: str) -> Key | None:
    """Return the key of this text; takes the same time whichever it is, and however much of a guess is right."""
    digest = digest_of(text)
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def read_keys(path: Path) -> list[Key]:
    """Return the keys of a file, in its order; raises ``ConfigurationError`` that names the file and the mistake."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"The file of keys {path} cannot be read ({error.strerror}): make one with `lithoscope key add NAME "
            f"--scope ingest --file {path}`."
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"The file of keys {path} is not TOML ({error}).") from error
    entries = content.get("key", [])
    if set(content) - {"key"} or not isinstance(entries, list):
        raise ConfigurationError(f"The file of keys {path} may hold [[key]] tables only.")
    keys = [_key(entry, path) for entry in entries]
    names = [key.name for key in keys]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"The file of keys {path} has two keys of one name.")
    return keys


def _key(entry: Any, path: Path) -> Key:
    try:
        scopes = frozenset(Scope(scope) for scope in entry["scopes"])
        name, digest = entry["name"], entry["sha256"]
        limits = {limit: LIMITS[limit](value) for limit, value in entry.items() if limit not in _FIELDS}
        is_right = bool(scopes) and all(value > 0 for value in limits.values())
        is_right = is_right and bool(_NAME.fullmatch(name)) and bool(_DIGEST.fullmatch(digest))
    except (KeyError, TypeError, ValueError):
        is_right = False
    if not is_right:
        raise ConfigurationError(
            f"A [[key]] of {path} is not name, scopes (of ingest, query and admin) and sha256: write it with "
            f"`lithoscope key add`. By hand it may get limits of its own: {', '.join(LIMITS)}."
        )
    return Key(name, scopes, bytes.fromhex(digest), limits)


def add_key(path: Path, name: str, scopes: Sequence[Scope]) -> str:
    """Make a key, add it to a file that need not exist, and return its text, which is kept nowhere."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is not a name for a key: letters, digits, dots, dashes, 64 at most.")
    if not scopes:
        raise ConfigurationError("Say what the key is for: --scope ingest, query or admin; the option repeats.")
    keys = read_keys(path) if path.exists() else []
    if name in {key.name for key in keys}:
        raise ConfigurationError(f"{path} has a key {name} already: remove it first, or take another name.")
    text, key = make_key(name, scopes)
    _write(path, [*keys, key])
    return text


def make_key(name: str, scopes: Iterable[Scope]) -> tuple[str, Key]:
    """Return the text of a new key and what to keep of it."""
    text = PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    return text, Key(name, frozenset(scopes), digest_of(text))


def remove_key(path: Path, name: str) -> None:
    """Remove a key from a file; a running collector refuses it a second later."""
    keys = read_keys(path)
    kept = [key for key in keys if key.name != name]
    if len(kept) == len(keys):
        names = ", ".join(key.name for key in keys) or "none"
        raise ConfigurationError(f"{path} has no key {name}: it has {names}.")
    _write(path, kept)


def _write(path: Path, keys: Iterable[Key]) -> None:
    """Replace the file at once, readable for its owner alone: a collector may read it at any moment."""
    content = _HEAD + "".join(map(_table, keys))
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        os.replace(temporary, path)  # noqa: PTH105  (as atomic as it says)
    except OSError as error:
        raise ConfigurationError(f"The file of keys {path} cannot be written ({error.strerror}).") from error


def _table(key: Key) -> str:
    scopes = ", ".join(f'"{scope}"' for scope in sorted(key.scopes))
    limits = "".join(f"{limit} = {value}\n" for limit, value in key.limits.items())
    return f'\n[[key]]\nname = "{key.name}"\nscopes = [{scopes}]\nsha256 = "{key.digest.hex()}"\n{limits}'


class FixedKeys:
    """Keys that live as long as the process."""

    def __init__(self, *keys: Key) -> None:
        self._keys = keys

    def match(self, text: str) -> Key | None:
        """Return the key of this text."""
        return match(self._keys, text)


class Keyring:
    """The keys of a file, read again when it has changed; one that is broken meanwhile leaves the last good keys."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._watch = Watch(path)
        self._looked = time.monotonic()
        self._keys = read_keys(path)
        if not self._keys:
            raise ConfigurationError(
                f"The file of keys {path} has none, so nobody could come in: `lithoscope key add NAME --scope ingest "
                f"--file {path}`."
            )

    def match(self, text: str) -> Key | None:
        """Return the key of this text."""
        self._look_again()
        return match(self._keys, text)

    def _look_again(self) -> None:
        if time.monotonic() - self._looked < _LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        if not self._watch.changed():
            return
        try:
            self._keys = read_keys(self._path)
        except ConfigurationError as error:
            log.error("the keys that were read before stay valid", error=str(error))  # noqa: TRY400
        else:
            log.info("keys read again", keys=len(self._keys))
