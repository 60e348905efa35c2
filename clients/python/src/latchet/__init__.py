"""Accepts the access tokens of a Latchet server in Python services.

`Latchet` asks the server about each token, so a logout takes effect within a second. `latchet.fastapi`,
`latchet.flask` and `latchet.django` protect routes with it; `latchet.jwks` checks tokens by keys alone.
"""
from ._checker import Checker
from ._token import Refused, Rule, User
from ._verify import Latchet

__all__ = ["Checker", "Latchet", "Refused", "Rule", "User"]
