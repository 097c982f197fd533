"""What actions do here: checkout, artifacts, and caches and tool set-ups that do nothing. Others are a test's own."""

from __future__ import annotations

import base64
import glob
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias

from tests.workflow.event import WorkflowError, known
from tests.workflow.values import Value


class StepFailed(Exception):
    """The step fails; its log tells this."""


@dataclass(frozen=True)
class JobContext:
    """What a step's action may look at and touch. `env`: the environment as the step was handed it."""

    job: str
    workspace: Path
    temp: Path
    env: Mapping[str, str]
    github: Mapping[str, Value]
    artifacts: Path
    origin: Path


#: The inputs of a step (`with:`) and its job → the step's outputs.
Action: TypeAlias = Callable[[Mapping[str, str], JobContext], "Mapping[str, str] | None"]


def action(uses: str, given: Mapping[str, Action]) -> Action:
    """What stands for `owner/name@ref` here: the test's own, else one of this module."""
    name = uses.partition("@")[0]
    if name in given:
        return given[name]
    if name.rpartition("/")[2].startswith("setup-") or name.startswith("actions/cache"):
        return lambda inputs, job: None
    if name not in _BUILT_IN:
        raise WorkflowError(f"nothing stands for {name} here: give it in `actions`")
    return _BUILT_IN[name]


def _checkout(inputs: Mapping[str, str], job: JobContext) -> Mapping[str, str]:
    """The repository at the event's commit, or at `ref`; one commit deep, without tags, as actions/checkout does it."""
    known(inputs, {"ref", "fetch-depth", "fetch-tags", "persist-credentials", "token"}, "actions/checkout")
    depth, tags = int(inputs.get("fetch-depth") or 1), inputs.get("fetch-tags") == "true"
    _git(job, "init", "-q", "-b", "main")
    _git(job, "remote", "add", "origin", job.origin.resolve().as_uri())
    ref, commit = str(job.github["ref"]), str(job.github["sha"])
    if inputs.get("ref"):
        ref, commit = _resolved(inputs["ref"], job)
    if depth == 0:
        _git(job, "fetch", "-q", "origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
    target = ref.replace("refs/heads/", "refs/remotes/origin/").replace("refs/pull/", "refs/remotes/pull/")
    words = [f"--depth={depth}"] if depth else []
    words += ["--tags"] if tags else ["--no-tags"]
    source = ref if ref.startswith("refs/tags/") else commit
    _git(job, "fetch", "-q", *words, "origin", f"+{source}:{target}" if ref else commit)
    if ref.startswith("refs/heads/"):
        _git(job, "checkout", "-q", "--force", "-B", ref.removeprefix("refs/heads/"), target)
    else:
        _git(job, "checkout", "-q", "--force", "--detach", target or commit)
    token = inputs.get("token") or str(job.github["token"])
    if token and inputs.get("persist-credentials", "true") != "false":
        _keep_token(token, job)
    return {"ref": ref, "commit": commit}


def _resolved(wanted: str, job: JobContext) -> tuple[str, str]:
    """The full name and the commit of a `ref` as it was given; no name for a commit."""
    if len(wanted) == 40 and not set(wanted) - set("0123456789abcdef"):
        return "", wanted
    full = [wanted] if wanted.startswith("refs/") else [f"refs/heads/{wanted}", f"refs/tags/{wanted}"]
    there = dict(line.split("\t")[::-1] for line in _git(job, "ls-remote", "origin", *full).splitlines())
    for name in full:
        if name in there:
            return name, there[name]
    raise StepFailed(f"a branch or tag with the name {wanted!r} could not be found")


def _keep_token(token: str, job: JobContext) -> None:
    """The token for git, in a file under RUNNER_TEMP that the checkout's configuration includes."""
    header = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    kept = job.temp / "git-credentials.config"
    _git(
        job,
        "config",
        "-f",
        str(kept),
        f"http.{job.github['server_url']}/.extraheader",
        f"AUTHORIZATION: basic {header}",
    )
    _git(job, "config", "--local", "include.path", str(kept))


def _git(job: JobContext, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=job.workspace, env=job.env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepFailed(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout


def matching(workspace: Path, patterns: Iterable[str], hidden: bool) -> list[Path]:
    """The files that patterns name, themselves or by their folder; one with `!` takes back. Sorted."""
    found: set[Path] = set()
    for pattern in patterns:
        where = os.path.join(glob.escape(str(workspace)), pattern.removeprefix("!"))
        hits = [Path(hit) for hit in glob.glob(where, recursive=True, include_hidden=hidden)]
        files = {file for hit in hits for file in (hit, *hit.rglob("*")) if file.is_file()}
        if not hidden:
            above = _root(workspace, pattern).parent
            files = {file for file in files if not any(part[0] == "." for part in file.relative_to(above).parts)}
        found = found - files if pattern.startswith("!") else found | files
    return sorted(found)


def _root(workspace: Path, pattern: str) -> Path:
    """The part of a pattern before its first wildcard."""
    parts = Path(os.path.normpath(workspace / pattern.removeprefix("!"))).parts
    return Path(*takewhile(lambda part: not set(part) & set("*?["), parts))


def hash_files(workspace: Path, *patterns: Value) -> str:
    """One digest of the contents of the workspace's files that match; '' where there are none."""
    lines = [line for pattern in patterns for line in str(pattern).splitlines()]
    files = [file for file in matching(workspace, lines, hidden=True) if file.is_relative_to(workspace)]
    digests = b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)
    return hashlib.sha256(digests).hexdigest() if files else ""


def _upload(inputs: Mapping[str, str], job: JobContext) -> Mapping[str, str] | None:
    """Files into an artifact: without their modes, and as deep as actions/upload-artifact puts them."""
    covered = {"name", "path", "if-no-files-found", "overwrite", "include-hidden-files"}
    known(inputs, covered | {"retention-days", "compression-level"}, "actions/upload-artifact")
    name = inputs.get("name") or "artifact"
    patterns = [line.strip() for line in inputs["path"].splitlines() if line.strip()]
    files = matching(job.workspace, patterns, hidden=inputs.get("include-hidden-files") == "true")
    if not files and inputs.get("if-no-files-found") == "error":
        raise StepFailed(f"no files were found with the provided path: {inputs['path']}")
    if not files:
        return None
    target = job.artifacts / name
    if target.exists() and inputs.get("overwrite") != "true":
        raise StepFailed(f"an artifact with the name {name} is there already")
    shutil.rmtree(target, ignore_errors=True)
    base = Path(os.path.commonpath([_root(job.workspace, line) for line in patterns if line[0] != "!"]))
    for file in files:
        place = target / file.relative_to(base if base.is_dir() else base.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    return {"artifact-id": name, "artifact-url": target.as_uri(), "artifact-digest": hash_files(target, "**")}


def _download(inputs: Mapping[str, str], job: JobContext) -> Mapping[str, str]:
    """An artifact of this run into a folder; without a name all of them, each into a folder of its own."""
    known(inputs, {"name", "path"}, "actions/download-artifact")
    target = job.workspace / inputs.get("path", "")
    name = inputs.get("name", "")
    if not (job.artifacts / name).is_dir():
        raise StepFailed(f"artifact not found: {name or 'there is none'}")
    shutil.copytree(job.artifacts / name, target, dirs_exist_ok=True)
    return {"download-path": str(target)}


_BUILT_IN: Mapping[str, Action] = {
    "actions/checkout": _checkout,
    "actions/upload-artifact": _upload,
    "actions/download-artifact": _download,
}
