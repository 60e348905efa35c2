"""A running Latchet, its users, and servers that behave as it never does."""
from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = os.environ.get("SERVER_PROGRAM", str(ROOT / "target/debug/latchet"))
PASSWORD = "a long password of this user"
DEADLINE = 60.0
# Programs get no settings of this environment.
PLAIN = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
# No proxy and no retry comes between a test and its server.
HTTP = urllib3.PoolManager(retries=False, timeout=DEADLINE)


def until(description: str, condition: Callable[[], Any]) -> Any:
    """Polls until a condition holds, and returns its value."""
    end = time.monotonic() + DEADLINE
    while not (value := condition()):
        assert time.monotonic() < end, f"waited in vain for {description}"
        time.sleep(0.01)
    return value


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Answer:
    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def request(method: str, url: str, token: str | None = None, body: Any = None) -> Answer:
    """Sends a request, with a token in `Authorization`."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = json.dumps(body) if body is not None else None
    answer = HTTP.request(method, url, headers=headers, body=data)
    return Answer(answer.status, answer.headers, answer.data.decode())


def unreachable_or(call: Callable[[], Answer]) -> Answer | None:
    try:
        return call()
    except urllib3.exceptions.HTTPError:
        return None


class Child:
    """A program that is killed at the end."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / f"log-{free_port()}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=PLAIN | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_for(self, url: str) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, f"it ended at once: {self.log.read_text()}"
            answer = unreachable_or(lambda: request("GET", url))
            return answer is not None and answer.status < 500

        until(f"{url}: {self.log.read_text()}", is_ready)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)


@dataclass
class Session:
    """A login of a user."""

    url: str
    access: str
    refresh: str
    user_id: str
    session_id: str
    username: str

    @property
    def bearer(self) -> list[str]:
        return [f"Bearer {self.access}"]

    def logout(self) -> None:
        assert request("POST", f"{self.url}/v1/logout", self.access).status == 204


@dataclass
class Server:
    """Latchet itself, on a database of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        settings = {"LATCHET_LISTEN": f"127.0.0.1:{self.port}", "LATCHET_SCOPES": "notes:read,notes:write"}
        self.child = Child([PROGRAM, "--data-dir", str(self.folder)], self.folder, settings)
        self.child.wait_for(f"{self.url}/readyz")

    def stop(self) -> None:
        if self.child:
            self.child.kill()

    def command(self, *arguments: str, stdin: str = "") -> None:
        command = [PROGRAM, *arguments, "--data-dir", str(self.folder)]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, env=PLAIN, cwd=self.folder, timeout=DEADLINE
        )
        assert done.returncode == 0, done.stderr

    def add_user(self, name: str, *roles: str) -> str:
        self.command("user", "add", name, stdin=PASSWORD)
        if roles:
            self.command("user", "roles", name, *roles)
        return name

    def login(self, name: str, **fields: str) -> Session:
        body = {"username": name, "password": PASSWORD, **fields}
        answer = request("POST", f"{self.url}/v1/login", body=body)
        assert answer.status == 200, answer.text
        tokens = answer.json
        me = request("GET", f"{self.url}/v1/me", tokens["access_token"])
        user_id = me.json["user"]["id"] if me.status == 200 else ""
        return Session(self.url, tokens["access_token"], tokens["refresh_token"], user_id, tokens["session_id"], name)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Latchet that all tests share, with the users alice and root (role `admin`)."""
    server = Server(tmp_path_factory.mktemp("latchet"))
    server.add_user("alice")
    server.add_user("root", "admin", "editor")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A Latchet that a test may stop and start."""
    folder = tmp_path / "latchet"
    folder.mkdir()
    server = Server(folder)
    server.add_user("alice")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def alice(server: Server) -> Session:
    return server.login("alice")


@pytest.fixture
def root(server: Server) -> Session:
    return server.login("root")


class Clock:
    """A clock that moves when a test says so."""

    def __init__(self) -> None:
        self.monotonic, self.wall = 1000.0, time.time()

    def __call__(self) -> tuple[float, float]:
        return self.monotonic, self.wall

    def advance(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


class Gate:
    """A proxy in front of Latchet that counts questions and may hold their answers back."""

    def __init__(self, target: str) -> None:
        self.paths: list[str] = []
        self.opened = threading.Event()
        self.opened.set()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {name: self.headers[name] for name in ("Authorization", "Accept") if name in self.headers}
                answer = HTTP.request("GET", target + self.path, headers=headers)
                gate.paths.append(self.path)
                gate.opened.wait(DEADLINE)
                self.send_response(answer.status)
                for name in ("Content-Type", "WWW-Authenticate"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(answer.data)))
                self.end_headers()
                self.wfile.write(answer.data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def count(self) -> int:
        return len(self.paths)

    def hold(self) -> None:
        self.opened.clear()

    def close(self) -> None:
        self.opened.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def gate(server: Server) -> Iterator[Gate]:
    gate = Gate(server.url)
    yield gate
    gate.close()


class Stub:
    """A server that sends the same bytes to every connection, or nothing for `None`.

    With a pause it sends byte by byte, but the first `at_once` bytes together.
    """

    def __init__(self, response: bytes | None, pause: float = 0, at_once: int = 0) -> None:
        self.connections = self.ended = 0
        self._kept: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, args=(response, pause, at_once), daemon=True).start()

    def _serve(self, response: bytes | None, pause: float, at_once: int) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._kept.append(connection)
            if response is not None:
                threading.Thread(target=self._respond, args=(connection, response, pause, at_once), daemon=True).start()

    def _respond(self, connection: socket.socket, response: bytes, pause: float, at_once: int) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            if not pause:
                at_once = len(response)
            connection.sendall(response[:at_once])
            for byte in response[at_once:]:
                time.sleep(pause)
                connection.sendall(bytes([byte]))
        self.ended += 1

    def close(self) -> None:
        with contextlib.suppress(OSError):
            # Ends `accept`, which `close` alone does not.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._kept:
            connection.close()


@pytest.fixture
def stub() -> Iterator[Callable[..., Stub]]:
    stubs: list[Stub] = []

    def start(response: bytes | None, pause: float = 0, at_once: int = 0) -> Stub:
        stubs.append(Stub(response, pause, at_once))
        return stubs[-1]

    yield start
    for one in stubs:
        one.close()


def response(status: str, body: str, *headers: str) -> bytes:
    """Returns an HTTP response as bytes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", *headers, "", body]
    return "\r\n".join(lines).encode()


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in another process, with the package."""
    path = {"PYTHONPATH": str(ROOT / "clients/python/src")}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=PLAIN | path | environment, capture_output=True, text=True, timeout=DEADLINE)
