"""Fifteen cases of the rotation of refresh tokens, for any server that speaks HTTP.

`adapter` reads how a server is spoken to, `wire` sends, `server` speaks to it in the words of the
domain, `trial` gives one case its tokens and its time, `cases` holds the claims, `suite` runs them,
`report` and `command` print them. `record` and `table` keep what was seen of published servers.
Nothing but the standard library, from Python 3.9 on.
"""
