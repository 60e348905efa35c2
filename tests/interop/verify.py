"""Checks an access token of a running Latchet with PyJWT and joserfc, by the keys it serves.

Prints a line for each check that holds, and ends at the first that does not.
"""

import json
import sys
import urllib.request

import jwt
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from joserfc.errors import BadSignatureError
from joserfc.jwt import JWTClaimsRegistry

base, algorithm, token, user = sys.argv[1:]
jwks_url = f"{base}/.well-known/jwks.json"


def check(name, holds):
    if not holds:
        sys.exit(f"does not hold: {name}")
    print(name)


def mutated(token):
    """Another user in the same token."""
    header, payload, signature = token.split(".")
    claims = json.loads(jwt.utils.base64url_decode(payload))
    claims["sub"] = "mallory"
    payload = jwt.utils.base64url_encode(json.dumps(claims).encode()).decode()
    return f"{header}.{payload}.{signature}"


key = jwt.PyJWKClient(jwks_url).get_signing_key_from_jwt(token)
required = ["iss", "aud", "sub", "exp", "iat", "jti", "client_id"]
claims = jwt.decode(
    token, key.key, algorithms=[algorithm], issuer=base, audience=base, options={"require": required}
)
check("PyJWT finds the key by its kid", key.key_id == jwt.get_unverified_header(token)["kid"])
check("PyJWT accepts the token", claims["sub"] == user)
try:
    jwt.decode(mutated(token), key.key, algorithms=[algorithm], issuer=base, audience=base)
except jwt.InvalidSignatureError:
    check("PyJWT refuses a changed one", True)

with urllib.request.urlopen(jwks_url, timeout=10) as answer:
    keys = joserfc_jwk.KeySet.import_key_set(json.load(answer))
seen = joserfc_jwt.decode(token, keys, algorithms=[algorithm])
registry = JWTClaimsRegistry(
    iss={"essential": True, "value": base},
    aud={"essential": True, "value": base},
    exp={"essential": True},
)
registry.validate(seen.claims)
check("joserfc accepts the token", seen.claims["sub"] == user)
check("joserfc reads its type", seen.header["typ"] == "at+jwt")
try:
    joserfc_jwt.decode(mutated(token), keys, algorithms=[algorithm])
except BadSignatureError:
    check("joserfc refuses a changed one", True)
