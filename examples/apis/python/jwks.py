"""A Flask API that checks tokens by the public keys of Latchet, with PyJWT.

A logout takes effect only when the access token expires, 15 minutes after it was issued. Where that is too
late, use `flask_verify.py`.
"""
import os

import jwt
from flask import Flask, Response, g, request

# The issuer is Latchet's public URL, and so is the audience unless `LATCHET_AUDIENCE` names another.
ISSUER = os.environ.get("LATCHET_URL", "http://127.0.0.1:8080")
keys = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json", timeout=2)
# A clock that is behind Latchet's must not refuse new tokens.
CHECKS = {"require": ["exp", "sub", "jti"], "verify_iat": False}
app = Flask(__name__)


def refusal(status, title, code, **headers):
    problem = f'{{"type": "about:blank", "title": "{title}", "status": {status}, "code": "{code}"}}'
    return Response(problem, status, {"Content-Type": "application/problem+json", **headers})


@app.before_request
def authenticate():
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        key = keys.get_signing_key_from_jwt(token if scheme.lower() == "bearer" else "")
        # The algorithm is that of the published key, never the one that the token names.
        if key.algorithm_name not in ("EdDSA", "ES256", "RS256"):
            raise jwt.InvalidTokenError("not a public key")
        found = jwt.decode_complete(token, key, [key.algorithm_name], issuer=ISSUER, audience=ISSUER, options=CHECKS)
        claims = found["payload"]
        if found["header"].get("typ") != "at+jwt" or claims.get("type") != "access":
            raise jwt.InvalidTokenError("not an access token")
        if "narrowed" in claims:
            # The token is limited to some scopes, and this API checks none.
            return refusal(403, "Forbidden", "insufficient_scope")
        g.user = claims
        return None
    except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError, ValueError):
        return refusal(503, "Service Unavailable", "unavailable", **{"Retry-After": "5"})
    except (jwt.PyJWKClientError, jwt.InvalidTokenError):
        challenge = 'Bearer error="invalid_token"' if token else 'Bearer realm="latchet"'
        return refusal(401, "Unauthorized", "invalid_token", **{"WWW-Authenticate": challenge})


@app.get("/hello")
def hello():
    return {"hello": g.user["preferred_username"]}


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "3000")))
