"""A server in the words of the domain: log in, refresh, check, log out."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Callable, Mapping, Optional, Sequence

from .adapter import Adapter, Request
from .wire import PATIENCE, Answer, Connection, Silence

# These say that the adapter is wrong, or that the server limits the suite; they judge no token.
USELESS = (404, 405, 408, 415, 429)


class Unusable(Exception):
    """The server cannot be judged: nothing that follows would be about rotation."""


class Broken(Exception):
    """The server neither did nor refused what it was asked, such as by 500 or by silence."""


@dataclass(frozen=True)
class Tokens:
    """Values of one response: the tokens, and other values that the adapter puts into requests."""

    values: Mapping[str, str]

    @property
    def refresh(self) -> str:
        """Returns the refresh token."""
        return self.values["refresh"]


@dataclass(frozen=True)
class Crowd:
    """Responses to many requests at once."""

    # One for each request that was answered tokens.
    answered: Sequence[Tokens]
    # The others, counted by what they were answered.
    others: Mapping[str, int]

    def distinct(self) -> list[Tokens]:
        """Returns those with different refresh tokens, once each."""
        return list({tokens.refresh: tokens for tokens in self.answered}.values())


class Server:
    """A server, and the account that logs in to it."""

    def __init__(self, adapter: Adapter, base: str, username: str, password: str) -> None:
        self.adapter = adapter
        self._base = base
        self._account = {"username": username, "password": password}

    def login(self) -> Tokens:
        """Logs in."""
        answer = self._sent(self.adapter.login, self._account)
        if _is_refused(answer):
            raise Unusable(f"the response to the login is {answer.status}")
        return self._tokens(answer, {})

    def refresh(self, tokens: Tokens) -> Optional[Tokens]:
        """Presents a refresh token; `None` when it is refused."""
        return self._refreshed(self._sent(self.adapter.refresh, tokens.values), tokens)

    def check(self, tokens: Tokens) -> bool:
        """Presents an access token to the protected route, and returns whether it was accepted."""
        return not _is_refused(self._sent(_offered(self.adapter.check), tokens.values))

    def logout(self, tokens: Tokens) -> bool:
        """Logs out, and returns whether that was accepted."""
        return not _is_refused(self._sent(_offered(self.adapter.logout), tokens.values))

    def refresh_at_once(self, tokens: Tokens, times: int) -> Crowd:
        """Presents one refresh token many times in the same moment."""
        request = self.adapter.refresh
        connections = [self._connection(request, tokens.values) for _ in range(times)]
        outcomes = at_once([partial(self._outcome, connection, tokens) for connection in connections])
        answered = [outcome for outcome in outcomes if isinstance(outcome, Tokens)]
        others = Counter(outcome for outcome in outcomes if isinstance(outcome, str))
        return Crowd(answered, others)

    def _outcome(self, connection: Connection, tokens: Tokens) -> "Tokens | str":
        try:
            answer = _judged(connection.send())
            return self._refreshed(answer, tokens) or f"answered {answer.status}"
        except (Silence, Broken) as error:
            return str(error)

    def _refreshed(self, answer: Answer, shown: Tokens) -> Optional[Tokens]:
        return None if _is_refused(answer) else self._tokens(answer, shown.values)

    def _sent(self, request: Request, values: Mapping[str, str]) -> Answer:
        try:
            return _judged(self._connection(request, values).send())
        except Silence as error:
            raise Broken(str(error)) from error

    def _connection(self, request: Request, values: Mapping[str, str]) -> Connection:
        try:
            return Connection(self._base, request, values)
        except Silence as error:
            raise Unusable(str(error)) from error

    def _tokens(self, answer: Answer, known: Mapping[str, str]) -> Tokens:
        # A server that does not rotate answers an access token alone: the refresh token stays.
        values = dict(known)
        for name, place in self.adapter.answer.items():
            value = answer.value(place)
            if value is not None:
                values[name] = value
            elif name not in values:
                where = f"{place.kind} {place.name}"
                raise Unusable(f"an answer {answer.status} has no `{name}` in {where}")
        return Tokens(values)


def at_once(tasks: Sequence[Callable]) -> list:
    """Runs tasks in threads that all begin in the same moment, and returns what they returned."""
    barrier = threading.Barrier(len(tasks), timeout=PATIENCE)

    def run(task: Callable):
        barrier.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(run, task) for task in tasks]]


def _judged(answer: Answer) -> Answer:
    if answer.status in USELESS:
        raise Unusable(f"answered {answer.status}: is the adapter right, are the limits high enough?")
    if answer.status >= 500:
        raise Broken(f"answered {answer.status}")
    return answer


def _is_refused(answer: Answer) -> bool:
    return not 200 <= answer.status < 300


def _offered(request: Optional[Request]) -> Request:
    if request is None:
        raise Unusable("a case asked for what the adapter does not offer")
    return request
