"""A session through a client that openapi-python-client has made: login, profile, refresh, logout."""
import sys

from latchet_client import AuthenticatedClient, Client
from latchet_client.api.account import me
from latchet_client.api.sessions import login, logout, refresh_session
from latchet_client.models import LoginRequest, MeAnswer, Problem, RefreshTokenRequest, TokenAnswer

url, username, password = sys.argv[1:]
public = Client(base_url=url)


def bearer(tokens: TokenAnswer) -> AuthenticatedClient:
    return AuthenticatedClient(base_url=url, token=tokens.access_token)


tokens = login.sync(client=public, body=LoginRequest(username=username, password=password))
assert isinstance(tokens, TokenAnswer), tokens
account = me.sync(client=bearer(tokens))
assert isinstance(account, MeAnswer), account
assert account.user.username == username, account

assert isinstance(tokens.refresh_token, str)
body = RefreshTokenRequest(refresh_token=tokens.refresh_token)
refreshed = refresh_session.sync(client=bearer(tokens), body=body)
assert isinstance(refreshed, TokenAnswer), refreshed
assert refreshed.session_id == tokens.session_id
assert refreshed.refresh_token != tokens.refresh_token
retried = refresh_session.sync(client=bearer(tokens), body=body)
assert isinstance(retried, TokenAnswer), retried
assert retried.refresh_token == refreshed.refresh_token

ended = logout.sync_detailed(client=bearer(refreshed), body=RefreshTokenRequest())
assert ended.status_code == 204, ended
refused = me.sync_detailed(client=bearer(refreshed))
assert refused.status_code == 401, refused
assert isinstance(refused.parsed, Problem), refused
assert refused.parsed.code == "token_revoked", refused
