"""What the hand-over asks of GitHub: a token, and one pull request for one branch."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from image_pipeline import given
from image_pipeline.rest import Refused, Server
from image_pipeline.tools import Failed, ToolFailed, run

API = "https://api.github.com"
#: GitHub takes a JWT for ten minutes at most, and its clock may be behind ours.
_JWT_SECONDS, _CLOCK_SECONDS = 540, 60
_RIGHTS = {"contents": "write", "pull_requests": "write"}
_APP = "the App of HANDOVER_APP_ID"


@dataclass(frozen=True)
class Login:
    """A token, and where it is from, for people."""

    token: str = field(repr=False)
    source: str


@dataclass(frozen=True)
class Pull:
    number: int
    title: str
    page: str


def login(repository: str) -> Login:
    """HANDOVER_TOKEN, else an App's token for this repository alone, else GITHUB_TOKEN (which starts no workflow)."""
    if token := given.token("HANDOVER_TOKEN"):
        return Login(token, "HANDOVER_TOKEN")
    app, key = given.optional("HANDOVER_APP_ID"), given.optional("HANDOVER_APP_KEY")
    if app or key:
        if not (app and key):
            raise Failed(
                "of HANDOVER_APP_ID and HANDOVER_APP_KEY only one is set",
                "Set the variable HANDOVER_APP_ID and the secret HANDOVER_APP_KEY, or neither.",
            )
        return Login(app_token(repository, app, key), _APP)
    if token := given.token("GITHUB_TOKEN"):
        return Login(token, "GITHUB_TOKEN")
    raise Failed(
        "there is no token to open a pull request with",
        "Set the secret HANDOVER_TOKEN, or the variable HANDOVER_APP_ID and the secret HANDOVER_APP_KEY.",
    )


def server(repository: str, who: Login) -> Server:
    hints = {
        401: f"GitHub does not know the token ({who.source}): it has ended or was revoked. Make a new one.",
        403: f"The token ({who.source}) needs the rights contents: write and pull requests: write on {repository}.",
        404: f"Does {repository} exist, and may the token ({who.source}) see it?",
        422: "Look at the names of the branches, and at the pull requests that are open.",
    }
    return Server("GitHub", "GITHUB_API_URL", given.address("GITHUB_API_URL", API), who.token, hints)


@dataclass(frozen=True)
class Pulls:
    """The pull requests from one branch of a repository to another one of it."""

    server: Server
    repository: str
    branch: str
    base: str

    @property
    def path(self) -> str:
        return f"/repos/{self.repository}/pulls"

    def open_one(self) -> Pull | None:
        owner = self.repository.partition("/")[0]
        query = urlencode({"head": f"{owner}:{self.branch}", "base": self.base, "state": "open"})
        answers = self.server.ask("GET", f"{self.path}?{query}", kind=list)
        return next((self._pull(answer) for answer in answers if self._is_ours(answer)), None)

    def _is_ours(self, answer: Any) -> bool:
        """Whatever GitHub makes of the query: a fork may have a branch of the same name."""
        head, base = (self.server.part(answer, end, dict) for end in ("head", "base"))
        home = (head.get("repo") or {}).get("full_name")
        return (head.get("ref"), home, base.get("ref")) == (self.branch, self.repository, self.base)

    def create(self, title: str, body: str) -> Pull:
        sent = {"head": self.branch, "base": self.base, "title": title, "body": body}
        try:
            return self._pull(self.server.ask("POST", self.path, sent))
        except Refused as failure:
            if "not permitted to create" not in failure.said:
                raise
            raise Failed(
                f"GitHub refuses: {failure.said}",
                "Repository's settings, Actions, General, Workflow permissions: allow GitHub Actions to create pull "
                "requests (an organization may forbid it). Or give another token: HANDOVER_TOKEN, or an App's.",
            ) from None

    def move(self, pull: Pull, title: str, body: str) -> Pull:
        return self._pull(self.server.ask("PATCH", f"{self.path}/{pull.number}", {"title": title, "body": body}))

    def _pull(self, answer: Any) -> Pull:
        part = self.server.part
        return Pull(part(answer, "number", int), part(answer, "title", str), part(answer, "html_url", str))


def app_token(repository: str, app: str, key: str) -> str:
    """A token for an hour that may write contents and pull requests of this repository, and nothing else."""
    hints = {
        401: "Do HANDOVER_APP_ID and HANDOVER_APP_KEY belong to one App, and is the key not deleted there?",
        403: "Is the App suspended?",
        404: f"Install {_APP} on {repository}.",
        422: f"{_APP} needs the rights contents: write and pull requests: write, granted where it is installed.",
    }
    github = Server("GitHub", "GITHUB_API_URL", given.address("GITHUB_API_URL", API), jwt(app, key), hints)
    installation = github.part(github.ask("GET", f"/repos/{repository}/installation"), "id", int)
    wish = {"repositories": [repository.partition("/")[2]], "permissions": _RIGHTS}
    answer = github.ask("POST", f"/app/installations/{installation}/access_tokens", wish)
    return str(github.part(answer, "token", str))


def jwt(app: str, key: str) -> str:
    """Who the App is, signed by its key."""
    now = int(time.time())
    claims = {"iat": now - _CLOCK_SECONDS, "exp": now + _JWT_SECONDS, "iss": app}
    signed = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    return f"{signed}.{_base64(signature(signed, key))}"


def signature(text: str, key: str) -> bytes:
    """RS256 by openssl: Python's own library has no RSA. The key lies in a file of ours alone for that moment."""
    with tempfile.TemporaryDirectory(prefix="handover-") as folder:
        pem, signed = Path(folder, "key.pem"), Path(folder, "signature")
        with open(pem, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(key + "\n")
        try:
            run("openssl", "dgst", "-sha256", "-sign", pem, "-out", signed, stdin=text, timeout=60)
        except ToolFailed:
            raise Failed(
                "openssl cannot sign with HANDOVER_APP_KEY",
                "It must be the App's private key as GitHub gave it: PEM, with its first and last line.",
            ) from None
        return signed.read_bytes()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
