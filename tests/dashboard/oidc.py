"""A provider of OpenID Connect for one client: discovery, authorisation code flow, signed id tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

from collector.web import WebServer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

CLIENT, SECRET = "lithoscope", "planted-secret-of-the-client"


def _key() -> Any:
    return RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"})


@dataclass
class Provider:
    """Whoever asks is logged in as ``claims`` say; ``signs_with`` another key than it publishes is a forger's."""

    claims: dict[str, Any]
    published: Any = field(default_factory=_key)
    signs_with: Any = None
    issued: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        routes = [
            Route("/.well-known/openid-configuration", self._discovery),
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
            Route("/jwks", self._jwks),
        ]
        self.server = WebServer(Starlette(routes=routes), "127.0.0.1", 0, option="--provider")
        self.url = f"http://127.0.0.1:{self.server.port}"

    def forge(self) -> None:
        """Sign with a key that is not published, from now on."""
        self.signs_with = RSAKey.generate_key(2048, {"kid": self.published.kid, "use": "sig", "alg": "RS256"})

    async def _discovery(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def _authorize(self, request: Request) -> Response:
        """Log whoever comes in, and send them back with a code."""
        asked = dict(request.query_params)
        assert (asked["client_id"], asked["response_type"]) == (CLIENT, "code")
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe()
        self.issued[code] = asked
        back = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", 302)

    async def _token(self, request: Request) -> Response:
        """Change a code, once, for the client that proves to be itself."""
        given = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        client = base64.b64decode(pair).decode() if scheme == "Basic" else ""
        asked = self.issued.pop(given.get("code", ""), {})
        self.asked.append(client)
        if client != f"{CLIENT}:{SECRET}":
            return JSONResponse({"error": "invalid_client"}, 401)
        if asked.get("redirect_uri") != given.get("redirect_uri") or not _proves(asked, given):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse({"access_token": "none", "token_type": "Bearer", "id_token": self._id_token(asked)})

    def _id_token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        own = {"iss": self.url, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 300}
        nonce = {"nonce": asked["nonce"]} if "nonce" in asked else {}
        header = {"alg": "RS256", "kid": self.published.kid}
        token: str = jwt.encode(header, {**own, **nonce, **self.claims}, self.signs_with or self.published)
        return token

    async def _jwks(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self.published.as_dict(private=False)]})


def _proves(asked: dict[str, str], given: dict[str, str]) -> bool:
    """PKCE, when the client began with it."""
    if "code_challenge" not in asked:
        return True
    digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
