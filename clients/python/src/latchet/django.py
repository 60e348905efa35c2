"""Middleware and decorator of Django. The setting `LATCHET` is the checker: `LATCHET = Latchet("https://…")`."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpResponse
from django.utils.decorators import sync_and_async_middleware

from ._checker import Checker
from ._token import Refused, Rule, User

_OPTIONAL = Rule(optional=True)


def _response(refused: Refused) -> HttpResponse:
    return HttpResponse(refused.body, status=refused.status, headers=refused.headers)


@sync_and_async_middleware  # type: ignore[untyped-decorator, unused-ignore]
def middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Sets `request.latchet_user`: `None` without a token. A token that is not valid is refused on every route."""

    checker: Checker = settings.LATCHET

    def check(request: Any) -> Any:
        try:
            request.latchet_user = checker.check([request.META.get("HTTP_AUTHORIZATION", "")], _OPTIONAL)
        except Refused as refused:
            return _response(refused)
        return get_response(request)

    async def check_async(request: Any) -> Any:
        try:
            lines = [request.META.get("HTTP_AUTHORIZATION", "")]
            request.latchet_user = await checker.check_async(lines, _OPTIONAL)
        except Refused as refused:
            return _response(refused)
        return await get_response(request)

    return check_async if iscoroutinefunction(get_response) else check


def current_user(request: Any) -> User | None:
    """Returns `request.latchet_user`, with its type."""
    user: User | None = request.latchet_user
    return user


def login_required(view: Callable[..., Any] | None = None, *, roles: Iterable[str] = ()) -> Any:
    """Protects a view: `@login_required`, or `@login_required(roles=["admin"])` for every one of these roles."""
    rule = Rule(roles)

    def refusal(request: Any) -> HttpResponse | None:
        try:
            rule.admit(request.latchet_user)
        except Refused as refused:
            return _response(refused)
        return None

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        def protected(request: Any, *args: Any, **kwargs: Any) -> Any:
            return refusal(request) or view(request, *args, **kwargs)

        async def protected_async(request: Any, *args: Any, **kwargs: Any) -> Any:
            return refusal(request) or await view(request, *args, **kwargs)

        chosen: Any = wraps(view)(protected_async if iscoroutinefunction(view) else protected)
        # No page of another site can add the header of a token, so no CSRF value is needed.
        chosen.csrf_exempt = True
        return chosen  # type: ignore[no-any-return]

    return decorate(view) if view else decorate
