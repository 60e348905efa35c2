"""A FastAPI service for the users of Latchet. /docs has the button "Authorize"."""
import os
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI
from latchet import Latchet, User
from latchet.fastapi import CurrentUser, init_app

# Every request is checked. With `cache_seconds=1`, the default, a logout takes effect within a second.
latchet = Latchet(os.environ.get("LATCHET_URL", "http://127.0.0.1:8080"), cache_seconds=0)
SignedIn = Annotated[User, Depends(CurrentUser(latchet))]
Admin = Annotated[User, Depends(CurrentUser(latchet, roles=["admin"]))]

app = FastAPI()
init_app(app)


@app.get("/hello")
def hello(user: SignedIn) -> dict[str, str]:
    return {"hello": user.username}


@app.get("/admin")
def admin(user: Admin) -> dict[str, str]:
    return {"hello": user.username}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "3000")))
