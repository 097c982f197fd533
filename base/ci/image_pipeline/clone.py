"""A repository that is thrown away, for one commit on top of a branch of the remote."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from image_pipeline.tools import Failed, ToolFailed, run, scrubbed

BOT = {"NAME": "github-actions[bot]", "EMAIL": "41898282+github-actions[bot]@users.noreply.github.com"}
TOKEN = "HANDOVER_GIT_TOKEN"
_SECONDS = 300
#: What Git runs for a login. It holds the variable's name, and the shell prints its value.
_HELPER = f"""!f() {{ if [ "$1" = get ]; then printf 'username=x-access-token\\npassword=%s\\n' "${TOKEN}"; fi; }}; f"""


@dataclass(frozen=True)
class Clone:
    """The token goes to `site` alone, and to Git by an environment variable alone."""

    folder: Path
    remote: str
    site: str
    token: str = field(repr=False)

    def git(self, *words: str) -> str:
        settings = environment(self.site, self.token)
        try:
            return run("git", "-C", self.folder, *words, env=settings, timeout=_SECONDS).strip()
        except ToolFailed as error:
            raise told(self.remote, scrubbed(error.said, [self.token])) from None

    def fetch(self, base: str, branch: str) -> str:
        """Checks the base out. The commit that the branch has on the remote, or nothing."""
        self.git("init", "--quiet")
        wanted = [f"refs/heads/{name}" for name in (base, branch)]
        lines = [line.split() for line in self.git("ls-remote", self.remote, *wanted).splitlines()]
        ours, theirs = ({ref: commit for commit, ref in lines}.get(name, "") for name in wanted)
        if not ours:
            raise Failed(f"{self.remote} has no branch {base}", "Give the right one by --base.")
        commits = [ours, theirs] if theirs else [ours]
        self.git("fetch", "--quiet", "--no-tags", "--depth=2", self.remote, *commits)
        self.git("checkout", "--quiet", "--detach", ours)
        return theirs

    def read(self, file: str) -> str:
        """A file of the base, with its own line ends."""
        try:
            return (self.folder / file).read_bytes().decode()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise Failed(f"{self.remote}: {file} cannot be read: {why}", "Give the right one by --file.") from None

    def commit(self, file: str, text: str, message: str) -> None:
        (self.folder / file).write_bytes(text.encode())
        self.git("commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", message, "--", file)

    def is_same(self, commit: str) -> bool:
        """Whether a commit of the remote holds the same files as ours, on top of the same commit."""
        return bool(commit) and len({self.git("log", "-1", "--format=%T %P", one) for one in (commit, "HEAD")}) == 1

    def push(self, branch: str, theirs: str) -> None:
        """Over what was there when we looked, and over nothing else."""
        lease = f"--force-with-lease=refs/heads/{branch}:{theirs}"
        self.git("push", "--quiet", "--no-verify", lease, self.remote, f"HEAD:refs/heads/{branch}")


def environment(site: str, token: str) -> dict[str, str]:
    """Git's settings for one command, none of which is written down: who commits, and the login for one site."""
    url = urlsplit(site)
    settings = (("credential.helper", ""), (f"credential.{url.scheme}://{url.netloc}.helper", _HELPER))
    found = {TOKEN: token, "GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    for role in ("AUTHOR", "COMMITTER"):
        found |= {f"GIT_{role}_{part}": value for part, value in BOT.items()}
    return found | {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "LC_ALL": "C"}  # its words are judged below


_CAUSES = (
    (
        r"stale info|fetch first|cannot lock ref|failed to update ref",
        "somebody moved the branch at the same time",
        "Run this again.",
    ),
    (
        r"GH006|GH013|protected branch|rule violations",
        "the branch is protected",
        "Take it out of the repository's rules for branches, or let the token's owner pass them.",
    ),
    (
        r"authentication failed|could not read (username|password)|invalid (username|credentials)|returned error: 401",
        "the token is not taken",
        "It has ended or was revoked, or is for another server: make a new one.",
    ),
    (
        r"permission to .* denied|write access .* not granted|returned error: 403",
        "the token may not write",
        "It needs the right contents: write on this repository.",
    ),
    (
        r"not found|does not appear to be a git repository|returned error: 404",
        "there is no such repository, or the token may not see it",
        "Look at GITHUB_REPOSITORY, and at what the token is for.",
    ),
    (
        r"rejected|hook declined",
        "the push is rejected",
        "The words are the server's; nothing was changed.",
    ),
    (
        r"certificate",
        "no certificate that this machine trusts",
        "Look at GITHUB_SERVER_URL; a certificate authority of your own is told by GIT_SSL_CAINFO.",
    ),
    (
        r"could not resolve|failed to connect|could(n't| not) connect|timed out|not done within|unable to access",
        "it cannot be reached",
        "Look at GITHUB_SERVER_URL and at the network, and run this again.",
    ),
)


def told(remote: str, said: str) -> Failed:
    """What a person needs to know of Git's words."""
    lines = [line.strip() for line in said.splitlines() if re.match(r"remote: *\S|fatal:|error:| ! ", line)]
    cause = " / ".join(lines)[:400] or said[-400:]
    for pattern, what, hint in _CAUSES:
        if re.search(pattern, said, re.IGNORECASE):
            return Failed(f"Git and {remote}: {what}: {cause}", hint)
    return Failed(f"Git and {remote}: {cause}", "The words are Git's.")
