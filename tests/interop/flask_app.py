"""A Flask app with Flask-JWT-Extended, as somebody's who moves over to Latchet: it has a key of its own,
and also takes the tokens of the Latchet at LATCHET_URL, whose keys it fetches.

Beside its protected routes it makes whatever tokens the tests order at /mint.
"""

import json
import os
import urllib.parse
import urllib.request
from datetime import timedelta

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from flask import Flask, jsonify, make_response, request
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_jwt,
    get_jwt_identity,
    jwt_required,
    set_access_cookies,
)

LATCHET = os.environ["LATCHET_URL"]
ALGORITHM = os.environ["ALGORITHM"]
SIGNING = os.environ["SIGNING_KEY"]
VERIFYING = SIGNING
if ALGORITHM != "HS256":
    VERIFYING = load_pem_private_key(SIGNING.encode(), password=None).public_key()

app = Flask(__name__)
app.config.update(
    JWT_ALGORITHM=ALGORITHM,
    JWT_SECRET_KEY=SIGNING,
    JWT_PRIVATE_KEY=SIGNING,
    JWT_PUBLIC_KEY=VERIFYING,
    JWT_TOKEN_LOCATION=["headers", "cookies"],
)
manager = JWTManager(app)
latchet_keys = jwt.PyJWKClient(f"{LATCHET}/.well-known/jwks.json")


@manager.decode_key_loader
def key_of(header, _payload):
    """Latchet's keys by their `kid`; HMAC secrets are not published."""
    if ALGORITHM != "HS256":
        for key in latchet_keys.get_signing_keys():
            if key.key_id == header.get("kid"):
                return key.key
    return VERIFYING


@manager.token_in_blocklist_loader
def is_revoked(_header, payload):
    """Asks Latchet about its own tokens (RFC 7662)."""
    if payload.get("iss") != LATCHET:
        return False
    token = request.cookies.get("access_token_cookie") or request.headers["Authorization"].split()[1]
    question = urllib.request.Request(
        f"{LATCHET}/oauth/introspect",
        data=urllib.parse.urlencode({"token": token}).encode(),
        headers={"Authorization": f"Bearer {os.environ['INTROSPECTOR']}"},
    )
    with urllib.request.urlopen(question, timeout=10) as answer:
        return not json.load(answer)["active"]


@app.get("/ready")
def ready():
    return "ready"


@app.route("/me", methods=["GET", "POST"])
@jwt_required()
def me():
    return jsonify(sub=get_jwt_identity())


@app.get("/fresh")
@jwt_required(fresh=True)
def fresh():
    return jsonify(sub=get_jwt_identity())


@app.get("/admin")
@jwt_required()
def admin():
    if "admin" not in get_jwt().get("roles", []):
        return jsonify(msg="Admins only!"), 403
    return jsonify(sub=get_jwt_identity())


@app.post("/mint")
def mint():
    """Makes tokens with Flask-JWT-Extended, and with PyJWT alone where `claims` is all there is to be."""
    order = request.get_json()
    if order["kind"] == "bare":
        return jsonify(token=jwt.encode(order["claims"], SIGNING, algorithm=app.config["JWT_ALGORITHM"]))
    lifetime = order.get("lifetime", 900)
    fresh = timedelta(seconds=order["fresh_for"]) if "fresh_for" in order else order.get("fresh", False)
    options = {
        "expires_delta": False if lifetime is False else timedelta(seconds=lifetime),
        "additional_claims": order.get("claims", {}),
    }
    if order["kind"] == "refresh":
        token = create_refresh_token(order["identity"], **options)
    else:
        token = create_access_token(order["identity"], fresh=fresh, **options)
    response = make_response(jsonify(token=token))
    if order["kind"] == "cookie":
        set_access_cookies(response, token)
    return response


app.run(port=int(os.environ["PORT"]), threaded=True)
