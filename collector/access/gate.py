"""Lets requests in that carry a key of the right scope, and counts whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prometheus_client import Counter

from collector.errors import ForbiddenError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from collector.access.keys import Key, Scope

HEADER = "x-api-key"
_BEARER = "bearer "


class Keys(Protocol):
    """Knows keys; ``collector.access.keys.Keyring`` does."""

    def match(self, text: str) -> Key | None:
        """Return the key of this text."""


class Gate:
    """Checks the headers of a request; without keys, everybody may come in."""

    def __init__(self, keys: Keys | None = None, registry: CollectorRegistry | None = None) -> None:
        self._keys = keys
        self._admitted = Counter("lithoscope_admitted", "Requests let in, by key.", ["key", "scope"], registry=None)
        self._refused = Counter("lithoscope_not_admitted", "Requests without a right key.", ["reason"], registry=None)
        if registry is not None and keys is not None:
            registry.register(self._admitted)
            registry.register(self._refused)

    def admit(self, headers: Mapping[str, str], scope: Scope) -> None:
        """Return when a request may do this; ``headers`` have names in lower case.

        Raises ``UnauthenticatedError`` without a valid key, and ``ForbiddenError`` when it is good for something else.
        """
        if self._keys is None:
            return
        text = _key_text(headers)
        key = self._keys.match(text) if text else None
        if key is None:
            self._refused.labels("unknown" if text else "missing").inc()
            said = "This API key is not valid here" if text else "This collector wants an API key"
            raise UnauthenticatedError(f"{said}: send one as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.")
        if not key.opens(scope):
            self._refused.labels("scope").inc()
            has = " and ".join(sorted(key.scopes))
            raise ForbiddenError(f"The API key {key.name} is for {has}: this wants one for {scope}.")
        self._admitted.labels(key.name, scope.value).inc()


def _key_text(headers: Mapping[str, str]) -> str:
    bearer = headers.get("authorization", "")
    if bearer[: len(_BEARER)].lower() == _BEARER:
        return bearer[len(_BEARER) :].strip()
    return headers.get(HEADER, "").strip()
