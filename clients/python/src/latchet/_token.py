"""Tokens of requests, the users whom they name, and refusals."""
from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

MAX_TOKEN_LENGTH = 8192
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


@dataclass(frozen=True)
class User:
    """The user of a valid access token."""

    id: str
    username: str
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    session_id: str | None = None
    _claims: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def claims(self) -> dict[str, Any]:
        """All claims, as a copy: other requests may share this user."""
        return copy.deepcopy(dict(self._claims))

    @classmethod
    def from_claims(cls, claims: Any) -> User:
        """Returns the user that claims name; raises `ValueError` if they are not those of a token."""
        sub, name, session = claims["sub"], claims.get("preferred_username", ""), claims.get("sid")
        roles, scope = claims.get("roles", []), claims.get("scope", "")
        texts = [sub, name, scope, *roles, "" if session is None else session]
        if not sub or not isinstance(roles, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError("the claims are not those of an access token")
        return cls(sub, name, tuple(roles), tuple(scope.split()), session, claims)


class Refused(Exception):
    """A request that may not pass: the response that it receives, as `problem+json` (RFC 9457)."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store", **(headers or {})}

    @property
    def problem(self) -> dict[str, Any]:
        title = HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "code": self.code, "detail": self.detail}

    @property
    def body(self) -> bytes:
        return json.dumps(self.problem).encode()

    @classmethod
    def token(cls, code: str, detail: str, status: int = 401, error: str = "invalid_token") -> Refused:
        """Returns the refusal of a token, with the challenge of RFC 6750."""
        challenge = f'Bearer error="{error}", error_description="{detail}"'
        return cls(status, code, detail, {"WWW-Authenticate": challenge})

    @classmethod
    def unavailable(cls, retry_after: str = "1") -> Refused:
        """Returns the refusal while nothing is known about the token."""
        return cls(503, "unavailable", "the token cannot be checked now", {"Retry-After": retry_after})


@dataclass(frozen=True)
class Rule:
    """Requirements of a route: every one of `roles`, and a user unless the token is `optional`."""

    roles: Iterable[str] = ()
    optional: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.roles, str):
            raise TypeError("roles must be a list of names, not one text")
        object.__setattr__(self, "roles", frozenset(self.roles))

    def admit(self, user: User | None) -> User | None:
        """Returns the user, or nothing if there was no token and none is required."""
        if user is None and not self.optional:
            challenge = {"WWW-Authenticate": 'Bearer realm="latchet"'}
            raise Refused(401, "missing_token", "no token was sent", challenge)
        if user is not None and not set(self.roles) <= set(user.roles):
            detail = "the token does not carry the role that this needs"
            raise Refused.token("insufficient_scope", detail, 403, "insufficient_scope")
        return user


def presented_token(authorization: Iterable[str]) -> str | None:
    """Returns the one bearer token in these lines of `Authorization`, or nothing if there is none.

    Servers join repeated headers with commas, so each line may contain several credentials.
    """
    credentials = [part.split(None, 1) for line in authorization for part in line.split(",")]
    tokens = [part[1].strip() if len(part) > 1 else "" for part in credentials if part and part[0].lower() == "bearer"]
    if not tokens:
        return None
    if len(tokens) > 1:
        # A proxy in front may have checked the other one.
        raise Refused.token("validation_failed", "more than one token was sent", 400, "invalid_request")
    if len(tokens[0]) > MAX_TOKEN_LENGTH:
        raise Refused.token("malformed_token", "the token is malformed: it is longer than 8 kB")
    if not _JWT.fullmatch(tokens[0]):
        raise Refused.token("malformed_token", "the token is malformed: it is not a JWT")
    return tokens[0]
