"""Personal data: attributes dropped or hashed, and texts of logs cut, while a request is decoded.

Work is done once for each distinct key and value, as all decoding of attributes is, and not for each span.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path  # noqa: TC003  (pydantic reads it)
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Ints: TypeAlias = np.ndarray[Any, np.dtype[Any]]

CUT = "[redacted]"
"""What stands in a text for what was cut out of it."""
_LEAST_SECRET = 16
_HASH_DIGITS = 32  # 128 bits: two values that are hashed alike are not met


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is not to be stored.

    ``drop`` and ``hash`` are patterns of attribute keys (``*``, ``?`` and ``[…]``, case-sensitive); what both name is
    dropped. ``key`` is the secret of the hashes. ``texts`` are regular expressions (RE2) of what to cut out of the
    bodies of logs.
    """

    drop: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    key: bytes = b""
    texts: tuple[str, ...] = ()

    def dropped(self, keys: Sequence[str]) -> Ints:
        """Return a mask of the keys to drop."""
        return _matching(self.drop, keys)

    def hashed(self, keys: Sequence[str]) -> Ints:
        """Return a mask of the keys whose values to hash."""
        return _matching(self.hash, keys)

    def digest(self, value: str) -> str:
        """Return what is stored for a value: equal for equal values, and nothing else can be told from it."""
        return hmac.new(self.key, value.encode(), hashlib.sha256).hexdigest()[:_HASH_DIGITS]

    def hash_values(self, text: pa.Array, chosen: Ints) -> pa.Array:
        """Return texts with those of a mask hashed; null stays null."""
        found = text.filter(pa.array(chosen)).to_pylist()
        digests = [None if value is None else self.digest(value) for value in found]
        return pc.replace_with_mask(text, pa.array(chosen), pa.array(digests, text.type))

    def cut(self, text: pa.Array) -> pa.Array:
        """Return texts without what ``texts`` match."""
        for pattern in self.texts:
            text = pc.replace_substring_regex(text, pattern=pattern, replacement=CUT)
        return text


def check_texts(patterns: Sequence[str]) -> None:
    """Raise ``ValueError`` for what is no regular expression."""
    for pattern in patterns:
        try:
            pc.replace_substring_regex(pa.array([""]), pattern=pattern, replacement="")
        except pa.ArrowInvalid as error:
            raise ValueError(f"{pattern!r} is no regular expression ({error})") from error


def _matching(patterns: Sequence[str], keys: Sequence[str]) -> Ints:
    if not patterns:
        return np.zeros(len(keys), bool)
    matches: Callable[[str], Any] = re.compile("|".join(map(translate, patterns))).match
    return np.array([matches(key) is not None for key in keys], bool)


class Redact(BaseModel):
    """The table ``[redact]`` of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    drop: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    hash_key: Path | None = None
    bodies: tuple[str, ...] = ()

    @field_validator("bodies")
    @classmethod
    def _patterns_are_right(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_texts(value)
        return value

    @model_validator(mode="after")
    def _hashes_have_a_secret(self) -> Self:
        if self.hash and (self.hash_key is None or len(_secret(self.hash_key)) < _LEAST_SECRET):
            raise ValueError(
                f"hash wants hash_key, a file with a secret of {_LEAST_SECRET} bytes or more, such as `openssl rand "
                "-hex 32` makes: without one, whoever guesses a value can tell that it was there"
            )
        return self

    @property
    def redaction(self) -> Redaction | None:
        """What is not to be stored, if anything."""
        if self == Redact():
            return None
        return Redaction(self.drop, self.hash, b"" if self.hash_key is None else _secret(self.hash_key), self.bodies)


def _secret(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise ValueError(f"hash_key {path} cannot be read ({error.strerror})") from error
