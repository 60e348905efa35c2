"""Verify mode against the running server, and against faults."""
from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import DEADLINE, Server, Session, Stub, python, response, until

from latchet import Latchet, Refused, Rule, User


def refusal(checker: Latchet, authorization: list[str], rule: Rule = Rule()) -> Refused:
    """Returns the refusal, which is the same from a thread and from asyncio."""
    with pytest.raises(Refused) as refused:
        checker.check(authorization, rule)
    with pytest.raises(Refused) as refused_async:
        asyncio.run(checker.check_async(authorization, rule))
    first, second = refused.value, refused_async.value
    assert (first.status, first.problem, first.headers) == (second.status, second.problem, second.headers)
    assert first.headers["Content-Type"] == "application/problem+json"
    assert first.headers["Cache-Control"] == "no-store"
    assert json.loads(first.body) == first.problem
    assert set(first.problem) == {"type", "title", "status", "code", "detail"}
    return first


def test_a_valid_token_names_its_user(server: Server, root: Session) -> None:
    user = Latchet(server.url).check(root.bearer)

    assert isinstance(user, User)
    assert (user.id, user.username, user.session_id) == (root.user_id, "root", root.session_id)
    assert sorted(user.roles) == ["admin", "editor"]
    assert user.claims["sub"] == root.user_id
    assert user.claims["iss"] == server.url


def test_scopes_are_a_list(server: Server) -> None:
    session = server.login("alice", scope="notes:read notes:write")

    user = Latchet(server.url).check(session.bearer)

    assert user is not None and set(user.scopes) == {"notes:read", "notes:write"}


def test_a_change_of_the_claims_reaches_no_other_request(server: Server, root: Session) -> None:
    checker = Latchet(server.url, clock=lambda: (1.0, 1.0))
    first = checker.check(root.bearer)
    assert first is not None
    first.claims["roles"].append("owner")

    again = checker.check(root.bearer)

    assert again is not None and "owner" not in again.claims["roles"]


@pytest.mark.parametrize("lines", [[], [""], ["Basic YTpi"], ["Bearerx y"], ["Digest a=1, b=2"]])
def test_a_request_without_a_token_is_refused(server: Server, lines: list[str]) -> None:
    refused = refusal(Latchet(server.url), lines)

    assert (refused.status, refused.code) == (401, "missing_token")
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="latchet"'
    assert Latchet(server.url).check(lines, Rule(optional=True)) is None


@pytest.mark.parametrize(
    "lines",
    [["Bearer"], ["Bearer "], ["Bearer x"], ["Bearer x.y"], ["Bearer a.b.c d"], ["Bearer ä.b.c"], ["Bearer a.b.c\n"],
     ["Bearer a.b." + "c" * 8192]],
)  # fmt: skip
def test_a_malformed_token_is_refused_without_a_question(lines: list[str]) -> None:
    nowhere = Latchet("http://127.0.0.1:1")
    if lines == ["Bearer a.b.c\n"]:
        lines = ["Bearer a.b\n.c"]

    refused = refusal(nowhere, lines, Rule(optional=True))

    assert (refused.status, refused.code) == (401, "malformed_token")
    assert refused.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')


@pytest.mark.parametrize("lines", [["Bearer a.b.c", "Bearer a.b.c"], ["Bearer a.b.c, bearer a.b.c"]])
def test_a_second_token_is_refused_without_a_question(lines: list[str]) -> None:
    refused = refusal(Latchet("http://127.0.0.1:1"), lines, Rule(optional=True))

    assert (refused.status, refused.code) == (400, "validation_failed")
    assert refused.headers["WWW-Authenticate"].startswith('Bearer error="invalid_request"')


def test_two_tokens_are_refused_even_if_both_are_valid(server: Server, alice: Session) -> None:
    for lines in (alice.bearer * 2, [", ".join(alice.bearer * 2)]):
        assert refusal(Latchet(server.url), lines).status == 400


def test_a_token_beside_other_credentials_is_accepted(server: Server, alice: Session) -> None:
    for lines in (["Basic YTpi", f"bearer {alice.access}"], [f"Basic YTpi, BEARER  {alice.access}"]):
        user = Latchet(server.url).check(lines)
        assert user is not None and user.username == "alice"


def test_the_challenge_of_the_server_is_forwarded(server: Server, alice: Session) -> None:
    head, claims, signature = alice.access.split(".")
    forged = f"{head}.{claims}.{'A' * len(signature)}"

    refused = refusal(Latchet(server.url), [f"Bearer {forged}"], Rule(optional=True))

    assert (refused.status, refused.code) == (401, "invalid_token")
    assert refused.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token", error_description="')


def test_a_refresh_token_is_refused(server: Server, alice: Session) -> None:
    refused = refusal(Latchet(server.url), [f"Bearer {alice.refresh}"])

    assert refused.status == 401


def test_a_narrowed_token_is_refused(server: Server) -> None:
    session = server.login("alice", scope="notes:read")

    refused = refusal(Latchet(server.url), session.bearer)

    assert (refused.status, refused.code) == (403, "insufficient_scope")
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]


def test_a_narrowed_token_passes_where_its_scope_is_named(server: Server) -> None:
    session, other = server.login("alice", scope="notes:read"), server.login("alice", scope="notes:write")
    checker = Latchet(server.url, scope="notes:read")

    user = checker.check(session.bearer)

    assert user is not None and user.scopes == ("notes:read",)
    assert refusal(checker, other.bearer).status == 403


def test_every_listed_role_is_required(server: Server, alice: Session, root: Session) -> None:
    checker = Latchet(server.url)
    both = Rule(["admin", "editor"])

    user = checker.check(root.bearer, both)
    assert user is not None and user.username == "root"
    for session, rule in ((alice, both), (root, Rule(["admin", "owner"])), (alice, Rule(["admin"], optional=True))):
        refused = refusal(checker, session.bearer, rule)
        assert (refused.status, refused.code) == (403, "insufficient_scope")
    with pytest.raises(TypeError):
        Rule("admin")


def test_without_a_cache_a_logout_takes_effect_at_the_next_request(server: Server, alice: Session) -> None:
    checker = Latchet(server.url, cache_seconds=0)
    assert checker.check(alice.bearer)
    assert asyncio.run(checker.check_async(alice.bearer))

    alice.logout()

    assert refusal(checker, alice.bearer).code == "token_revoked"


def test_while_latchet_is_stopped_the_response_is_503(own_server: Server) -> None:
    session = own_server.login("alice")
    checker = Latchet(own_server.url, cache_seconds=0)
    assert checker.check(session.bearer)

    own_server.stop()
    refused = refusal(checker, session.bearer, Rule(optional=True))

    assert (refused.status, refused.code) == (503, "unavailable")
    assert refused.headers["Retry-After"] == "1"
    assert "WWW-Authenticate" not in refused.headers
    own_server.start()
    assert checker.check(session.bearer), "the next request is checked again"


GARBAGE = {
    "no HTTP": b"hello\r\n",
    "closed at once": b"",
    "no content": b"HTTP/1.1 204 No Content\r\nRemote-User: alice\r\n\r\n",
    "a page": response("200 OK", "<html>Welcome</html>", "Content-Type: text/html"),
    "an empty object": response("200 OK", "{}"),
    "no object": response("200 OK", "[]"),
    "nested too deep": response("200 OK", "[" * 100_000),
    "an empty user": response("200 OK", '{"sub": "", "roles": []}'),
    "a number as user": response("200 OK", '{"sub": 1, "roles": []}'),
    "roles as text": response("200 OK", '{"sub": "a", "roles": "admin"}'),
    "a role that is no text": response("200 OK", '{"sub": "a", "roles": [1]}'),
    "an expiry that is no number": response("200 OK", '{"sub": "a", "roles": [], "exp": {}}'),
    "a body that is too long": response("200 OK", '{"sub": "a", "x": "' + "x" * 300_000 + '"}'),
    "a body that is cut off": b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"sub": "a"}',
    "a body of unknown length that is cut off": b'HTTP/1.1 200 OK\r\n\r\n{"sub": "a", "roles": ["admin"',
    "a refusal of a proxy": response("401 Unauthorized", "<html>", 'WWW-Authenticate: Basic realm="proxy"'),
    "a refusal without a challenge": response("401 Unauthorized", '{"code": "a", "detail": "b"}'),
    "another success": response("201 Created", '{"sub": "a"}'),
    "a redirect": response("302 Found", "", "Location: http://127.0.0.1:1/"),
    "an error": response("500 Internal Server Error", "{}"),
    "a missing page": response("404 Not Found", "{}"),
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
def test_an_answer_that_is_not_latchets_is_503(stub: Callable[..., Stub], answer: bytes) -> None:
    refused = refusal(Latchet(stub(answer).url), ["Bearer a.b.c"], Rule(optional=True))

    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("status", ["503 Service Unavailable", "429 Too Many Requests"])
@pytest.mark.parametrize(("sent", "forwarded"), [("7", "7"), ("soon", "1"), ("-1", "1")])
def test_the_waiting_time_of_latchet_is_forwarded(
    stub: Callable[..., Stub], status: str, sent: str, forwarded: str
) -> None:
    refused = refusal(Latchet(stub(response(status, "", f"Retry-After: {sent}")).url), ["Bearer a.b.c"])

    assert (refused.status, refused.headers["Retry-After"]) == (503, forwarded)


def test_a_server_that_hangs_is_503(stub: Callable[..., Stub]) -> None:
    hanging = stub(None)

    refused = refusal(Latchet(hanging.url, timeout=0.2), ["Bearer a.b.c"])

    assert refused.status == 503
    assert hanging.connections >= 1


def test_a_body_that_drips_is_503_and_is_given_up(stub: Callable[..., Stub]) -> None:
    dripping = stub(response("200 OK", '{"sub": "a"}' + " " * 10_000), pause=0.05, at_once=100)

    refused = refusal(Latchet(dripping.url, timeout=0.2), ["Bearer a.b.c"])

    assert refused.status == 503
    until("the connections to be given up", lambda: dripping.ended == dripping.connections)


def test_a_head_that_drips_is_503(stub: Callable[..., Stub]) -> None:
    dripping = stub(response("200 OK", "{}", "X-Filler: " + "x" * 10_000), pause=0.05)

    refused = refusal(Latchet(dripping.url, timeout=0.2), ["Bearer a.b.c"])

    assert refused.status == 503
    assert dripping.ended == 0, "the request has not waited for its end"


def test_a_redirect_is_not_followed(stub: Callable[..., Stub], server: Server, alice: Session) -> None:
    moved = stub(response("307 Temporary Redirect", "", f"Location: {server.url}/v1/verify"))

    assert refusal(Latchet(moved.url), alice.bearer).status == 503


def test_more_questions_than_the_limit_are_503_at_once(
    stub: Callable[..., Stub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latchet._checker._MAX_QUESTIONS", 1)
    hanging = stub(None)
    checker = Latchet(hanging.url, timeout=5)

    async def ask_twice() -> Refused:
        first = asyncio.ensure_future(checker.check_async(["Bearer a.b.c"]))
        await asyncio.to_thread(until, "the first question", lambda: hanging.connections)
        with pytest.raises(Refused) as refused:
            await checker.check_async(["Bearer d.e.f"])
        assert not first.done()
        hanging.close()
        with pytest.raises(Refused):
            await first
        return refused.value

    assert asyncio.run(ask_twice()).status == 503


def test_a_closed_connection_is_replaced(own_server: Server) -> None:
    session = own_server.login("alice")
    checker = Latchet(own_server.url, cache_seconds=0)
    assert checker.check(session.bearer)

    own_server.stop()
    own_server.start()

    assert checker.check(session.bearer)


def test_a_connection_that_ends_at_its_next_use_is_replaced() -> None:
    valid = response("200 OK", '{"sub": "a"}')
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(DEADLINE)
    checker = Latchet(f"http://127.0.0.1:{listener.getsockname()[1]}", cache_seconds=0, timeout=30)

    def serve() -> None:
        first, _ = listener.accept()
        with first:
            first.recv(65536)
            first.sendall(valid)
            # The second question gets no answer.
            first.recv(65536)
        second, _ = listener.accept()
        with second:
            second.recv(65536)
            second.sendall(valid)

    with listener, ThreadPoolExecutor(1) as threads:
        served = threads.submit(serve)
        for _ in range(2):
            assert checker.check(["Bearer a.b.c"])
        served.result()


@pytest.mark.parametrize(
    "url", ["auth.example.org", "ftp://auth.example.org", "https://", "https://u:p@auth.example.org",
            "https://auth.example.org?x", "https://auth.example.org#x", "http://auth.example.org",
            "http://127.0.0.1.example.org", "http://localhost.example.org"]
)  # fmt: skip
def test_an_address_that_is_not_safe_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Latchet(url)


def test_plain_http_needs_loopback_or_an_option() -> None:
    for address in ("http://localhost:8080", "http://127.0.0.1", "http://127.1.2.3:1", "http://[::1]:80/auth/"):
        Latchet(address)
    Latchet("https://auth.example.org")
    Latchet("http://latchet.internal", allow_plain_http=True)


def test_proxies_of_the_environment_receive_no_token(server: Server, alice: Session) -> None:
    authorization = f"Bearer {alice.access}"
    code = f"import latchet; print(latchet.Latchet({server.url!r}).check([{authorization!r}]).username)"

    done = python(code, **dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:1"))

    assert done.stdout == "alice\n", done.stderr


def test_a_forked_process_uses_connections_and_threads_of_its_own(server: Server, alice: Session) -> None:
    code = f"""
import os, latchet
checker = latchet.Latchet({server.url!r}, cache_seconds=0)
assert checker.check(["Bearer {alice.access}"]).username == "alice"
child = os.fork()
name = checker.check(["Bearer {alice.access}"]).username
if child == 0:
    os._exit(0 if name == "alice" else 1)
assert os.waitpid(child, 0)[1] == 0
print(name)
"""

    done = python(code)

    assert done.stdout == "alice\n", done.stderr
