"""Verify mode: Latchet is asked about each token."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Future
from urllib.parse import quote

from ._checker import Checker, Moment, is_within, now
from ._token import Refused, User


class Latchet(Checker):
    """Asks `GET /v1/verify` with the caller's own token.

    A positive answer counts for `cache_seconds` (at most 1, 0 for never) from the moment its question was sent,
    and never after `exp`: a logout, or a change of roles, takes effect that much later at most.

    `scope` names the scopes that a token must have. Without it, tokens that are limited to some scopes are refused;
    those of programs always are limited.
    """

    def __init__(
        self, url: str, *, cache_seconds: float = 1.0, max_entries: int = 10_000, timeout: float = 2.0,
        scope: str = "", allow_plain_http: bool = False, clock: Callable[[], Moment] = now,
    ) -> None:
        if not 0 <= cache_seconds <= 1:
            raise ValueError("cache_seconds must be between 0 and 1: a logout has to take effect within a second")
        super().__init__(url, timeout, allow_plain_http, clock)
        self._question = f"{self._url}/v1/verify" + (f"?scope={quote(scope, safe='')}" if scope else "")
        self._shared_for, self._max_entries = cache_seconds, max_entries
        self._cache: dict[bytes, tuple[User, Moment, float]] = {}

    def _check(self, token: str) -> User | Future[User]:
        key = hashlib.sha256(token.encode()).digest()
        entry, moment = self._cache.get(key), self._clock()
        if entry and is_within(self._shared_for, entry[1], moment) and moment[1] < entry[2]:
            return entry[0]
        return self._ask(key, lambda sent: self._verify(key, token, sent))

    def _verify(self, key: bytes, token: str, sent: Moment) -> User:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        status, answer, body = self._get(self._question, headers)
        if status in (429, 503):
            wait = answer.get("Retry-After", "")
            raise Refused.unavailable(wait if wait.isdigit() else "1")
        content = json.loads(body)
        if status in (401, 403):
            challenge = {"WWW-Authenticate": " ".join(answer["WWW-Authenticate"].split())}
            raise Refused(status, str(content["code"]), str(content["detail"]), challenge)
        if status != 200:
            raise ValueError(f"unexpected status {status}")
        user, expiry = User.from_claims(content), float(content.get("exp", "inf"))
        if self._shared_for:
            self._keep(key, (user, sent, expiry))
        return user

    def _keep(self, key: bytes, entry: tuple[User, Moment, float]) -> None:
        with self._lock:
            # At the end: the first entry is the oldest, and the first to become useless.
            self._cache.pop(key, None)
            self._cache[key] = entry
            while len(self._cache) > self._max_entries:
                del self._cache[next(iter(self._cache))]
