"""Servers as processes of a script: PostgreSQL, and Latchet of any version."""

import glob
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT_SECRET = "GqYv0Xc2Zk3mB7dR9sT1uW4yA6eF8hJ5nL0pQ2rS4tU"
ISSUER = "https://fixture.test"
NAME = pathlib.Path(sys.argv[0]).name


def program(name):
    """Return the path of a program, looking where packages hide it."""
    hidden = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    found = shutil.which(name) or (hidden[-1] if hidden else None)
    if found is None:
        sys.exit(f"{NAME}: {name} is not installed")
    return found


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, is_true, limit=60):
    end = time.monotonic() + limit
    while not is_true():
        if time.monotonic() > end:
            sys.exit(f"{NAME}: waited {limit} s for: {what}")
        time.sleep(0.1)


class Postgres:
    """A PostgreSQL of this run alone. As root it runs as the user `postgres`."""

    def __init__(self, folder):
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        data = folder / "postgres"
        if self.user:
            data.mkdir()
            shutil.chown(data, "postgres", "postgres")
            os.chmod(folder, 0o711)
        self.port = free_port()
        initdb = [program("initdb"), "--auth=trust", "--username=postgres", "--encoding=UTF8"]
        self.run(initdb + ["--locale=C", "--no-sync", f"--pgdata={data}"])
        server = [program("postgres"), "-D", str(data), "-k", "", "-p", str(self.port)]
        self.process = subprocess.Popen(
            self.user + server, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        ready = [program("pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        until("PostgreSQL to answer", lambda: subprocess.run(ready, check=False).returncode == 0)

    def run(self, command):
        ran = subprocess.run(
            self.user + command, cwd="/", check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        return ran.stdout

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def newest_migration(self):
        newest = "SELECT max(version) FROM seaql_migrations"
        return self.run([program("psql"), "--no-psqlrc", "-At", "-c", newest, self.url]).strip()

    def dump(self):
        text = self.run(
            [program("pg_dump"), "--inserts", "--no-owner", "--no-privileges", "--no-comments", self.url]
        )
        # Settings of the session, commands of psql and remarks differ between versions of pg_dump.
        skipped = ("SET ", "--", "\\", "SELECT pg_catalog.set_config", "CREATE SCHEMA public")
        lines = [line for line in text.splitlines() if line and not line.startswith(skipped)]
        return "\n".join(lines) + "\n"


class Latchet:
    """The program on one database."""

    def __init__(self, binary, folder, url):
        self.binary = binary
        self.folder = folder
        self.port = free_port()
        self.environment = {
            "LATCHET_DATA_DIR": str(folder),
            "DATABASE_URL": url,
            "LATCHET_ROOT_SECRET": ROOT_SECRET,
            "LATCHET_ISSUER": ISSUER,
            "LATCHET_LISTEN": f"127.0.0.1:{self.port}",
            # A token that was used before is reuse at once, not the retry of a client.
            "LATCHET_GRACE": "0s",
        }

    def command(self, *arguments, given=""):
        ran = subprocess.run(
            [self.binary, *arguments], env=self.environment, input=given, capture_output=True, text=True,
            check=False,
        )
        if ran.returncode != 0:
            sys.exit(f"{NAME}: {arguments}: {ran.stderr}")
        return ran.stdout

    def serve(self, **settings):
        """Start the server; stop it by `stop`."""
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binary], env=self.environment | settings, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until("the server to be ready", lambda: self.request("GET", "/readyz")[0] == 200)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def request(self, method, path, body=None, **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        if body is not None:
            request.add_header("content-type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                text = response.read()
                return response.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, None
        except OSError:
            return 0, None

    def expect(self, status, method, path, body=None, **headers):
        got, answer = self.request(method, path, body, **headers)
        if got != status:
            sys.exit(f"{NAME}: {method} {path}: {got} instead of {status}")
        return answer

    def login(self, name):
        body = {"username": name, "password": password(name)}
        return self.expect(200, "POST", "/v1/login", body, user_agent=f"{name}'s laptop")

    def refresh(self, tokens, **headers):
        return self.expect(200, "POST", "/v1/refresh", {"refresh_token": tokens["refresh_token"]}, **headers)


def password(name):
    return f"a long password of {name}"
