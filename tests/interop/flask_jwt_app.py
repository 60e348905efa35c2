"""A Flask app with Flask-JWT 0.3.2, the last there is, with one user of its own and one protected route.

Given VERIFYING_KEY, a JWK, it takes the tokens of somebody else who signs with RS256.
"""

import base64
import collections
import collections.abc
import json
import os
from datetime import datetime, timedelta

# PyJWT below 1.5, which Flask-JWT asks for, looks for it where Python had it before 3.10.
collections.Mapping = collections.abc.Mapping

import jwt as pyjwt
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from flask import Flask, jsonify
from flask_jwt import JWT, current_identity, jwt_required

User = collections.namedtuple("User", ["id"])
NAME, PASSWORD = os.environ["NAME"], os.environ["PASSWORD"]
VERIFYING = os.environ.get("VERIFYING_KEY")


def authenticate(username, password):
    return User(NAME) if (username, password) == (NAME, PASSWORD) else None


def identity(payload):
    is_known = VERIFYING or payload["identity"] == NAME
    return User(payload["identity"]) if is_known else None


app = Flask(__name__)
app.config.update(SECRET_KEY=os.environ["SIGNING_KEY"])
manager = JWT(app, authenticate, identity)

if VERIFYING:
    jwk = json.loads(VERIFYING)
    n, e = (int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "=="), "big") for name in "ne")
    public_key = RSAPublicNumbers(e, n).public_key(default_backend())

    # The default refuses every token that has `aud`.
    @manager.jwt_decode_handler
    def decode(token):
        return pyjwt.decode(token, public_key, algorithms=["RS256"], audience=os.environ["AUDIENCE"])


@app.get("/ready")
def ready():
    return "ready"


@app.get("/v1/me")
@jwt_required()
def me():
    return jsonify(identity=current_identity.id)


@app.get("/expired")
def expired():
    then = datetime.utcnow() - timedelta(hours=1)
    claims = {"iat": then, "nbf": then, "exp": then, "identity": NAME}
    return pyjwt.encode(claims, app.config["SECRET_KEY"]).decode()


app.run(port=int(os.environ["PORT"]), threaded=True)
