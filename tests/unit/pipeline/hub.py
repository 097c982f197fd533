"""A small GitHub: a bare repository behind Git's own program for HTTP, and the REST API for pull requests and Apps.

It knows what GitHub refuses: a token that it does not know (by REST and by Git), a head or a base that is no branch, a
second pull request for one branch, rights that an App lacks.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.unit.listening import Answer, Server

REPOSITORY = "team/agents"
FILE = "inventories/bots/group_vars/agents.yml"
APP = 4711
APP_TOKEN = "ghs_app-token-5b60d2"


def git(folder: Path, *words: str, stdin: str | None = None, time: int = 0) -> str:
    """Git as a person uses it, with a name and no settings of this machine. `time`: a commit's, since 1970."""
    me = {f"GIT_{role}_{part}": f"{part}@example.com" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    dates = {f"GIT_{role}_DATE": f"{time} +0000" for role in ("AUTHOR", "COMMITTER")} if time else {}
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **me, **dates}
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, env=env, input=stdin, check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class Bare:
    """The repository on the server's disk."""

    folder: Path

    @classmethod
    def made(cls, root: Path, text: str) -> Bare:
        """With one commit on main, which holds the inventory's file and another one."""
        bare = cls(root / f"{REPOSITORY}.git")
        bare.folder.mkdir(parents=True)
        git(bare.folder, "init", "--quiet", "--bare", "--initial-branch=main")
        bare.commit("main", {FILE: text, "README.md": "agents\n"})
        return bare

    def git(self, *words: str, stdin: str | None = None) -> str:
        return git(self.folder, *words, stdin=stdin)

    def commit(self, branch: str, files: dict[str, str]) -> str:
        """A commit on top of a branch, or the first one of it."""
        start = self.tip(branch)
        lines = [f"commit refs/heads/{branch}", "committer A <a@example.com> 1700000000 +0000", "data 4", "work"]
        lines += [f"from {start}"] if start else []
        for name, text in files.items():
            lines += [f"M 100644 inline {name}", f"data {len(text.encode())}", text]
        self.git("fast-import", "--quiet", "--force", stdin="\n".join([*lines, ""]))
        return self.tip(branch)

    def tip(self, branch: str) -> str:
        return self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)").splitlines()

    def text(self, branch: str) -> str:
        shown = ["git", "-C", str(self.folder), "show", f"{branch}:{FILE}"]
        return subprocess.run(shown, check=True, capture_output=True).stdout.decode()  # with its own line ends

    def hook(self, name: str, script: str) -> None:
        path = self.folder / "hooks" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


class Hub(Server):
    """tokens: those it knows. failing: (method, pattern of a path) → what is answered instead, once it is set."""

    def __init__(self, bare: Bare, *tokens: str) -> None:
        super().__init__()
        self.bare = bare
        self.tokens = set(tokens)
        self.failing: dict[tuple[str, str], Answer] = {}
        self.pulls: list[dict[str, Any]] = []
        self.installed = True
        self.jwt = ""

    @property
    def api(self) -> str:
        return f"{self.url}/api/v3"

    @property
    def remote(self) -> str:
        return f"{self.url}/{REPOSITORY}.git"

    def calls(self, *methods: str) -> list[tuple[str, str, Any]]:
        """What was asked of the REST API: method, path, and body as data."""
        asked = [
            (method, path.removeprefix("/api/v3"), body) for method, path, _, body in self.asked if "/api/v3/" in path
        ]
        return [(method, path, json.loads(body or b"null")) for method, path, body in asked if method in methods]

    def open(self, title: str, body: str, head: str, base: str, home: str = REPOSITORY) -> dict[str, Any]:
        """A pull request. home: where its branch is."""
        number = len(self.pulls) + 1
        known = {"number": number, "html_url": f"{self.url}/{REPOSITORY}/pull/{number}", "state": "open"}
        ends = {"head": {"ref": head, "repo": {"full_name": home}}, "base": {"ref": base}}
        self.pulls.append({"title": title, "body": body, **known, **ends})
        return self.pulls[-1]

    def answer(self, method: str, path: str) -> Answer | None:
        _, _, headers, body = self.asked[-1]
        for (verb, pattern), answer in self.failing.items():
            if verb == method and re.search(pattern, path):
                return answer
        if not path.startswith("/api/v3/"):
            return self.by_git(method, path, headers, body)
        return self.by_rest(method, urlsplit(path.removeprefix("/api/v3")), headers, json.loads(body or b"{}"))

    # --- REST

    def by_rest(self, method: str, url: Any, headers: dict[str, str], sent: dict[str, Any]) -> Answer:
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if url.path in (f"/repos/{REPOSITORY}/installation", f"/app/installations/{APP}/access_tokens"):
            return self.for_app(method, token, sent)
        if token not in self.tokens:
            return said(401, {"message": "Bad credentials", "status": "401"})
        if (method, url.path) == ("GET", f"/repos/{REPOSITORY}/pulls"):
            return said(200, self.found(parse_qs(url.query)))
        if (method, url.path) == ("POST", f"/repos/{REPOSITORY}/pulls"):
            return self.opened(sent)
        for pull in self.pulls:
            if (method, url.path) == ("PATCH", f"/repos/{REPOSITORY}/pulls/{pull['number']}"):
                pull |= sent
                return said(200, pull)
        return said(404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"})

    def found(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        owner, _, branch = query["head"][0].partition(":")
        assert (owner, query["state"]) == (REPOSITORY.partition("/")[0], ["open"]), "else GitHub gives all it has"
        return [one for one in self.pulls if (one["head"]["ref"], one["state"]) == (branch, "open")]

    def opened(self, sent: dict[str, Any]) -> Answer:
        for end in ("head", "base"):
            if not self.bare.tip(sent[end]):
                problem = {"resource": "PullRequest", "field": end, "code": "invalid"}
                return said(422, {"message": "Validation Failed", "errors": [problem]})
        same = (sent["head"], REPOSITORY, sent["base"], "open")
        if any((*ends(one), one["state"]) == same for one in self.pulls):
            twice = {"message": f"A pull request already exists for team:{sent['head']}."}
            return said(422, {"message": "Validation Failed", "errors": [twice]})
        return said(201, self.open(**sent))

    def for_app(self, method: str, token: str, sent: dict[str, Any]) -> Answer:
        self.jwt = token
        if not self.installed:
            return said(404, {"message": "Not Found"})
        if method == "GET":
            return said(200, {"id": APP})
        if sent != {"repositories": ["agents"], "permissions": {"contents": "write", "pull_requests": "write"}}:
            return said(422, {"message": "The permissions requested are not granted to this installation."})
        self.tokens.add(APP_TOKEN)
        return said(201, {"token": APP_TOKEN})

    # --- Git

    def by_git(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        login = base64.b64decode(headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if login.partition(":") not in [("x-access-token", ":", token) for token in self.tokens]:
            return Answer(401, {"WWW-Authenticate": 'Basic realm="GitHub"'}, b"")
        url = urlsplit(path)
        given = {
            "GIT_PROJECT_ROOT": str(self.bare.folder.parents[1]),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "somebody",
            "REQUEST_METHOD": method,
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": headers.get("Git-Protocol", ""),
            "PATH": os.environ["PATH"],
            "HOME": str(self.bare.folder),
        }
        program = subprocess.run(["git", "http-backend"], env=given, input=body, capture_output=True, check=True)
        head, _, payload = program.stdout.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().splitlines())
        return Answer(int(lines.pop("Status", "200").split()[0]), lines, payload)


def ends(pull: dict[str, Any]) -> tuple[str, str, str]:
    return pull["head"]["ref"], pull["head"]["repo"]["full_name"], pull["base"]["ref"]


def said(status: int, body: Any) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(body).encode())
