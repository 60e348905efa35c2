"""A program that gets, uses and revokes tokens for itself at a running Latchet, by Authlib."""
import os

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

# The server of the tests has no certificate.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
base, name, secret = os.environ["URL"], os.environ["NAME"], os.environ["SECRET"]


def session(method, key=secret):
    return OAuth2Session(name, key, scope="orders:read", token_endpoint_auth_method=method)


def verify(token):
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{base}/v1/verify?scope=orders:read", headers=headers, timeout=30).status_code


metadata = requests.get(f"{base}/.well-known/oauth-authorization-server", timeout=30).json()
for method in ("client_secret_basic", "client_secret_post"):
    client = session(method)
    tokens = client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    assert tokens["scope"] == "orders:read", tokens
    assert client.get(f"{base}/v1/verify?scope=orders:read").status_code == 204
    assert verify(tokens["access_token"]) == 204
    asked = session("client_secret_basic").introspect_token(metadata["introspection_endpoint"], token=tokens["access_token"])
    assert asked.json()["active"] is True, asked.text
    revoked = client.revoke_token(metadata["revocation_endpoint"], token=tokens["access_token"])
    assert revoked.status_code == 200, revoked.text
    assert verify(tokens["access_token"]) == 401
    print(f"Authlib gets, uses, introspects and revokes a token by {method}")

try:
    session("client_secret_basic", "wrong").fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    raise SystemExit("a wrong secret was accepted")
except OAuthError as error:
    assert error.error == "invalid_client", error
print("Authlib understands a refused client")
