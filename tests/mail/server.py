"""A mail server of the tests. It writes each mail with its envelope into a file, and refuses `unknown@…`."""

import asyncio
import json
import os
import ssl
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

FOLDER = Path(os.environ["FOLDER"])
LOGIN = LoginPassword(b"latchet", "p@ss/wörd".encode())


class InjectingSMTP(SMTP):
    """Adds responses in plain text to the one to STARTTLS, as anyone on the network path could."""

    async def push(self, status):
        if status == "220 Ready to start TLS":
            added = ["250 mail.test", "250 OK", "250 OK", "354 go on", "250 accepted"]
            status = "\r\n".join([status, *added])
        await super().push(status)


class Handler:
    """Receives mails."""

    received = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown@"):
            return f"550 5.1.1 <{address}>: no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        Handler.received += 1
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "signed_in": bool(session.authenticated),
            "message": envelope.content.decode(),
        }
        # The file gets its name when it is complete.
        part = FOLDER / "part"
        part.write_text(json.dumps(mail))
        part.rename(FOLDER / f"{Handler.received:04}.json")
        return "250 2.0.0 accepted"


def authenticate(server, session, envelope, mechanism, login):
    return AuthResult(success=login == LOGIN, handled=False)


async def main():
    mode = os.environ["MODE"]
    context = None
    if mode != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(FOLDER / "chain.pem", FOLDER / "key.pem")
    login = {"auth_required": True, "authenticator": authenticate}
    options = {
        "plain": {},
        "starttls": {"tls_context": context, "require_starttls": True, **login},
        "tls": {"auth_require_tls": False, **login},
        "injecting": {"tls_context": context, "require_starttls": True},
    }[mode]
    protocol = InjectingSMTP if mode == "injecting" else SMTP
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: protocol(Handler(), hostname="mail.test", loop=loop, **options),
        "127.0.0.1",
        int(os.environ["PORT"]),
        ssl=context if mode == "tls" else None,
    )
    await server.serve_forever()


asyncio.run(main())
