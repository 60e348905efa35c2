"""Compares a bare handler with the same handler behind each mode, in turns.

Usage: python bench.py PROGRAM [TURNS]

PROGRAM is Latchet, built with `--release`. Calls of the ASGI and WSGI applications are measured, without a
server in front of them, so that the figures are the costs of the checks.
"""
from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent / "src"), str(Path(__file__).parent / "tests")]

import conftest
from latchet import Checker, Latchet
from latchet.jwks import KeyVerifier

Run = Callable[[int], None]


def fastapi_run(checker: Checker | None, token: str) -> Run:
    """Returns a function that sends a number of requests to a FastAPI application."""
    import latchet.fastapi
    from fastapi import Depends, FastAPI

    app = FastAPI()
    protection = [Depends(latchet.fastapi.CurrentUser(checker))] if checker else []

    @app.get("/", dependencies=protection)
    async def hello() -> dict[str, str]:
        return {"hello": "world"}

    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/", "raw_path": b"/", "root_path": "", "query_string": b"", "server": ("localhost", 80),
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        assert message.get("status", 200) == 200, message

    async def call(count: int) -> None:
        for _ in range(count):
            await app(dict(scope), receive, send)

    loop = asyncio.new_event_loop()
    return lambda count: loop.run_until_complete(call(count))


def flask_run(checker: Checker | None, token: str) -> Run:
    """Returns a function that sends a number of requests to a Flask application."""
    from flask import Flask
    from latchet.flask import init_app, jwt_required
    from werkzeug.test import EnvironBuilder

    app = Flask("bench")
    view: Any = lambda: {"hello": "world"}
    if checker:
        init_app(app, checker)
        view = jwt_required()(view)
    app.add_url_rule("/", "hello", view)
    environment = EnvironBuilder(headers=[("Authorization", f"Bearer {token}")]).get_environ()

    def start_response(status: str, *_: Any) -> Any:
        assert status.startswith("200"), status

    def call(count: int) -> None:
        for _ in range(count):
            b"".join(app.wsgi_app(dict(environment), start_response))

    return call


def microseconds(run: Run, seconds: float = 0.25) -> float:
    """Returns the duration of one request, measured for at least this time."""
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        run(20)
        count += 20
    return passed / count * 1e6


def main(turns: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = conftest.Server(Path(folder))
        server.add_user("alice")
        server.start()
        try:
            token = server.login("alice").access
            checkers: dict[str, Checker | None] = {
                "bare": None,
                "verify, cache": Latchet(server.url),
                "verify, no cache": Latchet(server.url, cache_seconds=0),
                "JWKS": KeyVerifier(server.url),
            }
            print("| framework | handler | µs per request | times the bare handler |\n|---|---|---|---|")
            for framework, build in (("FastAPI", fastapi_run), ("Flask", flask_run)):
                runs = {name: build(checker, token) for name, checker in checkers.items()}
                taken: dict[str, list[float]] = {name: [] for name in runs}
                for run in runs.values():
                    run(20)
                for _ in range(turns):
                    for name, run in runs.items():
                        taken[name].append(microseconds(run))
                for name in runs:
                    ratio = statistics.median(one / bare for one, bare in zip(taken[name], taken["bare"]))
                    print(f"| {framework} | {name} | {statistics.median(taken[name]):.0f} | {ratio:.2f} |")
        finally:
            server.stop()


if __name__ == "__main__":
    conftest.PROGRAM = str(Path(sys.argv[1]).resolve())
    main(int(sys.argv[2]) if len(sys.argv) > 2 else 15)
