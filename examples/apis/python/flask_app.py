"""A Flask service for the users of Latchet, in the shape of Flask-JWT-Extended."""
import os

from flask import Flask
from latchet import Latchet
from latchet.flask import current_user, get_jwt_identity, init_app, jwt_required

app = Flask(__name__)
# Every request is checked. With `cache_seconds=1`, the default, a logout takes effect within a second.
init_app(app, Latchet(os.environ.get("LATCHET_URL", "http://127.0.0.1:8080"), cache_seconds=0))


@app.get("/hello")
@jwt_required()
def hello():
    return {"hello": current_user.username, "id": get_jwt_identity()}


@app.get("/greeting")
@jwt_required(optional=True)
def greeting():
    return {"hello": current_user.username if current_user else "stranger"}


@app.get("/admin")
@jwt_required(roles=["admin"])
def admin():
    return {"hello": current_user.username}


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "3000")))
