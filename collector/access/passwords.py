"""The dashboard's shared password: only a slow hash of it is kept, since people choose what can be guessed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

_COST, _BLOCK, _PARALLEL = 2**15, 8, 3  # OWASP, Password Storage Cheat Sheet: one of its equivalent settings
_SALT_BYTES = 16
_MOST_MEMORY = 64 * 1024**2
_KIND = "scrypt"


def hash_password(password: str) -> str:
    """Return what may stand in a configuration: ``scrypt$N$r$p$salt$hash``."""
    salt = os.urandom(_SALT_BYTES)
    parts = (_KIND, _COST, _BLOCK, _PARALLEL, _text(salt), _text(_scrypt(password, salt, _COST, _BLOCK, _PARALLEL)))
    return "$".join(map(str, parts))


def is_hash(text: str) -> bool:
    """Whether a text is what ``hash_password`` returns."""
    try:
        _split(text)
    except ValueError:
        return False
    return True


def matches(password: str, hashed: str) -> bool:
    """Whether a password is the one behind a hash; takes a quarter of a second, so that guessing takes long."""
    cost, block, parallel, salt, digest = _split(hashed)
    return hmac.compare_digest(_scrypt(password, salt, cost, block, parallel), digest)


def _split(text: str) -> tuple[int, int, int, bytes, bytes]:
    kind, cost, block, parallel, salt, digest = text.split("$")
    if kind != _KIND:
        raise ValueError(kind)
    return int(cost), int(block), int(parallel), base64.b64decode(salt), base64.b64decode(digest)


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogateescape"), salt=salt, n=cost, r=block, p=parallel, maxmem=_MOST_MEMORY
    )


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
