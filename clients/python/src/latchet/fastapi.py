"""Dependency of FastAPI. The scheme appears in the OpenAPI document, with the button "Authorize" in /docs.

Annotations are not postponed here: FastAPI cannot resolve those of an instance.
"""

from collections.abc import Iterable

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from ._checker import Checker
from ._token import Refused, Rule, User


class RefusedRequest(HTTPException):
    """A refusal as an exception of FastAPI: status and headers are right without `init_app` too."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.status, refused.problem, refused.headers)
        self.refused = refused


class CurrentUser(SecurityBase):
    """Dependency that returns the user, with every one of `roles`; with `optional` it is `None` without a token."""

    def __init__(self, checker: Checker, *, roles: Iterable[str] = (), optional: bool = False) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="Access token of Latchet")
        self.scheme_name = "latchet"
        self._checker, self._rule = checker, Rule(roles, optional)

    async def __call__(self, request: Request) -> User | None:
        try:
            return await self._checker.check_async(request.headers.getlist("authorization"), self._rule)
        except Refused as refused:
            raise RefusedRequest(refused) from refused


def init_app(app: FastAPI) -> None:
    """Makes the bodies of refusals `problem+json`, as Latchet's own; without it they are within `detail`."""

    @app.exception_handler(RefusedRequest)
    async def respond(_: Request, error: RefusedRequest) -> Response:
        return Response(error.refused.body, error.refused.status, error.refused.headers)
