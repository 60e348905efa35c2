"""Decorators of Flask, in the shape of Flask-JWT-Extended."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from flask import Flask, Response, abort, current_app, request
from werkzeug.local import LocalProxy

from ._checker import Checker
from ._token import Refused, Rule, User

_USER = "latchet.user"


def init_app(app: Flask, checker: Checker) -> None:
    """Protects the routes of an app by a checker."""
    app.extensions["latchet"] = checker


def verify_jwt_in_request(*, optional: bool = False, roles: Iterable[str] = ()) -> User | None:
    """Checks the token of the current request, and ends the request if it is refused."""
    checker: Checker = current_app.extensions["latchet"]
    try:
        user = checker.check(request.headers.getlist("Authorization"), Rule(roles, optional))
    except Refused as refused:
        abort(Response(refused.body, refused.status, refused.headers))
    request.environ[_USER] = user
    return user


def jwt_required(*, optional: bool = False, roles: Iterable[str] = ()) -> Callable[[Callable[..., Any]], Any]:
    """Protects a route: with every one of `roles`; `optional` admits requests without a token."""
    required = Rule(roles).roles

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def protected(*args: Any, **kwargs: Any) -> Any:
            verify_jwt_in_request(optional=optional, roles=required)
            return current_app.ensure_sync(view)(*args, **kwargs)

        return protected

    return decorate


def get_current_user() -> User | None:
    """Returns the user; `None` if the token is optional and absent."""
    if _USER not in request.environ:
        raise RuntimeError("call this in a route with @jwt_required()")
    user: User | None = request.environ[_USER]
    return user


def get_jwt_identity() -> str | None:
    """Returns the id of the user: the claim `sub`."""
    user = get_current_user()
    return user.id if user else None


def get_jwt() -> dict[str, Any]:
    """Returns the claims of the token; empty if it is optional and absent."""
    user = get_current_user()
    return user.claims if user else {}


current_user: Any = LocalProxy(get_current_user)
