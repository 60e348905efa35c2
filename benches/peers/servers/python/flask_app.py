"""Flask-JWT-Extended with the blocklist in Redis that its documentation shows, and refresh tokens that
rotate: the one shown is put on that list. gunicorn serves `flask_app:app`.
"""

import os
from datetime import timedelta

import redis
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from flask import Flask, jsonify, request
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_jwt,
    get_jwt_identity,
    jwt_required,
)

ACCESS = timedelta(minutes=15)
REFRESH = timedelta(days=14)

app = Flask(__name__)
app.config["JWT_SECRET_KEY"] = os.environ["SECRET"]
app.config["JWT_ACCESS_TOKEN_EXPIRES"] = ACCESS
app.config["JWT_REFRESH_TOKEN_EXPIRES"] = REFRESH
jwt = JWTManager(app)

blocklist = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
usual = hasher.hash(os.environ["PASSWORD"])
users = {f"person{number}": usual for number in range(int(os.environ["ACCOUNTS"]))}
# Logs in for sessions to be there: its logins are not measured.
users[os.environ["QUICK"]] = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash(os.environ["PASSWORD"])


@jwt.token_in_blocklist_loader
def is_blocked(_header, claims):
    return blocklist.get(claims["jti"]) is not None


def issue(username):
    return jsonify(
        access_token=create_access_token(identity=username),
        refresh_token=create_refresh_token(identity=username),
    )


@app.post("/login")
def login():
    sent = request.get_json()
    try:
        hasher.verify(users[sent["username"]], sent["password"])
    except (KeyError, VerificationError):
        return jsonify(msg="wrong name or password"), 401
    return issue(sent["username"])


@app.post("/refresh")
@jwt_required(refresh=True)
def refresh():
    blocklist.set(get_jwt()["jti"], "", ex=REFRESH)
    return issue(get_jwt_identity())


@app.get("/me")
@jwt_required()
def me():
    return jsonify(username=get_jwt_identity())


@app.delete("/logout")
@jwt_required(verify_type=False)
def logout():
    blocklist.set(get_jwt()["jti"], "", ex=ACCESS)
    return jsonify(msg="token revoked")
