"""Checks of tokens that wait for Latchet, from threads and from asyncio."""
from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import urlsplit

import urllib3

from ._token import Refused, Rule, User, presented_token

Moment = tuple[float, float]
_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|::1")
_MAX_RESPONSE = 256 * 1024
_WORKERS = 32
_MAX_QUESTIONS = 1024
_log = logging.getLogger("latchet")


def now() -> Moment:
    """Returns the moment on the monotonic clock, which may stop in a suspended machine, and on the wall clock."""
    return time.monotonic(), time.time()


def is_within(seconds: float, since: Moment, moment: Moment) -> bool:
    """Returns whether fewer seconds have passed on both clocks."""
    return all(0 <= there - here < seconds for here, there in zip(since, moment))


def permitted_url(url: str, allow_plain_http: bool) -> str:
    """Returns a URL without its last slash; raises `ValueError` if no token or key may come from there."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("the URL must be https://host, without user, query and fragment")
    if parts.scheme == "http" and not allow_plain_http and not _LOOPBACK.fullmatch(host):
        raise ValueError(f"http://{host} is not encrypted: use https://, or allow_plain_http in a safe network")
    return url.rstrip("/")


@dataclass
class _Question:
    asked: Moment
    sent: Moment | None = None
    answer: Future[User] = field(default_factory=Future)


class Checker(ABC):
    """A check of access tokens. Requests to Latchet run in threads of their own, so that every wait has an end."""

    # Age of a question, from its sending, up to which new requests share its answer.
    _shared_for: float

    def __init__(self, url: str, timeout: float, allow_plain_http: bool, clock: Callable[[], Moment]) -> None:
        self._url = permitted_url(url, allow_plain_http)
        self._timeout, self._allow_plain_http, self._clock = timeout, allow_plain_http, clock
        self._start()

    def _start(self) -> None:
        self._process, self._lock, self._is_failing = os.getpid(), Lock(), False
        self._questions: dict[bytes, _Question] = {}
        self._workers = ThreadPoolExecutor(_WORKERS, "latchet")
        self._pool = urllib3.PoolManager(maxsize=_WORKERS, timeout=self._timeout, retries=False)

    @abstractmethod
    def _check(self, token: str) -> User | Future[User]: ...

    def check(self, authorization: Iterable[str], rule: Rule = Rule()) -> User | None:
        """Returns the user of a request by its lines of `Authorization`; raises `Refused`."""
        token = presented_token(authorization)
        found = self._check(token) if token else None
        if isinstance(found, Future):
            if not wait([found], self._timeout).done:
                raise Refused.unavailable()
            found = found.result()
        return rule.admit(found)

    async def check_async(self, authorization: Iterable[str], rule: Rule = Rule()) -> User | None:
        """Does the same without blocking the event loop."""
        token = presented_token(authorization)
        found = self._check(token) if token else None
        if isinstance(found, Future):
            waiting = asyncio.wrap_future(found)
            # The request may have gone when the answer comes, and then nothing else reads its failure.
            waiting.add_done_callback(asyncio.Future.exception)
            # Unlike `wait_for`, this does not cancel the question, which others may share.
            if not (await asyncio.wait([waiting], timeout=self._timeout))[0]:
                raise Refused.unavailable()
            found = waiting.result()
        return rule.admit(found)

    def _ask(self, key: bytes, work: Callable[[Moment], User]) -> Future[User]:
        """Runs `work` in a thread, unless the same question is in progress and young enough."""
        if self._process != os.getpid():
            # After a fork: the threads do not exist here, and the connections belong to the parent.
            self._start()
        moment = self._clock()
        with self._lock:
            known = self._questions.get(key)
            if known and (known.sent is None or is_within(self._shared_for, known.sent, moment)):
                return known.answer
            if len(self._questions) >= _MAX_QUESTIONS:
                raise Refused.unavailable()
            question = self._questions[key] = _Question(moment)
        question.answer.set_running_or_notify_cancel()
        self._workers.submit(self._answer, key, question, work)
        return question.answer

    def _answer(self, key: bytes, question: _Question, work: Callable[[Moment], User]) -> None:
        question.sent = self._clock()
        try:
            if not is_within(self._timeout, question.asked, question.sent):
                raise Refused.unavailable()
            question.answer.set_result(work(question.sent))
            self._is_failing = False
        except Refused as refused:
            question.answer.set_exception(refused)
        except Exception as error:
            self._report(error)
            question.answer.set_exception(Refused.unavailable())
        finally:
            with self._lock:
                if self._questions.get(key) is question:
                    del self._questions[key]

    def _report(self, error: Exception) -> None:
        if not self._is_failing:
            _log.warning("tokens cannot be checked by %s: %s: %s", self._url, type(error).__name__, error)
        self._is_failing = True

    def _get(self, url: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        """Returns status, headers and body of a response."""
        end = time.monotonic() + self._timeout
        for is_last in (False, True):
            try:
                response = self._pool.request("GET", url, headers=headers, redirect=False, preload_content=False)
                body = b""
                while chunk := response.read1(_MAX_RESPONSE, decode_content=False):
                    body += chunk
                    if len(body) > _MAX_RESPONSE or time.monotonic() > end:
                        response.close()
                        raise ValueError("the response is too long or too slow")
                return response.status, response.headers, body
            except urllib3.exceptions.ProtocolError:
                # The server may close a connection that was kept alive at the moment of its next use.
                if is_last:
                    raise
        raise AssertionError("not reached")
