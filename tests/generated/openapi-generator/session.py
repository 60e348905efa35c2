"""A session through a client that openapi-generator has made: login, profile, refresh, logout."""
import sys

from latchet_client import (
    AccountApi,
    ApiClient,
    Configuration,
    LoginRequest,
    Problem,
    RefreshTokenRequest,
    SessionsApi,
    TokenAnswer,
)
from latchet_client.exceptions import UnauthorizedException

url, username, password = sys.argv[1:]


def client(access_token: str | None = None) -> ApiClient:
    return ApiClient(Configuration(host=url, access_token=access_token))


def account(tokens: TokenAnswer) -> AccountApi:
    return AccountApi(client(tokens.access_token))


sessions = SessionsApi(client())
tokens = sessions.login(LoginRequest(username=username, password=password))
me = account(tokens).me()
assert me.user.username == username, me
assert me.session_id == tokens.session_id, me

assert tokens.refresh_token is not None, tokens
presented = RefreshTokenRequest(refresh_token=tokens.refresh_token)
refreshed = sessions.refresh_session(refresh_token_request=presented)
assert refreshed.session_id == tokens.session_id, refreshed
assert refreshed.refresh_token != tokens.refresh_token, refreshed
retried = sessions.refresh_session(refresh_token_request=presented)
assert retried.refresh_token == refreshed.refresh_token, retried

SessionsApi(client(refreshed.access_token)).logout(RefreshTokenRequest())
try:
    account(refreshed).me()
except UnauthorizedException as refusal:
    assert isinstance(refusal.data, Problem), refusal
    assert refusal.data.code == "token_revoked", refusal
else:
    raise AssertionError("the session has not ended")
