"""Routes of the tests. FastAPI reads annotations as values, so they are not postponed here."""
from typing import Annotated, Any

import latchet.fastapi
from fastapi import Depends, FastAPI
from latchet import Latchet, User


def app(checker: Latchet) -> FastAPI:
    """Returns an app whose routes a checker protects."""
    routes = FastAPI()
    latchet.fastapi.init_app(routes)
    required = latchet.fastapi.CurrentUser(checker)
    optional = latchet.fastapi.CurrentUser(checker, optional=True)
    admin = latchet.fastapi.CurrentUser(checker, roles=["admin"])

    @routes.post("/required")
    @routes.get("/required")
    def content(user: Annotated[User, Depends(required)]) -> Any:
        return [user.id, user.username, sorted(user.roles), user.session_id, user.claims["sub"]]

    @routes.get("/optional")
    async def name(user: Annotated[User | None, Depends(optional)]) -> Any:
        return user.username if user else None

    @routes.get("/admin")
    def administration(user: Annotated[User, Depends(admin)]) -> Any:
        return user.username

    @routes.get("/open")
    def free() -> Any:
        return "open"

    return routes


def app_without_handler(checker: Latchet) -> FastAPI:
    """Returns an app in which `init_app` was forgotten."""
    routes = FastAPI()

    @routes.get("/required")
    def content(user: Annotated[User, Depends(latchet.fastapi.CurrentUser(checker))]) -> Any:
        return user.username

    return routes
