"""JWKS mode: tokens are checked by the keys of the issuer. Needs `pip install latchet[jwks]`.

**A logout takes effect only when the access token expires** (`LATCHET_ACCESS_TTL`, 15 minutes), and so does a
change of roles or a disabled account. Use `latchet.Latchet` where that is too late.
"""
from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import jwt

from ._checker import Checker, Moment, now, permitted_url
from ._token import Refused, User

# An algorithm is a property of a key. Secrets (`oct`) are no public keys.
_KEY_TYPES = {"EdDSA": "OKP", "ES256": "EC", "RS256": "RSA"}
# A clock that is behind the issuer's must not refuse new tokens, so `iat` is required only.
_OPTIONS: Any = {"require": ["iss", "aud", "sub", "jti", "iat", "exp"], "verify_iat": False}
# Ages of keys in seconds: fetched again, waited for, not used any more. Shortest time between two fetches.
_FRESH, _STALE, _OUTAGE, _PAUSE = 300, 900, 86_400, 5


class KeyVerifier(Checker):
    """Checks signature, issuer, audience, type and expiry of tokens. **Does not notice a logout.**

    `scope` as in `latchet.Latchet`.
    """

    _shared_for = math.inf

    def __init__(
        self, issuer: str, *, audience: str | None = None, scope: str = "", timeout: float = 2.0,
        allow_plain_http: bool = False, clock: Callable[[], Moment] = now,
    ) -> None:
        super().__init__(issuer, timeout, allow_plain_http, clock)
        self._issuer, self._audience, self._scopes = issuer, audience or issuer, frozenset(scope.split())
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = self._tried = -math.inf

    def _start(self) -> None:
        super()._start()
        self._fetching = Lock()

    def _check(self, token: str) -> User | Future[User]:
        moment = self._clock()[0]
        key, age, pause = self._key(token), moment - self._fetched, moment - self._tried
        if key is None or age > _OUTAGE or (age > _STALE and pause > _PAUSE):
            return self._ask(token.encode(), lambda _: self._decode_after_fetch(token))
        if age > _FRESH and pause > _PAUSE:
            with suppress(Refused):
                self._ask(b"", lambda _: self._decode_after_fetch(token))
        return self._decode(token, key)

    def _key(self, token: str) -> jwt.PyJWK | None:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise Refused.token("malformed_token", "the token is malformed: its header is not a JOSE header") from None
        if str(header.get("alg")) not in _KEY_TYPES:
            raise Refused.token("invalid_token", "the token is not valid: its algorithm is not accepted")
        return self._keys.get(str(header.get("kid")))

    def _decode_after_fetch(self, token: str) -> User:
        with self._fetching:
            moment = self._clock()[0]
            if moment - self._tried > _PAUSE:
                self._tried = moment
                try:
                    self._keys, self._fetched = self._fetch(), moment
                except Exception as error:
                    self._report(error)
        key = self._key(token)
        if key and moment - self._fetched < _OUTAGE:
            return self._decode(token, key)
        if self._fetched < self._tried:
            raise Refused.unavailable(str(_PAUSE))
        raise Refused.token("invalid_token", "the token is not valid: it was not signed with a trusted key")

    def _fetch(self) -> dict[str, jwt.PyJWK]:
        url = urlsplit(self._url)
        metadata = self._document(url._replace(path=f"/.well-known/oauth-authorization-server{url.path}").geturl())
        if metadata["issuer"] != self._issuer:
            raise ValueError(f"the metadata name another issuer: {metadata['issuer']!r}")
        address = permitted_url(metadata["jwks_uri"], self._allow_plain_http)
        if url.scheme == "https" and not address.startswith("https:"):
            raise ValueError("the keys of an issuer on https are on http")
        keys = [key for key in self._document(address)["keys"] if key.get("use", "sig") == "sig"]
        found = {key["kid"]: jwt.PyJWK(key) for key in keys if _KEY_TYPES.get(key.get("alg"), "") == key["kty"]}
        if not found:
            raise ValueError("the issuer has no usable keys")
        return found

    def _document(self, url: str) -> Any:
        status, _, body = self._get(url, {"Accept": "application/json"})
        if status != 200:
            raise ValueError(f"unexpected status {status} of {url}")
        return json.loads(body)

    def _decode(self, token: str, key: jwt.PyJWK) -> User:
        try:
            found = jwt.decode_complete(
                token, key, [key.algorithm_name], issuer=self._issuer, audience=self._audience, options=_OPTIONS
            )
            claims, typ = found["payload"], str(found["header"].get("typ")).lower()
            user = User.from_claims(claims)
        except jwt.ExpiredSignatureError:
            raise Refused.token("token_expired", "the token has expired") from None
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise Refused.token("invalid_token", "the token is not valid") from error
        if claims.get("type") != "access" or typ not in ("at+jwt", "application/at+jwt"):
            raise Refused.token("wrong_token_type", "this is the wrong kind of token")
        if not self._scopes <= set(user.scopes) or ("narrowed" in claims and not self._scopes):
            raise Refused.token("insufficient_scope", "the token lacks the scopes for this", 403, "insufficient_scope")
        return user
