"""What starts a workflow: an event, whether a workflow's `on:` lets it start, and the inputs it brings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.workflow.values import Value, text

_REF_FILTERS = {"branches", "branches-ignore", "paths", "paths-ignore"}
_FILTERS = {
    "push": _REF_FILTERS | {"tags", "tags-ignore"},
    "pull_request": _REF_FILTERS | {"types"},
    "workflow_dispatch": {"inputs"},
}
_DEFAULT_TYPES = ["opened", "synchronize", "reopened"]


class WorkflowError(Exception):
    """GitHub would refuse this workflow or this use of it, or it asks for something that is not simulated."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2, as GitHub reads it: `on`, `yes` and `2026-01-31` are strings."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+0123456789."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), list(_first))
# PyYAML's own reads 010 as octal.
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


def load(path: Path) -> dict[str, Any]:
    """A workflow file's content."""
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Any]:
    """The content of a workflow file's text."""
    content: dict[str, Any] = yaml.load(text, Loader=_Loader)  # a SafeLoader
    return content


def known(mapping: Mapping[str, Any], keys: set[str], where: str) -> Mapping[str, Any]:
    """The mapping, if it has no other keys: what is not simulated must not pass unseen."""
    if unknown := set(mapping) - keys:
        raise WorkflowError(f"{where}: {', '.join(sorted(unknown))} is not simulated")
    return mapping


@dataclass(frozen=True)
class Event:
    """Use the constructors. `changed`: the paths that a push or a pull request touches, which `paths:` looks at."""

    name: str
    ref: str
    head: str = ""
    base: str = ""
    number: int = 0
    action: str = ""
    fork: bool = False
    cron: str = ""
    changed: tuple[str, ...] = ()
    given: Mapping[str, bool | float | str] = field(default_factory=dict)

    @classmethod
    def push(cls, branch: str = "main", *, tag: str = "", changed: Sequence[str] = ()) -> Event:
        """A push to a branch, or of a tag."""
        return cls("push", f"refs/tags/{tag}" if tag else f"refs/heads/{branch}", changed=tuple(changed))

    @classmethod
    def pull_request(
        cls,
        head: str,
        base: str = "main",
        *,
        number: int = 1,
        action: str = "opened",
        fork: bool = False,
        changed: Sequence[str] = (),
    ) -> Event:
        """A pull request from the branch `head`. From a fork it is given no secret."""
        ref = f"refs/pull/{number}/merge"
        return cls("pull_request", ref, head, base, number, action, fork, changed=tuple(changed))

    @classmethod
    def schedule(cls, cron: str = "", branch: str = "main") -> Event:
        """The clock. Without `cron`, any of the workflow's schedules."""
        return cls("schedule", f"refs/heads/{branch}", cron=cron)

    @classmethod
    def dispatch(cls, inputs: Mapping[str, bool | float | str] | None = None, branch: str = "main") -> Event:
        """By hand. Inputs that are not given have the workflow's defaults."""
        return cls("workflow_dispatch", f"refs/heads/{branch}", given=dict(inputs or {}))

    def starts(self, workflow: Mapping[str, Any]) -> bool:
        """Whether the workflow's `on:` lets this event start it."""
        on = _triggers(workflow)
        if self.name not in on:
            return False
        if self.name == "schedule":
            return not self.cron or self.cron in [entry["cron"] for entry in on["schedule"]]
        filters = known(on[self.name] or {}, _FILTERS[self.name], f"on.{self.name}")
        if self.name == "pull_request" and self.action not in _listed(filters.get("types", _DEFAULT_TYPES)):
            return False
        return self._ref_passes(filters) and self._paths_pass(filters)

    def _ref_passes(self, filters: Mapping[str, Any]) -> bool:
        kind, other = ("tags", "branches") if self.ref.startswith("refs/tags/") else ("branches", "tags")
        passes = _passes(filters, kind, [self.base or self.ref.split("/", 2)[2]])
        # A filter for branches alone keeps tags out, and the other way round.
        return passes if passes is not None else not {other, f"{other}-ignore"} & set(filters)

    def _paths_pass(self, filters: Mapping[str, Any]) -> bool:
        # Pushes of tags are not asked for their paths.
        return self.ref.startswith("refs/tags/") or _passes(filters, "paths", self.changed) is not False

    def inputs(self, workflow: Mapping[str, Any]) -> dict[str, Value]:
        """The context `inputs`: of their types, with defaults. Empty for everything but a start by hand."""
        if self.name != "workflow_dispatch":
            return {}
        specs: Mapping[str, Any] = (_triggers(workflow)[self.name] or {}).get("inputs") or {}
        known(self.given, set(specs), "inputs given")
        return {name: _typed(name, spec or {}, self.given.get(name)) for name, spec in specs.items()}

    def payload(self, repository: str, commit: str, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """The context `github.event`, as far as it is simulated; its inputs are strings. `commit`: what was pushed."""
        event: dict[str, Value] = {"repository": {"full_name": repository, "default_branch": "main"}}
        if self.name == "pull_request":
            origin: Value = {"full_name": "somebody/fork" if self.fork else repository, "fork": self.fork}
            head: Value = {"ref": self.head, "sha": commit, "repo": origin}
            base: Value = {"ref": self.base, "repo": {"full_name": repository, "fork": False}}
            event |= {"action": self.action, "number": self.number}
            event["pull_request"] = {"number": self.number, "head": head, "base": base}
        elif self.name == "schedule":
            event["schedule"] = self.cron
        else:
            event["ref"] = self.ref
        if self.name == "workflow_dispatch":
            event["inputs"] = {name: text(value) for name, value in inputs.items()}
        return event


def _triggers(workflow: Mapping[str, Any]) -> Mapping[str, Any]:
    on = workflow["on"]
    return on if isinstance(on, dict) else dict.fromkeys(_listed(on))


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _typed(name: str, spec: Mapping[str, Any], given: Value) -> Value:
    kind = spec.get("type", "string")
    value = given if given is not None else spec.get("default", False if kind == "boolean" else None)
    if value is None and spec.get("required"):
        raise WorkflowError(f"input {name} is required")
    if kind == "boolean" and text(value) in ("true", "false"):
        return text(value) == "true"
    if kind == "number" and isinstance(value, (int, float)):
        return value
    if kind in ("string", "environment") or (kind == "choice" and (value is None or value in spec["options"])):
        return text(value)
    raise WorkflowError(f"input {name}: {value!r} is no {kind} of this workflow")


def _passes(filters: Mapping[str, Any], key: str, names: Sequence[str]) -> bool | None:
    """Whether a filter or its `-ignore` lets one of the names through. None: there is neither."""
    if key in filters and f"{key}-ignore" in filters:
        raise WorkflowError(f"{key} and {key}-ignore cannot be used for one event")
    if key in filters:
        return any(chosen(filters[key], name) for name in names)
    if f"{key}-ignore" in filters:
        return not all(chosen(filters[f"{key}-ignore"], name) for name in names)
    return None


def chosen(patterns: str | Sequence[str], name: str) -> bool:
    """Whether the patterns, one after another, choose this name; one with `!` takes back what others chose."""
    result = False
    for pattern in _listed(patterns):
        if re.fullmatch(_regex(pattern.removeprefix("!")), name):
            result = not pattern.startswith("!")
    return result


def _regex(pattern: str) -> str:
    """GitHub's filter pattern: `*` without slash, `**` with; `?` and `+` repeat what is before them; `[…]`, `\\`."""
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "?", "+": "+"}
    parts = re.findall(r"\*\*/|\*\*|\*|\?|\+|\[[^\]]+\]|\\.|.", pattern)
    return "".join(signs.get(part) or (part if part[0] == "[" else re.escape(part[-1])) for part in parts)
