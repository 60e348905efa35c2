"""A small auth server that keeps all fifteen promises, and breaks chosen ones by one fault each."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Optional

# Seconds; they pass on the clock that tests move.
GRACE = 10.0

ADAPTER = {
    "name": "Stand-in",
    "grace_seconds": GRACE,
    "answer": {"access": "json tokens.access", "refresh": "cookie rt", "csrf": "header x-csrf"},
    "login": {
        "method": "POST",
        "path": "/login",
        "form": {"name": "{username}", "password": "{password}"},
    },
    "refresh": {
        "method": "POST",
        "path": "/refresh",
        "cookies": {"rt": "{refresh}"},
        "headers": {"X-CSRF": "{csrf}"},
    },
    "check": {"method": "GET", "path": "/check", "headers": {"Authorization": "Bearer {access}"}},
    "logout": {"method": "DELETE", "path": "/sessions/{access}"},
}


class Fault(Enum):
    """Fault of the server. Most are a bug or a choice that some published server had."""

    ROTATES_NOTHING = auto()
    FORKS = auto()
    ENDS_THE_SESSION_ON_A_RETRY = auto()
    REFUSES_A_RETRY = auto()
    FORGIVES_THE_PARENT_ONLY = auto()
    FORGIVES_FOREVER = auto()
    FORGIVES_THE_PARENT_FOREVER = auto()
    DETECTS_NOTHING = auto()
    BREAKS_WHERE_IT_DETECTS = auto()
    SPARES_ACCESS_ON_DETECTION = auto()
    ENDS_EVERY_SESSION_ON_DETECTION = auto()
    COUNTS_GRACE_FROM_THE_DETECTION = auto()
    REVIVES_BY_A_RACING_REFRESH = auto()
    FORGETS_A_LOGOUT_AFTER_GRACE = auto()
    SPARES_ACCESS_ON_LOGOUT = auto()
    DENIES_ONLY_THE_ACCESS_TOKEN_PRESENTED = auto()
    ENDS_ACCESS_ON_REFRESH = auto()


class End(Enum):
    """Why a session is over."""

    LOGOUT = auto()
    DETECTION = auto()


@dataclass
class Session:
    """One login. The refresh token of a generation is its id and that number."""

    generation: int = 0
    superseded: dict = field(default_factory=dict)
    end: Optional[End] = None
    ended_at: float = 0.0
    # The generation whose access token the logout showed.
    presented_at_logout: Optional[int] = None


class TestClock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def wait(self, seconds: float) -> None:
        self._now += seconds


class StandIn:
    """State and decisions of the server."""

    def __init__(self, clock, fault: Optional[Fault] = None) -> None:
        self._clock = clock
        self._fault = fault
        self._sessions: list[Session] = []
        self._lock = threading.Lock()

    def login(self) -> tuple[int, int]:
        with self._lock:
            return self._new_session()

    def refresh(self, number: int, generation: int) -> "tuple[int, int] | int":
        """Returns the session and generation of the answer, or the status of a refusal."""
        with self._lock:
            session = self._sessions[number]
            if self._fault is Fault.ROTATES_NOTHING:
                return 401 if session.end else (number, generation)
            if session.end:
                return self._revived(number, generation) or 401
            if generation == session.generation:
                return self._rotated(number)
            if self._is_forgiven(session, generation):
                forks = self._fault is Fault.FORKS
                return self._new_session() if forks else (number, session.generation)
            return self._detected(session)

    def check(self, number: int, generation: int) -> bool:
        with self._lock:
            session = self._sessions[number]
            if self._fault is Fault.ENDS_ACCESS_ON_REFRESH and generation < session.generation:
                return False
            if session.end is End.DETECTION:
                return self._fault is Fault.SPARES_ACCESS_ON_DETECTION
            if session.end is End.LOGOUT:
                other = generation != session.presented_at_logout
                denies_only_it = self._fault is Fault.DENIES_ONLY_THE_ACCESS_TOKEN_PRESENTED
                return self._fault is Fault.SPARES_ACCESS_ON_LOGOUT or (denies_only_it and other)
            return True

    def logout(self, number: int, generation: int) -> None:
        with self._lock:
            self._sessions[number].presented_at_logout = generation
            self._end(self._sessions[number], End.LOGOUT)

    def _new_session(self) -> tuple[int, int]:
        self._sessions.append(Session())
        return len(self._sessions) - 1, 0

    def _rotated(self, number: int) -> tuple[int, int]:
        session = self._sessions[number]
        session.superseded[session.generation] = self._clock.now()
        session.generation += 1
        return number, session.generation

    def _is_forgiven(self, session: Session, generation: int) -> bool:
        inside = self._clock.now() - session.superseded[generation] <= GRACE
        is_parent = generation == session.generation - 1
        if self._fault in (Fault.ENDS_THE_SESSION_ON_A_RETRY, Fault.REFUSES_A_RETRY):
            return False
        if self._fault is Fault.FORGIVES_FOREVER:
            return True
        if self._fault is Fault.FORGIVES_THE_PARENT_FOREVER:
            return inside or is_parent
        if self._fault is Fault.FORGIVES_THE_PARENT_ONLY:
            return inside and is_parent
        return inside

    def _detected(self, session: Session) -> int:
        if self._fault is Fault.BREAKS_WHERE_IT_DETECTS:
            return 500
        if self._fault is Fault.ENDS_EVERY_SESSION_ON_DETECTION:
            for other in self._sessions:
                self._end(other, End.DETECTION)
        elif self._fault not in (Fault.DETECTS_NOTHING, Fault.REFUSES_A_RETRY):
            self._end(session, End.DETECTION)
        return 401

    def _end(self, session: Session, end: End) -> None:
        if session.end is None:
            session.end, session.ended_at = end, self._clock.now()

    def _revived(self, number: int, generation: int) -> Optional[tuple[int, int]]:
        session = self._sessions[number]
        passed = self._clock.now() - session.ended_at
        is_superseded = generation < session.generation
        is_revived = {
            Fault.REVIVES_BY_A_RACING_REFRESH: session.end is End.LOGOUT and passed == 0,
            Fault.FORGETS_A_LOGOUT_AFTER_GRACE: session.end is End.LOGOUT and passed > GRACE,
            Fault.COUNTS_GRACE_FROM_THE_DETECTION: (
                session.end is End.DETECTION and is_superseded and passed <= GRACE
            ),
        }
        return (number, session.generation) if is_revived.get(self._fault) else None


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for a `StandIn`. Tokens are not secret here: `SESSION.GENERATION`."""

    stand_in: StandIn

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length).decode()
        if self.path == "/login":
            known = body == "name=alice&password=a+secret+of+alice"
            self._answer(self.stand_in.login() if known else 401)
        elif self.path == "/refresh" and self.headers["x-csrf"] == "1":
            self._answer(self.stand_in.refresh(*_token(self.headers["cookie"].removeprefix("rt="))))
        else:
            self._answer(400)

    def do_GET(self) -> None:
        token = _token(self.headers["authorization"].removeprefix("Bearer "))
        self._answer(204 if self.stand_in.check(*token) else 401)

    def do_DELETE(self) -> None:
        self.stand_in.logout(*_token(self.path.removeprefix("/sessions/")))
        self._answer(204)

    def _answer(self, answer: "tuple[int, int] | int") -> None:
        if isinstance(answer, int):
            self.send_response(answer)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        token = f"{answer[0]}.{answer[1]}"
        body = json.dumps({"tokens": {"access": token}}).encode()
        self.send_response(200)
        self.send_header("set-cookie", f"rt={token}; HttpOnly; Path=/")
        self.send_header("x-csrf", "1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments) -> None:
        """Says nothing: tests print."""


class HttpServer(ThreadingHTTPServer):
    """Listens on a free port of loopback, with room for a crowd."""

    request_queue_size = 128
    daemon_threads = True

    def __init__(self, stand_in: StandIn) -> None:
        super().__init__(("127.0.0.1", 0), type("Bound", (Handler,), {"stand_in": stand_in}))

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "HttpServer":
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_reason) -> None:
        self.shutdown()
        self.server_close()


def _token(text: str) -> tuple[int, int]:
    number, generation = text.split(".")
    return int(number), int(generation)
