"""One request and its answer. A connection of its own for each, so that nothing is kept between them."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, Mapping, Optional
from urllib.parse import quote, urlencode, urlsplit

from .adapter import PLACEHOLDER, Place, Request

# Seconds until a server that says nothing is given up.
PATIENCE = 30.0

# Answers are read up to here, in bytes.
LONGEST = 1 << 20


class Silence(Exception):
    """No answer came."""


@dataclass(frozen=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def value(self, place: Place) -> Optional[str]:
        """Returns the text at a place, if there is one."""
        if place.kind == "cookie":
            return self._cookie(place.name)
        if place.kind == "header":
            named = (value for name, value in self.headers if name.lower() == place.name.lower())
            return next(named, None)
        return self._member(place.name)

    def _cookie(self, name: str) -> Optional[str]:
        for header, value in self.headers:
            if header.lower() != "set-cookie":
                continue
            try:
                cookie = SimpleCookie(value).get(name)
            except CookieError:
                continue
            # A cookie that is taken back comes empty.
            if cookie is not None and cookie.value:
                return cookie.value
        return None

    def _member(self, path: str) -> Optional[str]:
        try:
            value: Any = json.loads(self.body)
        except ValueError:
            return None
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value if isinstance(value, str) and value else None


class Connection:
    """A connection that holds its request back until `send`."""

    def __init__(self, base: str, request: Request, values: Mapping[str, str]) -> None:
        address = urlsplit(base)
        port = address.port
        host = address.hostname or ""
        if address.scheme == "https":
            context = ssl.create_default_context()
            self._http: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=PATIENCE, context=context
            )
        else:
            self._http = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        self._method = request.method
        self._path = address.path.rstrip("/") + _filled(request.path, _quoted(values))
        self._headers = {name: _filled(value, values) for name, value in request.headers.items()}
        if request.cookies:
            pairs = (f"{name}={_filled(value, values)}" for name, value in request.cookies.items())
            self._headers["Cookie"] = "; ".join(pairs)
        self._body = self._encoded(request, values)
        try:
            self._http.connect()
        except OSError as error:
            raise Silence(f"cannot connect: {error}") from error

    def _encoded(self, request: Request, values: Mapping[str, str]) -> Optional[bytes]:
        if request.json is not None:
            self._headers["Content-Type"] = "application/json"
            return json.dumps(_filled_json(request.json, values)).encode()
        if request.form is not None:
            self._headers["Content-Type"] = "application/x-www-form-urlencoded"
            fields = {name: _filled(value, values) for name, value in request.form.items()}
            return urlencode(fields).encode()
        return None

    def send(self) -> Answer:
        """Sends the request and reads the answer."""
        try:
            self._http.request(self._method, self._path, self._body, self._headers)
            response = self._http.getresponse()
            return Answer(response.status, response.getheaders(), response.read(LONGEST))
        except (OSError, http.client.HTTPException) as error:
            raise Silence(f"no answer: {type(error).__name__}") from error
        finally:
            self._http.close()


def _filled(text: str, values: Mapping[str, str]) -> str:
    # In one go, so that a value may look like a placeholder.
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def _filled_json(text: Any, values: Mapping[str, str]) -> Any:
    if isinstance(text, str):
        return _filled(text, values)
    if isinstance(text, dict):
        return {name: _filled_json(member, values) for name, member in text.items()}
    if isinstance(text, list):
        return [_filled_json(member, values) for member in text]
    return text


def _quoted(values: Mapping[str, str]) -> Mapping[str, str]:
    return {name: quote(value, safe="") for name, value in values.items()}
