"""A Flask API that asks Latchet about the token of each request, with httpx and nothing else."""
import os

import httpx
from flask import Flask, Response, g, request

LATCHET = os.environ.get("LATCHET_URL", "http://127.0.0.1:8080")
# Without `trust_env=False` a proxy or ~/.netrc of the environment would come between.
latchet = httpx.Client(base_url=LATCHET, timeout=2, trust_env=False)
app = Flask(__name__)


@app.before_request
def authenticate():
    authorization = request.headers.get("Authorization", "").strip()
    headers = {"Authorization": authorization, "Accept": "application/json"}
    try:
        answer = latchet.get("/v1/verify", headers=headers)
        if answer.status_code == 200:
            g.user = answer.json()
            return None
        if answer.status_code in (400, 401, 403):
            kept = {name: answer.headers[name] for name in ("Content-Type", "WWW-Authenticate")}
            return Response(answer.content, answer.status_code, kept)
    except (httpx.HTTPError, ValueError, KeyError):
        pass
    # Nothing is known about the token: neither 200 nor 401.
    problem = '{"type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "unavailable"}'
    return Response(problem, 503, {"Content-Type": "application/problem+json", "Retry-After": "1"})


@app.get("/hello")
def hello():
    return {"hello": g.user["preferred_username"]}


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "3000")))
