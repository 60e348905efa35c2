"""Each file of `examples/apis/python`, started as a program in front of the running server."""
from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT, Answer, Child, Server, Session, free_port, request

RECIPES = ROOT / "examples" / "apis" / "python"
ASKING = ["flask_verify.py", "fastapi_app.py", "flask_app.py", "django_app.py"]
WITH_THE_PACKAGE = ["fastapi_app.py", "flask_app.py", "django_app.py"]

Start = Callable[[str, Server], str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Returns a function that starts a recipe and returns its URL."""
    children: list[Child] = []

    def start(recipe: str, server: Server) -> str:
        port = free_port()
        environment = {"PORT": str(port), "LATCHET_URL": server.url, "PYTHONDONTWRITEBYTECODE": "1",
                       "PYTHONPATH": str(ROOT / "clients/python/src")}  # fmt: skip
        children.append(Child([sys.executable, str(RECIPES / recipe)], tmp_path, environment))
        url = f"http://127.0.0.1:{port}"
        children[-1].wait_for(f"{url}/no-such-page")
        return url

    yield start
    for child in children:
        child.kill()


def hello(url: str, token: str | None = None) -> Answer:
    return request("GET", f"{url}/hello", token)


def test_every_recipe_is_started_here() -> None:
    files = {file.name for file in RECIPES.glob("*.py")}

    assert files == {*ASKING, "jwks.py"}


@pytest.mark.parametrize("recipe", ASKING)
def test_a_logout_takes_effect_at_the_next_request(recipe: str, start: Start, own_server: Server) -> None:
    url, alice = start(recipe, own_server), own_server.login("alice")

    refused = hello(url)
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="latchet"'
    assert refused.headers["Content-Type"] == "application/problem+json"
    seen = hello(url, alice.access)
    assert (seen.status, seen.json["hello"]) == (200, "alice")
    alice.logout()
    refused = hello(url, alice.access)
    assert (refused.status, refused.json["code"]) == (401, "token_revoked")
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]

    again = own_server.login("alice")
    assert hello(url, again.access).status == 200
    own_server.stop()
    for token in (again.access, alice.access):
        refused = hello(url, token)
        assert (refused.status, refused.json["code"]) == (503, "unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["Content-Type"] == "application/problem+json"
    own_server.start()
    assert hello(url, again.access).status == 200


def test_by_keys_a_logout_takes_effect_at_the_expiry(start: Start, own_server: Server) -> None:
    url, alice = start("jwks.py", own_server), own_server.login("alice")

    assert hello(url).status == 401
    assert hello(url, "x").status == 401
    assert hello(url, alice.refresh).status == 401
    seen = hello(url, alice.access)
    assert (seen.status, seen.json["hello"]) == (200, "alice")
    alice.logout()
    assert hello(url, alice.access).status == 200, "as its documentation warns"

    own_server.stop()
    assert hello(url, alice.access).status == 200
    without_keys = start("jwks.py", own_server)
    assert hello(without_keys, alice.access).status == 503


@pytest.mark.parametrize("recipe", [*ASKING, "jwks.py"])
def test_a_token_that_is_not_valid_is_refused(recipe: str, start: Start, server: Server, alice: Session) -> None:
    url = start(recipe, server)
    head, claims, signature = alice.access.split(".")

    for token in ("x", "x.y.z", f"{head}.{claims}.{'A' * len(signature)}", alice.refresh, ""):
        assert hello(url, token).status == 401, token


@pytest.mark.parametrize("recipe", [*ASKING, "jwks.py"])
def test_a_token_for_some_scopes_is_refused(recipe: str, start: Start, server: Server) -> None:
    refused = hello(start(recipe, server), server.login("alice", scope="notes:read").access)

    assert (refused.status, refused.json["code"]) == (403, "insufficient_scope")


@pytest.mark.parametrize("recipe", [*ASKING, "jwks.py"])
def test_two_tokens_are_refused(recipe: str, start: Start, server: Server, alice: Session) -> None:
    url, other = start(recipe, server), server.login("alice")
    lines = "".join(f"Authorization: Bearer {session.access}\r\n" for session in (alice, other))

    # By hand: clients join repeated headers.
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=60) as connection:
        connection.sendall(f"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}Connection: close\r\n\r\n".encode())
        status = connection.makefile("rb").readline().split()[1]

    assert status in (b"400", b"401")


@pytest.mark.parametrize("recipe", WITH_THE_PACKAGE)
def test_roles_protect_the_route_of_administrators(
    recipe: str, start: Start, server: Server, alice: Session, root: Session
) -> None:
    url = start(recipe, server)

    assert request("GET", f"{url}/admin", root.access).json["hello"] == "root"
    assert request("GET", f"{url}/admin", alice.access).status == 403
    assert request("GET", f"{url}/admin").status == 401


@pytest.mark.parametrize("recipe", ["flask_app.py", "django_app.py"])
def test_strangers_are_greeted(recipe: str, start: Start, server: Server, alice: Session) -> None:
    url = start(recipe, server)

    assert request("GET", f"{url}/greeting").json == {"hello": "stranger"}
    assert request("GET", f"{url}/greeting", alice.access).json == {"hello": "alice"}
    assert request("GET", f"{url}/greeting", "x.y.z").status == 401


def test_fastapi_shows_the_button_authorize(start: Start, server: Server) -> None:
    url = start("fastapi_app.py", server)

    document = request("GET", f"{url}/openapi.json").json

    assert document["components"]["securitySchemes"]["latchet"]["scheme"] == "bearer"
    assert document["paths"]["/hello"]["get"]["security"] == [{"latchet": []}]
    assert request("GET", f"{url}/docs").status == 200


def test_the_guide_shows_the_files_that_run_here() -> None:
    pages = list((ROOT / "docs" / "how-to").glob("protect-an-api*.md"))
    blocks = [block for page in pages for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]
    files = {file.name: file.read_text() for file in RECIPES.glob("*.py")}

    assert len(blocks) >= 5
    for block in blocks:
        assert any(block.strip() in text for text in files.values()), block


def test_the_pinned_versions_are_those_that_run_here() -> None:
    tested = (ROOT / "tests/tools/requirements-python-client.txt").read_text().split()
    pinned = (RECIPES / "requirements.txt").read_text().split()

    assert pinned and set(pinned) <= set(tested)
