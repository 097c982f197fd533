"""What the pipeline's scripts share: programs that are run, failures that are told, and what GitHub Actions is handed.

Standard library only: a runner has Python and nothing of ours.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
_TAIL = 20


class Failed(Exception):
    """A step that cannot go on: what happened and why, and what to do next (shown under it)."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


class ToolFailed(Failed):
    """A program ended with an error. `said` is the end of its stderr, for the caller to read a cause out of."""

    def __init__(self, program: str, code: int, said: str) -> None:
        super().__init__(f"{program} ended with {code}: {said or 'it said nothing'}")
        self.said = said


def say(text: str) -> None:
    """A line of progress, on stderr: stdout is for results."""
    print(text, file=sys.stderr, flush=True)


def run(
    *command: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    timeout: float | None = None,
    shown: bool = False,
) -> str:
    """A program's stdout; ToolFailed when it ends with an error or not within `timeout` seconds.

    `env` is added to this process's environment. `shown`: what the program says goes to our stderr, line by line,
    and is not returned.
    """
    words = [str(word) for word in command]
    name = " ".join(words[:2])
    environment = {**os.environ, **(env or {})}
    try:
        done = subprocess.run(
            words,
            env=environment,
            cwd=cwd,
            input=stdin,
            stdout=sys.stderr if shown else subprocess.PIPE,
            stderr=None if shown else subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise Failed(f"{words[0]} is not installed here", f"On Debian and Ubuntu: apt-get install {words[0]}") from None
    except subprocess.TimeoutExpired:
        raise ToolFailed(name, -1, f"not done within {timeout:.0f} s") from None
    if done.returncode:
        lines = (done.stderr or "").strip().splitlines()
        raise ToolFailed(name, done.returncode, "\n".join(lines[-_TAIL:]))
    return done.stdout or ""


#: How a build's package managers reach their registries: handed to it where set, and kept in no image. (Proxies are
#: buildah's own matter.)
BUILD_SETTINGS = ("NPM_CONFIG_REGISTRY", "PIP_INDEX_URL")
_FOR_BUILDAH = (
    *("BUILDAH_ISOLATION", "CONTAINERS_REGISTRIES_CONF", "CONTAINERS_STORAGE_CONF", "REGISTRY_AUTH_FILE", "TMPDIR"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)


def as_root(program: str, *words: str | Path) -> list[str | Path]:
    """The command for a program that makes containers: a runner's user is not root, and may use sudo, which hands on
    only the variables that are named.
    """
    command: list[str | Path] = [program, *words]
    if os.geteuid() == 0:
        return command
    return ["sudo", f"--preserve-env={','.join((*_FOR_BUILDAH, *BUILD_SETTINGS))}", *command]


def is_here(repository: str) -> bool:
    """Whether a repository's registry is on this machine: it may then speak plain HTTP, as Docker has it."""
    return re.match(r"(127\.0\.0\.1|localhost)(:\d+)?/", repository) is not None


def output(**values: str) -> None:
    """Outputs of the step for the workflow (GITHUB_OUTPUT), and lines `name=value` on stdout for everybody else."""
    for name, value in values.items():
        if re.search(r"[\r\n]", value):
            raise ValueError(f"output {name} has a line break")
    lines = "".join(f"{name}={value}\n" for name, value in values.items())
    sys.stdout.write(lines)
    sys.stdout.flush()
    _append("GITHUB_OUTPUT", lines)


def summary(*lines: str) -> None:
    """Lines of Markdown for the summary of the workflow's run. Elsewhere they are not shown."""
    _append("GITHUB_STEP_SUMMARY", "".join(f"{line}\n" for line in lines))


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)


def scrubbed(text: str, secrets: Sequence[str]) -> str:
    """The text without the values of secrets, which a server or a program may have repeated."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def main(name: str, story: Callable[[], None], secrets: Sequence[str] = ()) -> int:
    """Runs a script's story; a failure of a known kind is told in a few lines, with no traceback. Its exit status.

    `secrets`: values that must not be shown, whoever repeats them.
    """
    try:
        story()
    except Failed as failure:
        what, hint = scrubbed(str(failure), secrets), scrubbed(failure.hint, secrets)
        say(f"{name}: FAILED: {what}")
        if hint:
            say(f"  next: {hint}")
        summary(f"**{name} failed**: {what}", *([f"Next: {hint}"] if hint else []))
        return 1
    return 0
