"""JWKS mode against the running server, and against an issuer of forged tokens."""
from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from conftest import Clock, Gate, Server, Session, until
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from latchet import Refused, User
from latchet.jwks import KeyVerifier


def segment(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """An issuer whose keys a test has."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.keys: list[dict[str, Any]] = [self.jwk(OKPAlgorithm, self.key, "EdDSA", "one")]
        self.fetches = 0
        self.is_up = True
        self.named = self.jwks_uri = ""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                body = issuer.documents().get(self.path)
                self.send_response(200 if body and issuer.is_up else 503)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def documents(self) -> dict[str, Any]:
        metadata = {"issuer": self.named or self.url, "jwks_uri": self.jwks_uri or f"{self.url}/keys"}
        return {"/.well-known/oauth-authorization-server": metadata, "/keys": {"keys": self.keys}}

    @staticmethod
    def jwk(algorithm: Any, key: Any, name: str, kid: str) -> dict[str, Any]:
        return {**json.loads(algorithm.to_jwk(key.public_key())), "alg": name, "kid": kid, "use": "sig"}

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.url, "sub": "u1", "jti": "t1", "iat": now, "exp": now + 900,
                  "type": "access", "preferred_username": "alice", "roles": ["admin"]}  # fmt: skip
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, **changes: Any) -> str:
        headers = {"typ": "at+jwt", "kid": "one", **(header or {})}
        return jwt.encode(self.claims(**changes), self.key, "EdDSA", headers)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()


def code(checker: KeyVerifier, token: str) -> str:
    with pytest.raises(Refused) as refused:
        checker.check([f"Bearer {token}"])
    challenge = refused.value.headers.get("WWW-Authenticate", "")
    assert challenge.startswith("Bearer error=") == (refused.value.status != 503)
    return f"{refused.value.status} {refused.value.code}"


def test_a_token_of_the_server_is_accepted_without_another_request(gate: Gate, server: Server, root: Session) -> None:
    checker = KeyVerifier(server.url)

    user = checker.check(root.bearer)

    assert isinstance(user, User)
    assert (user.id, user.username, user.session_id) == (root.user_id, "root", root.session_id)
    assert sorted(user.roles) == ["admin", "editor"]


def test_a_logout_is_not_noticed(server: Server, alice: Session) -> None:
    checker = KeyVerifier(server.url)

    alice.logout()

    assert checker.check(alice.bearer), "as the documentation warns"


def test_a_stopped_server_is_not_noticed_once_the_keys_are_there(own_server: Server) -> None:
    session = own_server.login("alice")
    checker, late = KeyVerifier(own_server.url), KeyVerifier(own_server.url)
    assert checker.check(session.bearer)

    own_server.stop()

    assert checker.check(session.bearer)
    assert code(late, session.access) == "503 unavailable"


def test_a_refresh_token_of_the_server_is_refused(server: Server, alice: Session) -> None:
    assert code(KeyVerifier(server.url), alice.refresh) == "401 invalid_token"


def test_a_narrowed_token_is_refused(server: Server) -> None:
    session = server.login("alice", scope="notes:read")

    assert code(KeyVerifier(server.url), session.access) == "403 insufficient_scope"


def test_a_narrowed_token_passes_where_its_scope_is_named(server: Server) -> None:
    session, other = server.login("alice", scope="notes:read"), server.login("alice", scope="notes:write")
    checker = KeyVerifier(server.url, scope="notes:read")

    user = checker.check(session.bearer)

    assert user is not None and user.scopes == ("notes:read",)
    assert code(checker, other.access) == "403 insufficient_scope"


def test_a_token_of_another_issuer_or_audience_is_refused(server: Server, gate: Gate, alice: Session) -> None:
    assert code(KeyVerifier(server.url, audience="https://other.example"), alice.access) == "401 invalid_token"
    assert code(KeyVerifier(gate.url), alice.access) == "503 unavailable", "the metadata name another issuer"


def test_a_public_key_is_no_secret(server: Server, alice: Session) -> None:
    checker = KeyVerifier(server.url)
    assert checker.check(alice.bearer)
    key = checker._keys[jwt.get_unverified_header(alice.access)["kid"]].key
    payload = alice.access.split(".")[1]
    encodings = [
        key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw),
        key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    ]

    for secret in encodings:
        header = {**jwt.get_unverified_header(alice.access), "alg": "HS256"}
        signed = f"{segment(header)}.{payload}"
        signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        assert code(checker, f"{signed}.{segment(signature)}") == "401 invalid_token"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "", "HS256", "PS256", ["EdDSA"], None])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_another_algorithm_in_the_header_is_refused(server: Server, alice: Session, name: Any, signature: str) -> None:
    checker = KeyVerifier(server.url)
    assert checker.check(alice.bearer)
    header = {**jwt.get_unverified_header(alice.access), "alg": name}

    refused = code(checker, f"{segment(header)}.{alice.access.split('.')[1]}.{signature}")

    assert refused == ("401 invalid_token" if signature else "401 malformed_token")


ATTACKS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "wrong issuer": ({}, {"iss": "https://other.example"}, "invalid_token"),
    "issuer with a slash": ({}, {"iss": "ISSUER/"}, "invalid_token"),
    "no issuer": ({}, {"iss": None}, "invalid_token"),
    "wrong audience": ({}, {"aud": "https://other.example"}, "invalid_token"),
    "no audience": ({}, {"aud": None}, "invalid_token"),
    "empty audience": ({}, {"aud": []}, "invalid_token"),
    "expired": ({}, {"exp": 1}, "token_expired"),
    "no expiry": ({}, {"exp": None}, "invalid_token"),
    "an expiry that is no number": ({}, {"exp": "soon"}, "invalid_token"),
    "not valid yet": ({}, {"nbf": 4_000_000_000}, "invalid_token"),
    "a refresh token": ({}, {"type": "refresh"}, "wrong_token_type"),
    "no type": ({}, {"type": None}, "wrong_token_type"),
    "a list as type": ({}, {"type": ["access"]}, "wrong_token_type"),
    "another typ": ({"typ": "JWT"}, {}, "wrong_token_type"),
    "typ of a refresh token": ({"typ": "rt+jwt"}, {}, "wrong_token_type"),
    "no user": ({}, {"sub": None}, "invalid_token"),
    "an empty user": ({}, {"sub": ""}, "invalid_token"),
    "no id": ({}, {"jti": None}, "invalid_token"),
    "no time of issue": ({}, {"iat": None}, "invalid_token"),
    "roles as text": ({}, {"roles": "admin"}, "invalid_token"),
    "roles as numbers": ({}, {"roles": [1]}, "invalid_token"),
    "a critical extension": ({"crit": ["x"], "x": 1}, {}, "malformed_token"),
    "an unknown key": ({"kid": "two"}, {}, "invalid_token"),
    "a key id that is no text": ({"kid": 1}, {}, "malformed_token"),
    "narrowed": ({}, {"narrowed": True}, "insufficient_scope"),
}


@pytest.mark.parametrize(("header", "changes", "expected"), ATTACKS.values(), ids=ATTACKS)
def test_a_token_that_is_not_valid_is_refused(
    issuer: Issuer, header: dict[str, Any], changes: dict[str, Any], expected: str
) -> None:
    checker = KeyVerifier(issuer.url)
    assert checker.check([f"Bearer {issuer.token()}"])
    if changes.get("iss"):
        changes = {"iss": changes["iss"].replace("ISSUER", issuer.url)}
    header = {"kid": "one", "typ": "at+jwt", "alg": "EdDSA", **header}
    # PyJWT refuses to write some of these.
    signed = f"{segment(header)}.{segment(issuer.claims(**changes))}"

    refused = code(checker, f"{signed}.{segment(issuer.key.sign(signed.encode()))}")

    assert refused.split()[1] == expected


def test_claims_that_may_differ_are_accepted(issuer: Issuer) -> None:
    checker = KeyVerifier(issuer.url)

    for header, changes in (
        ({"typ": "application/AT+JWT"}, {}),
        ({}, {"aud": ["https://other.example", issuer.url]}),
        ({}, {"iat": int(time.time()) + 60}),
        ({}, {"roles": None, "sid": None, "preferred_username": None, "scope": None}),
    ):
        assert checker.check([f"Bearer {issuer.token(header, **changes)}"])


@pytest.mark.parametrize("part", range(3))
def test_a_changed_token_is_refused(issuer: Issuer, part: int) -> None:
    checker = KeyVerifier(issuer.url)
    parts = issuer.token().split(".")
    parts[part] = {0: segment({"alg": "EdDSA", "typ": "at+jwt", "kid": "one", "x": 1}),
                   1: segment(issuer.claims(sub="mallory")), 2: segment(b"\0" * 64)}[part]  # fmt: skip

    assert code(checker, ".".join(parts)) == "401 invalid_token"


@pytest.mark.parametrize("header", [b"[" * 5000, b"{}", b"[]", b"\xff", b'{"alg":' + b"9" * 5000 + b"}"])
def test_a_header_that_cannot_be_read_is_refused(issuer: Issuer, header: bytes) -> None:
    assert code(KeyVerifier(issuer.url), f"{segment(header)}.e30.AAAA").startswith("401 ")


def test_algorithms_are_those_of_the_keys(issuer: Issuer) -> None:
    elliptic, other_rsa = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    issuer.keys += [
        issuer.jwk(ECAlgorithm, elliptic, "ES256", "ec"),
        issuer.jwk(RSAAlgorithm, other_rsa, "RS256", "rsa"),
        issuer.jwk(RSAAlgorithm, other_rsa, "PS256", "not offered"),
        {**issuer.jwk(RSAAlgorithm, other_rsa, "RS256", "for encryption"), "use": "enc"},
        {"kty": "oct", "alg": "HS256", "kid": "secret", "use": "sig", "k": segment(b"k" * 32)},
        {"kty": "oct", "alg": "EdDSA", "kid": "disguised secret", "use": "sig", "k": segment(b"k" * 32)},
    ]
    checker = KeyVerifier(issuer.url)

    def token(key: Any, algorithm: str, kid: str) -> str:
        return jwt.encode(issuer.claims(), key, algorithm, {"typ": "at+jwt", "kid": kid})

    assert checker.check([f"Bearer {token(elliptic, 'ES256', 'ec')}"])
    assert checker.check([f"Bearer {token(other_rsa, 'RS256', 'rsa')}"])
    for refused in (
        token(other_rsa, "PS256", "rsa"),
        token(other_rsa, "RS384", "rsa"),
        token(other_rsa, "PS256", "not offered"),
        token(other_rsa, "RS256", "not offered"),
        token(other_rsa, "RS256", "for encryption"),
        token(b"k" * 32, "HS256", "secret"),
        token(issuer.key, "EdDSA", "disguised secret"),
        token(issuer.key, "EdDSA", "ec"),
    ):
        assert code(checker, refused) == "401 invalid_token"


def test_a_token_of_another_algorithm_causes_no_request(issuer: Issuer) -> None:
    for name in ("none", "HS256"):
        header = {"alg": name, "typ": "at+jwt", "kid": "one"}
        token = f"{segment(header)}.{segment(issuer.claims())}.AAAA"
        assert code(KeyVerifier(issuer.url), token) == "401 invalid_token"

    assert issuer.fetches == 0


def test_a_new_key_is_fetched_and_unknown_ones_cause_few_requests(issuer: Issuer) -> None:
    clock = Clock()
    checker = KeyVerifier(issuer.url, clock=clock)
    assert checker.check([f"Bearer {issuer.token()}"])
    assert issuer.fetches == 2, "metadata and keys"
    second = Ed25519PrivateKey.generate()
    token = jwt.encode(issuer.claims(), second, "EdDSA", {"typ": "at+jwt", "kid": "two"})

    for _ in range(5):
        assert code(checker, token) == "401 invalid_token"
    assert issuer.fetches == 2
    issuer.keys.append(issuer.jwk(OKPAlgorithm, second, "EdDSA", "two"))
    clock.advance(5.1)
    assert checker.check([f"Bearer {token}"])
    assert issuer.fetches == 4


def test_a_withdrawn_key_is_accepted_for_a_quarter_of_an_hour_at_most(issuer: Issuer) -> None:
    clock = Clock()
    checker = KeyVerifier(issuer.url, clock=clock)
    assert checker.check([f"Bearer {issuer.token()}"])
    issuer.keys = [issuer.jwk(OKPAlgorithm, Ed25519PrivateKey.generate(), "EdDSA", "two")]

    clock.advance(299)
    assert checker.check([f"Bearer {issuer.token()}"])
    assert issuer.fetches == 2
    clock.advance(602)
    assert code(checker, issuer.token()) == "401 invalid_token"


def test_keys_are_renewed_in_the_background(issuer: Issuer) -> None:
    clock = Clock()
    checker = KeyVerifier(issuer.url, clock=clock)
    assert checker.check([f"Bearer {issuer.token()}"])
    issuer.keys = [issuer.jwk(OKPAlgorithm, Ed25519PrivateKey.generate(), "EdDSA", "two")]

    clock.advance(301)
    assert checker.check([f"Bearer {issuer.token()}"]), "it does not wait"

    until("the new keys", lambda: issuer.fetches == 4 and "one" not in checker._keys)
    assert code(checker, issuer.token()) == "401 invalid_token"


def test_during_an_outage_the_last_keys_remain_in_use_for_a_day(issuer: Issuer) -> None:
    clock = Clock()
    checker = KeyVerifier(issuer.url, clock=clock)
    token = issuer.token(exp=int(time.time()) + 200_000)
    assert checker.check([f"Bearer {token}"])
    issuer.is_up = False

    for _ in range(3):
        clock.advance(20_000)
        assert checker.check([f"Bearer {token}"])
    assert code(checker, issuer.token({"kid": "two"})) == "503 unavailable", "it may be a new key"
    clock.advance(40_000)
    assert code(checker, token) == "503 unavailable"
    issuer.is_up = True
    clock.advance(6)
    assert checker.check([f"Bearer {token}"])


@pytest.mark.parametrize(
    ("named", "jwks_uri", "keys"),
    [("https://other.example", "", None), ("", "http://keys.example/keys", None), ("", "file:///etc/passwd", None),
     ("", "http://user@HOST/keys", None),
     ("", "", [{"kty": "oct", "alg": "HS256", "kid": "one", "k": "c2VjcmV0"}]),
     ("", "", []), ("", "", [{"kty": "OKP", "alg": "EdDSA", "kid": "one", "crv": "Ed25519", "x": "!"}])],
)  # fmt: skip
def test_an_issuer_that_is_not_right_is_503(issuer: Issuer, named: str, jwks_uri: str, keys: Any) -> None:
    issuer.named, issuer.jwks_uri = named, jwks_uri.replace("HOST", issuer.url.removeprefix("http://"))
    if keys is not None:
        issuer.keys = keys

    assert code(KeyVerifier(issuer.url), issuer.token()) == "503 unavailable"


def test_simultaneous_checks_fetch_the_keys_once(issuer: Issuer) -> None:
    checker = KeyVerifier(issuer.url, timeout=30)
    tokens = [issuer.token(jti=str(number)) for number in range(20)]
    threads = [threading.Thread(target=checker.check, args=([f"Bearer {token}"],)) for token in tokens]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert issuer.fetches == 2
