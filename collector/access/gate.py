"""Lets requests in that carry a key of the right scope, and counts whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from collector.access.usage import Usage
from collector.errors import ForbiddenError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.access.keys import Key, Scope

HEADER = "x-api-key"
_BEARER = "bearer "


class Keys(Protocol):
    """Knows keys; ``collector.access.keys.Keyring`` does."""

    def match(self, text: str) -> Key | None:
        """Return the key of this text."""


class Gate:
    """Checks the headers of a request; without keys, everybody may come in."""

    def __init__(self, keys: Keys | None = None, usage: Usage | None = None) -> None:
        self._keys = keys
        self.usage = usage or Usage()

    def admit(self, headers: Mapping[str, str], scope: Scope) -> Key | None:
        """Return the key of a request that may do this, None where nobody needs one; ``headers`` are in lower case.

        Raises ``UnauthenticatedError`` without a valid key, and ``ForbiddenError`` when it is good for something else.
        """
        if self._keys is None:
            return None
        text = _key_text(headers)
        key = self._keys.match(text) if text else None
        if key is None:
            self.usage.not_admitted.labels("unknown" if text else "missing").inc()
            said = "This API key is not valid here" if text else "This collector wants an API key"
            raise UnauthenticatedError(f"{said}: send one as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.")
        if not key.opens(scope):
            self.usage.not_admitted.labels("scope").inc()
            has = " and ".join(sorted(key.scopes))
            raise ForbiddenError(f"The API key {key.name} is for {has}: this wants one for {scope}.")
        self.usage.admitted.labels(key.name, scope.value).inc()
        return key


def _key_text(headers: Mapping[str, str]) -> str:
    bearer = headers.get("authorization", "")
    if bearer[: len(_BEARER)].lower() == _BEARER:
        return bearer[len(_BEARER) :].strip()
    return headers.get(HEADER, "").strip()
