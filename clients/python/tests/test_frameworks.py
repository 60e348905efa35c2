"""FastAPI, Flask and Django in front of the running server: one set of claims, checked in each."""
from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fastapi_routes
import pytest
from conftest import Server, Session

from latchet import Latchet, Rule, User

Headers = list[tuple[str, str]]


@dataclass
class Seen:
    """A response of a framework, read in the same way from each."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


Send = Callable[..., Seen]


def joined(headers: Headers) -> dict[str, str]:
    """Returns headers as WSGI servers hand over repeated ones."""
    return {name: ", ".join(value for other, value in headers if other == name) for name, _ in headers}


def asgi_send(app: Any) -> Send:
    """Returns a function that sends requests to an ASGI application, repeated headers as they are."""

    async def call(path: str, headers: Headers, method: str) -> Seen:
        path, _, query = path.partition("?")
        lines = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "root_path": "", "query_string": query.encode(),
            "headers": [(b"host", b"testserver"), *lines], "server": ("testserver", 80), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await app(scope, receive, send)
        fields = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        return Seen(sent[0]["status"], fields, b"".join(part.get("body", b"") for part in sent[1:]).decode())

    return lambda path, headers=(), method="GET": asyncio.run(call(path, headers, method))


def fastapi_send(checker: Latchet) -> Send:
    return asgi_send(fastapi_routes.app(checker))


def flask_send(checker: Latchet) -> Send:
    from flask import Flask, jsonify
    from latchet.flask import current_user, get_jwt, get_jwt_identity, init_app, jwt_required

    app = Flask(__name__)
    init_app(app, checker)

    @app.route("/required", methods=["GET", "POST"])
    @jwt_required()
    def content() -> Any:
        user: User = current_user
        return jsonify(get_jwt_identity(), user.username, sorted(user.roles), user.session_id, get_jwt()["sub"])

    @app.get("/optional")
    @jwt_required(optional=True)
    def name() -> Any:
        assert (get_jwt_identity() is None) == (get_jwt() == {}) == (not current_user)
        return jsonify(current_user.username if current_user else None)

    @app.get("/admin")
    @jwt_required(roles=["admin"])
    def administration() -> Any:
        return jsonify(current_user.username)

    @app.get("/open")
    def free() -> Any:
        with pytest.raises(RuntimeError):
            get_jwt()
        return jsonify("open")

    def send(path: str, headers: Headers = [], method: str = "GET") -> Seen:
        answer = app.test_client().open(path, method=method, headers=joined(headers))
        return Seen(answer.status_code, {name.lower(): value for name, value in answer.headers}, answer.text)

    return send


def django_send(checker: Latchet, is_async: bool) -> Send:
    from django.conf import settings

    if not settings.configured:
        import django

        settings.configure(
            ALLOWED_HOSTS=["testserver"],
            ROOT_URLCONF="django_urls",
            SECRET_KEY="of no use here",
            MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware", "latchet.django.middleware"],
        )
        django.setup()
    from django.test import AsyncClient, Client, override_settings

    def send(path: str, headers: Headers = [], method: str = "GET") -> Seen:
        with override_settings(LATCHET=checker):
            if is_async:
                client = AsyncClient(enforce_csrf_checks=True)
                answer = asyncio.run(client.generic(method, f"/async{path}", headers=joined(headers)))
            else:
                answer = Client(enforce_csrf_checks=True).generic(method, path, headers=joined(headers))
        return Seen(answer.status_code, {name.lower(): value for name, value in answer.items()}, answer.text)

    return send


FRAMEWORKS: dict[str, Callable[[Latchet], Send]] = {
    "fastapi": fastapi_send,
    "flask": flask_send,
    "django": lambda checker: django_send(checker, False),
    "django-async": lambda checker: django_send(checker, True),
}


@pytest.fixture(params=list(FRAMEWORKS.values()), ids=list(FRAMEWORKS))
def start(request: pytest.FixtureRequest) -> Callable[[Latchet], Send]:
    made: Callable[[Latchet], Send] = request.param
    return made


def bearer(session: Session) -> Headers:
    return [("Authorization", f"Bearer {session.access}")]


def assert_problem(seen: Seen, status: int, code: str) -> None:
    assert seen.status == status, seen
    assert seen.headers["content-type"] == "application/problem+json"
    assert seen.headers["cache-control"] == "no-store"
    assert set(seen.json) == {"type", "title", "status", "code", "detail"}
    assert (seen.json["type"], seen.json["status"], seen.json["code"]) == ("about:blank", status, code)
    assert ("www-authenticate" in seen.headers) == (status in (400, 401, 403))
    assert ("retry-after" in seen.headers) == (status == 503)


def test_the_user_of_a_valid_token_is_typed(start: Callable[[Latchet], Send], server: Server, root: Session) -> None:
    send = start(Latchet(server.url))

    for method in ("GET", "POST"):
        seen = send("/required", bearer(root), method)
        assert seen.status == 200, seen
        assert seen.json == [root.user_id, "root", ["admin", "editor"], root.session_id, root.user_id]


def test_refusals_are_problems(start: Callable[[Latchet], Send], server: Server, alice: Session) -> None:
    send = start(Latchet(server.url))

    assert_problem(send("/required"), 401, "missing_token")
    assert_problem(send("/required", method="POST"), 401, "missing_token")
    assert_problem(send("/required", [("Authorization", "Bearer x")]), 401, "malformed_token")
    assert_problem(send("/required", bearer(alice) * 2), 400, "validation_failed")
    assert_problem(send("/required", [("Authorization", "Basic YTpi")]), 401, "missing_token")
    head, claims, signature = alice.access.split(".")
    forged = f"Bearer {head}.{claims}.{'A' * len(signature)}"
    assert_problem(send("/required", [("Authorization", forged)]), 401, "invalid_token")


def test_a_token_outside_the_header_does_not_count(
    start: Callable[[Latchet], Send], server: Server, alice: Session
) -> None:
    send = start(Latchet(server.url))

    for name in ("Cookie", "X-Authorization"):
        headers = [(name, f"access_token={alice.access}; jwt={alice.access}; authorization=Bearer {alice.access}")]
        assert_problem(send(f"/required?access_token={alice.access}&jwt={alice.access}", headers), 401, "missing_token")


def test_an_optional_token_may_be_absent_but_not_bad(
    start: Callable[[Latchet], Send], server: Server, alice: Session
) -> None:
    send = start(Latchet(server.url))

    assert send("/optional").json is None
    assert send("/optional", [("Authorization", "Basic YTpi")]).json is None
    assert send("/optional", bearer(alice)).json == "alice"
    assert_problem(send("/optional", [("Authorization", "Bearer x.y.z")]), 401, "malformed_token")


def test_roles_are_required(
    start: Callable[[Latchet], Send], server: Server, alice: Session, root: Session
) -> None:
    send = start(Latchet(server.url))

    assert send("/admin", bearer(root)).json == "root"
    assert_problem(send("/admin", bearer(alice)), 403, "insufficient_scope")
    assert_problem(send("/admin"), 401, "missing_token")


def test_a_logout_takes_effect_at_the_next_request(
    start: Callable[[Latchet], Send], server: Server, alice: Session
) -> None:
    send = start(Latchet(server.url, cache_seconds=0))
    assert send("/required", bearer(alice)).status == 200

    alice.logout()

    seen = send("/required", bearer(alice))
    assert_problem(seen, 401, "token_revoked")
    assert seen.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    assert_problem(send("/optional", bearer(alice)), 401, "token_revoked")


def test_while_latchet_is_away_nobody_passes_and_nobody_is_logged_out(
    start: Callable[[Latchet], Send], alice: Session
) -> None:
    send = start(Latchet("http://127.0.0.1:1"))

    for path in ("/required", "/optional", "/admin"):
        assert_problem(send(path, bearer(alice)), 503, "unavailable")
    assert_problem(send("/required"), 401, "missing_token")
    assert send("/optional").json is None
    assert send("/open").json == "open"


def test_fastapi_documents_the_scheme(server: Server) -> None:
    document = fastapi_routes.app(Latchet(server.url)).openapi()

    scheme = document["components"]["securitySchemes"]["latchet"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    assert document["paths"]["/required"]["get"]["security"] == [{"latchet": []}]
    assert "security" not in document["paths"]["/open"]["get"]


def test_fastapi_refuses_without_init_app_too(server: Server) -> None:
    seen = asgi_send(fastapi_routes.app_without_handler(Latchet(server.url)))("/required")

    assert (seen.status, seen.json["detail"]["code"]) == (401, "missing_token")
    assert seen.headers["www-authenticate"] == 'Bearer realm="latchet"'


def test_flask_waits_for_views_that_are_async(server: Server, alice: Session) -> None:
    from flask import Flask
    from latchet.flask import get_jwt_identity, init_app, jwt_required

    app = Flask(__name__)
    init_app(app, Latchet(server.url))
    # Without the extra `async` of Flask this is how it runs them.
    app.async_to_sync = lambda view: lambda: asyncio.run(view())  # type: ignore[method-assign, assignment]

    @app.get("/")
    @jwt_required()
    async def identity() -> str:
        return str(get_jwt_identity())

    assert app.test_client().get("/").status_code == 401
    assert app.test_client().get("/", headers=joined(bearer(alice))).text == alice.user_id


def test_mistakes_are_errors_where_they_are_written(server: Server) -> None:
    import latchet.fastapi
    from latchet.flask import jwt_required

    django_send(Latchet(server.url), False)
    from latchet.django import login_required

    for mistake in (
        lambda: latchet.fastapi.CurrentUser(Latchet(server.url), roles="admin"),
        lambda: jwt_required(roles="admin"),
        lambda: login_required(roles="admin"),
        lambda: jwt_required(lambda: ""),  # type: ignore[arg-type, call-arg]
    ):
        with pytest.raises(TypeError):
            mistake()


def test_roles_may_come_from_a_generator(server: Server, alice: Session, root: Session) -> None:
    rule, checker = Rule(name for name in ["admin"]), Latchet(server.url)

    for _ in range(2):
        assert checker.check(root.bearer, rule)
        with pytest.raises(Exception, match="role"):
            checker.check(alice.bearer, rule)
