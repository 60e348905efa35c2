"""The wheel in a fresh environment, its types, and its README."""
from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import PLAIN, ROOT, Server, Session
from test_frameworks import asgi_send, joined

PACKAGE = ROOT / "clients" / "python"
# Wheels that `scripts/test` has downloaded, so that no test needs a network.
WHEELS = os.environ.get("WHEELS", str(ROOT / "target/tools/python-client/wheels"))


def run(*command: str, cwd: Path, code: int = 0) -> str:
    done = subprocess.run(command, cwd=cwd, env=PLAIN, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass
class Installation:
    """A fresh environment with the wheel."""

    folder: Path
    wheel: Path
    without_extra: str

    @property
    def python(self) -> str:
        return str(self.folder / "venv/bin/python")

    def run(self, code: str) -> str:
        return run(self.python, "-c", textwrap.dedent(code), cwd=self.folder)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("wheel")
    build = ("wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder))
    run(sys.executable, "-m", "pip", *build, str(PACKAGE), cwd=folder)
    (wheel,) = folder.glob("latchet-*.whl")
    run(sys.executable, "-m", "venv", str(folder / "venv"), cwd=folder)
    python = str(folder / "venv/bin/python")
    install = (python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", WHEELS)
    run(*install, str(wheel), cwd=folder)
    attempt = "import latchet\ntry:\n import latchet.jwks\nexcept ModuleNotFoundError as error: print(error.name)"
    without_extra = run(python, "-c", attempt, cwd=folder).strip()
    run(*install, f"latchet[jwks] @ {wheel.as_uri()}", cwd=folder)
    return Installation(folder, wheel, without_extra)


def test_the_wheel_has_types_and_licences_and_no_tests(installation: Installation) -> None:
    names = zipfile.ZipFile(installation.wheel).namelist()

    modules = {path.name for path in (PACKAGE / "src/latchet").glob("*.py")}
    assert {name.split("/")[1] for name in names if name.startswith("latchet/")} == {*modules, "py.typed"}
    assert sum("LICENSE" in name for name in names) == 2
    assert all(name.startswith(("latchet/", "latchet-")) for name in names)
    for licence in ("LICENSE-APACHE", "LICENSE-MIT"):
        # Copies, because a build refuses links that lead out of the package.
        assert (PACKAGE / licence).read_text() == (ROOT / licence).read_text()


def test_the_wheel_works_in_a_fresh_environment(installation: Installation, server: Server, alice: Session) -> None:
    printed = installation.run(f"""
        import sys
        from latchet import Latchet
        from latchet.jwks import KeyVerifier
        for checker in (Latchet({server.url!r}), KeyVerifier({server.url!r})):
            print(checker.check(["Bearer {alice.access}"]).username)
        print(sorted({{"fastapi", "flask", "django"}} & set(sys.modules)))
    """)

    assert printed.split("\n") == ["alice", "alice", "[]", ""]
    assert installation.without_extra == "jwt", "the extra alone brings PyJWT"


def test_a_framework_that_is_absent_is_named(installation: Installation) -> None:
    for module, framework in (("fastapi", "fastapi"), ("flask", "flask"), ("django", "asgiref")):
        printed = installation.run(f"""
            import latchet
            try:
                import latchet.{module}
            except ModuleNotFoundError as error:
                print(error.name)
        """)
        assert printed.strip() == framework


CONSUMER = """
from latchet import Latchet, Refused, Rule, User
from latchet.jwks import KeyVerifier

checker: Latchet | KeyVerifier = Latchet("https://auth.example.org", cache_seconds=0, timeout=1.5)

def name(authorization: list[str]) -> str:
    try:
        user = checker.check(authorization, Rule(["admin"], optional=True))
    except Refused as refused:
        return f"{refused.status} {refused.code} {refused.headers['Content-Type']}"
    return user.username if user else ""

async def session(authorization: list[str]) -> str | None:
    user = await checker.check_async(authorization)
    assert user is not None
    roles: tuple[str, ...] = user.roles
    scopes: tuple[str, ...] = user.scopes
    expiry: int = user.claims["exp"]
    return f"{user.session_id} {roles} {scopes} {expiry}"

alice = User("id", "alice", roles=("admin",))
"""


def test_a_typed_program_passes_mypy_and_mistakes_do_not(installation: Installation) -> None:
    mypy: tuple[str, ...] = (sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--cache-dir", os.devnull)
    mypy = (*mypy, "--python-executable", installation.python)
    program = installation.folder / "consumer.py"

    program.write_text(CONSUMER)
    run(*mypy, str(program), cwd=installation.folder)

    for mistake in ("checker.check(None)", "alice.username = 'bob'", "alice.roles.append('x')", "Latchet(url=1)",
                    "checker.check([]).username", "1 + alice.id"):  # fmt: skip
        program.write_text(f"{CONSUMER}\n{mistake}\n")
        assert "1 error" in run(*mypy, str(program), cwd=installation.folder, code=1), mistake


def test_the_package_and_its_tests_pass_mypy() -> None:
    run(sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "src", "tests", "bench.py", cwd=PACKAGE)


def test_the_readme_runs(server: Server, alice: Session) -> None:
    program = re.search(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
    assert program and sum(1 for line in program[1].splitlines() if line) <= 10
    names: dict[str, object] = {"__name__": "readme"}
    exec(program[1].replace("http://127.0.0.1:8080", server.url), names)
    send = asgi_send(names["app"])

    assert send("/hello").status == 401
    assert send("/hello", list(joined([("Authorization", alice.bearer[0])]).items())).json == {"hello": "alice"}
