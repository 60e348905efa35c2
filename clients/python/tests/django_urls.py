"""Views of the tests, each for WSGI and for ASGI."""
from __future__ import annotations

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import path
from latchet.django import current_user, login_required


def content(request: HttpRequest) -> JsonResponse:
    user = current_user(request)
    assert user is not None
    return JsonResponse([user.id, user.username, sorted(user.roles), user.session_id, user.claims["sub"]], safe=False)


def name(request: HttpRequest) -> JsonResponse:
    user = current_user(request)
    return JsonResponse(user.username if user else None, safe=False)


def free(request: HttpRequest) -> JsonResponse:
    return JsonResponse("open", safe=False)


async def content_async(request: HttpRequest) -> JsonResponse:
    return content(request)


async def name_async(request: HttpRequest) -> JsonResponse:
    return name(request)


urlpatterns: list[Any] = [
    path("required", login_required(content)),
    path("optional", name),
    path("admin", login_required(roles=["admin"])(name)),
    path("open", free),
    path("async/required", login_required(content_async)),
    path("async/optional", name_async),
    path("async/admin", login_required(roles=["admin"])(name_async)),
    path("async/open", free),
]
