"""Adapters: the data that says how one server is spoken to. The README describes them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Mapping, Optional

# What a server can be asked to do.
LOGIN, REFRESH, CHECK, LOGOUT = "login", "refresh", "check", "logout"


# Placeholder of a value in a request.
PLACEHOLDER = re.compile(r"\{(\w+)\}")

# Seconds. The suite waits for grace to pass eight times.
LONGEST_GRACE = 3600


class AdapterError(Exception):
    """The adapter says something that cannot be meant."""


@dataclass(frozen=True)
class Place:
    """Where a value is found in an answer: a dotted path in its JSON, a cookie, or a header."""

    kind: str
    name: str


@dataclass(frozen=True)
class Request:
    """A request with placeholders such as `{refresh}`."""

    method: str
    path: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    # `None` sends no body; `json` may nest, `form` is flat.
    json: Optional[Any]
    form: Optional[Mapping[str, str]]


@dataclass(frozen=True)
class Adapter:
    """Routes, formats and grace period of one server."""

    name: str
    # Seconds for which a superseded refresh token is still answered; 0 for never.
    grace: float
    # Values by the names that requests call them; `access` and `refresh` are always among them.
    answer: Mapping[str, Place]
    login: Request
    refresh: Request
    # `None` where the server does not offer it.
    check: Optional[Request]
    logout: Optional[Request]


def load(path: str) -> Adapter:
    """Reads the adapter at `path`."""
    try:
        with open(path, encoding="utf-8") as file:
            text = json.load(file)
    except (OSError, ValueError) as error:
        raise AdapterError(f"cannot read {path}: {error}") from error
    return parse(text)


def parse(text: Any) -> Adapter:
    """Reads an adapter; a member too many is refused like one too few, so that no typo is a default."""
    names = ["name", "grace_seconds", "answer", LOGIN, REFRESH, CHECK, LOGOUT]
    members = _members("the adapter", text, required=names, optional=[])
    grace = members["grace_seconds"]
    is_number = isinstance(grace, (int, float)) and not isinstance(grace, bool)
    if not is_number or not 0 <= grace <= LONGEST_GRACE:
        raise AdapterError(f"`grace_seconds` is a number from 0 to {LONGEST_GRACE}")
    answer = _texts("`answer`", members["answer"])
    for name in ("access", "refresh"):
        if name not in answer:
            raise AdapterError(f"`answer` does not say where `{name}` is found")
    answered = list(answer)
    return Adapter(
        name=_text("`name`", members["name"]),
        grace=grace,
        answer={name: _place(name, where) for name, where in answer.items()},
        login=_request(LOGIN, members[LOGIN], ["username", "password"]),
        refresh=_request(REFRESH, members[REFRESH], answered),
        check=_optional(CHECK, members[CHECK], answered),
        logout=_optional(LOGOUT, members[LOGOUT], answered),
    )


def _optional(name: str, text: Any, known: list[str]) -> Optional[Request]:
    return None if text is None else _request(name, text, known)


def _request(name: str, text: Any, known: list[str]) -> Request:
    where = f"`{name}`"
    members = _members(where, text, ["method", "path"], ["headers", "cookies", "json", "form"])
    unknown = sorted(set(PLACEHOLDER.findall(json.dumps(text))) - set(known))
    if unknown:
        raise AdapterError(f"{where} uses {unknown}, and there are {known}")
    if "json" in members and "form" in members:
        raise AdapterError(f"{where} has two bodies")
    path = _text(f"the path of {where}", members["path"])
    if not path.startswith("/"):
        raise AdapterError(f"the path of {where} begins with a slash")
    return Request(
        method=_text(f"the method of {where}", members["method"]),
        path=path,
        headers=_texts(f"the headers of {where}", members.get("headers", {})),
        cookies=_texts(f"the cookies of {where}", members.get("cookies", {})),
        json=members.get("json"),
        form=_texts(f"the form of {where}", members["form"]) if "form" in members else None,
    )


def _place(name: str, where: str) -> Place:
    kind, _, rest = where.partition(" ")
    if kind not in ("json", "cookie", "header") or not rest:
        places = "`json PATH`, `cookie NAME` or `header NAME`"
        raise AdapterError(f"`{name}` is found in {places}, not in `{where}`")
    return Place(kind, rest)


def _members(where: str, text: Any, required: list[str], optional: list[str]) -> Mapping[str, Any]:
    if not isinstance(text, dict):
        raise AdapterError(f"{where} is a table")
    missing = [name for name in required if name not in text]
    unknown = [name for name in text if name not in required + optional]
    if missing or unknown:
        raise AdapterError(f"{where} lacks {missing}, and has {unknown}, which nobody reads")
    return text


def _texts(where: str, text: Any) -> Mapping[str, str]:
    if not isinstance(text, dict) or not all(isinstance(value, str) for value in text.values()):
        raise AdapterError(f"{where} is a table of texts")
    return text


def _text(where: str, text: Any) -> str:
    if not isinstance(text, str) or not text:
        raise AdapterError(f"{where} is a text")
    return text
