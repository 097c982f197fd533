"""What the roles say of the modules' options, derived: `make options` writes it, and the unit tests compare.

An option is written in `_options/argspec.py` (type, default, choices) and in a fragment of documentation, or in its
module's own (what it means). From these come each variable in a role's `meta/argument_specs.yml`, and each line of a
role's task that hands a variable on to a module. Whatever else stands in those files is written by hand and stays.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Spec
from ansible_collections.digitalsys.agents.plugins.module_utils._options import argspec
from tests.sandbox.paths import CHECKOUT

from .gate import GateFailed

PLUGINS = CHECKOUT / "plugins"
WIDTH = 120
#: Module -> option -> sentences. Those of the fragments stand under "".
Words = Mapping[str, Mapping[str, list[str]]]
#: A key of a YAML mapping ("" for a comment), and its lines.
Item = tuple[str, list[str]]

#: Options whose variables are those of the role agent, whichever role reads them.
OF_AN_AGENT = {*argspec.OF_AN_AGENT, *argspec.HOLDER}
#: Logins come from the environment.
_LOGINS = {*argspec.KUBE, *argspec.VAULT}
_OF_A_ROTATION = set(argspec.ROTATION_MODULE) - _LOGINS - OF_AN_AGENT
_OF_ONE_RUN = ("image", "tag", "accept_volume", "despite_rotation", "restart_id")
#: What a person is asked for when a run begins, or has copied from what a run printed: an empty answer is none.
_MAY_BE_EMPTY = {*argspec.HOLDER, *_OF_A_ROTATION, *_OF_ONE_RUN, "cluster_uid", "secrets"}
#: What one task hands to the next: no option of any module.
_HANDED_ON = {"agent_run"}


@dataclass(frozen=True)
class Source:
    """Options that variables of a role feed: those of spec, without some (which a task says itself, or leaves out).

    module: whose task, in the file named task, gets them. Where there is none, the filter agent_options reads them.
    renamed: option -> variable, where the option of an agent has that name already.
    """

    role: str
    spec: Spec
    without: tuple[str, ...] = ()
    module: str = ""
    task: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)

    def options(self) -> list[str]:
        return [option for option in self.spec if option not in {*_LOGINS, *self.without}]

    def variable(self, option: str) -> str:
        owner = "agent" if option in OF_AN_AGENT else self.role
        return self.renamed.get(option, f"{owner}_{option}")


FLEET = Source("agent", argspec.OF_AN_AGENT, ("name",))
#: Read by the plan, which settles it for the rollout.
IMAGE = Source("agent", {"image": argspec.AGENT["image"]})
PLACE = Source("agent", argspec.PLACE)
#: Its agents' own options tell the cluster.
_NOT_OF_A_PLAN = ("agents", "cluster_uid", "allow_insecure")
_OF_A_RUN = {"image": "agent_run_image", "tag": "agent_run_tag"}
PLAN = Source("agent", argspec.PLAN_MODULE, _NOT_OF_A_PLAN, "agent_plan", "plan", _OF_A_RUN)
#: The first ones come from the host, the plan and what provided access; to_release is for a person who goes back.
_NOT_OF_A_ROLLOUT = ("name", "image", "restart_id", "foretold_keys", "to_release")
ROLLOUT = Source("agent", argspec.ROLLOUT_MODULE, _NOT_OF_A_ROLLOUT, "agent_rollout", "rollout")
_OF_A_RENEWAL = ("secret_id", "rotation_id", "sync_timeout")
PROVISION = Source("agent", argspec.ACCESS_MODULE, ("name", *_OF_A_RENEWAL), "agent_access", "provision")
_OF_A_STATUS = {"secrets": "agent_status_secrets", "gateway": "agent_status_gateway"}
STATUS = Source("agent", argspec.INFO_MODULE, ("names", "places"), "agent_info", "status", _OF_A_STATUS)
ROTATION = Source("agent_secrets", argspec.ROTATION_MODULE, ("name",), "agent_rotation", "rotate")
#: A renewal reads none of these.
_OF_A_PROVISION = ("required_keys", "vault_mount", "vault_path", "key_policy", "secret_id_ttl", "token_ttl")
_NOT_OF_A_RENEWAL = ("name", "secret_id", *_OF_A_PROVISION)
RENEWAL = Source("agent_secrets", argspec.ACCESS_MODULE, _NOT_OF_A_RENEWAL, "agent_access", "rotate_access")
TASKS = (PLAN, ROLLOUT, PROVISION, STATUS, ROTATION, RENEWAL)
#: Role -> entry point -> where its variables come from. Of two sources with the same one, the first has the word.
ENTRY_POINTS: dict[str, dict[str, tuple[Source, ...]]] = {
    "agent": {
        "main": (FLEET, PLAN, ROLLOUT),
        "plan": (FLEET, PLAN),
        "provision": (PROVISION,),
        "rollout": (IMAGE, ROLLOUT),
        "status": (STATUS, PLACE),
    },
    "agent_secrets": {"main": (ROTATION,), "rotate_access": (RENEWAL,)},
}


def _texts(path: Path) -> dict[str, str]:
    """Strings that a file gives a name. Not imported: a module half written is no reason to stop."""
    given = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assign)]
    named = {ast.unparse(node.targets[0]): node.value for node in given}
    return {name: str(value.value) for name, value in named.items() if isinstance(value, ast.Constant)}


def _sentences(documentation: str) -> dict[str, list[str]]:
    told = yaml.safe_load(documentation).get("options") or {}
    said = {option: rules["description"] for option, rules in told.items() if "description" in rules}
    return {option: [words] if isinstance(words, str) else words for option, words in said.items()}


def documented() -> Words:
    """The words of all fragments, and of the modules' own documentation."""
    shared: dict[str, list[str]] = {}
    for path in sorted(PLUGINS.glob("doc_fragments/*.py")):
        for documentation in _texts(path).values():
            shared |= _sentences(documentation)
    modules = {source.module for source in TASKS}
    own = {name: _sentences(_texts(PLUGINS / f"modules/{name}.py")["DOCUMENTATION"]) for name in modules}
    return {"": shared, **own}


def _in_a_role(sentence: str, source: Source) -> str:
    """O(x) becomes the role's variable. A role returns nothing, so RV(x) says that it is the module's."""
    sentence = re.sub(r"\bO\((\w+)([^)#]*)\)", lambda found: f"O({source.variable(found[1])}{found[2]})", sentence)
    return re.sub(r"\bRV\(([^)#]+)\)", rf"RV(digitalsys.agents.{source.module}#module:\1)", sentence)


def _told(option: str, source: Source, words: Words) -> dict[str, Any]:
    said = words[source.module].get(option) or words[""].get(option)
    if not said:
        raise GateFailed(f"{option} stands in argspec.py, but plugins/doc_fragments does not say what it means")
    rules = source.spec[option]
    told: dict[str, Any] = {"description": [_in_a_role(sentence, source) for sentence in said]}
    return told | {key: rules[key] for key in ("type", "elements", "choices", "required", "default") if key in rules}


def _variables(points: Mapping[str, tuple[Source, ...]], words: Words) -> dict[str, dict[str, Any]]:
    """Variable -> what argument_specs.yml has to say of it, in one place for the whole role."""
    variables: dict[str, dict[str, Any]] = {}
    for source in (source for sources in points.values() for source in sources):
        for option in source.options():
            variable = source.variable(option)
            told = _told(option, source, words)
            first = variables.setdefault(variable, told)
            if {**told, "description": ""} != {**first, "description": ""}:
                raise GateFailed(f"{variable} is not the same for all that read it: {told}, {first}")
    return variables


def _read(sources: Iterable[Source]) -> list[str]:
    """Variables that an entry point reads, each once."""
    return list(dict.fromkeys(source.variable(option) for source in sources for option in source.options()))


def _scalar(text: str, around: str) -> str:
    """In quotes only where, inside of what is around it, it would mean something else without."""
    try:
        plain = yaml.safe_load(around % text) == [text]
    except yaml.YAMLError:
        plain = False
    return text if plain else json.dumps(text, ensure_ascii=False)


def _flow(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    return _scalar(value, "[%s]") if isinstance(value, str) else json.dumps(value)


def _wrapped(text: str, head: str) -> list[str]:
    """Below the first word of text where it takes more than a line: head ends with a key or a dash."""
    indent = " " * (len(head) - len(head.lstrip()) + 2)
    fold = textwrap.TextWrapper(WIDTH, f"{head} ", indent, break_long_words=False, break_on_hyphens=False)
    return fold.wrap(text)


def _body(told: Mapping[str, Any]) -> list[str]:
    sentences = [_scalar(sentence, "- %s") for sentence in told["description"]]
    lines = ["        description:"]
    if len(sentences) == 1:
        lines = _wrapped(sentences[0], lines[0])
    else:
        lines += [line for sentence in sentences for line in _wrapped(sentence, "          -")]
    rules = [_wrapped(_flow(value), f"        {key}:") for key, value in told.items() if key != "description"]
    return [*lines, *(line for rule in rules for line in rule)]


def _says(body: list[str], told: Mapping[str, Any]) -> bool:
    """Lines that say it already stay: how they are broken is nobody's business."""
    said = yaml.safe_load("\n".join(body)) or {}
    if isinstance(said.get("description"), str):
        said["description"] = [said["description"]]
    return json.dumps(said, sort_keys=True) == json.dumps(told, sort_keys=True)


def _section(lines: list[str], head: str, start: int = 0) -> tuple[int, int]:
    """From below the line that matches head to the end of what is indented deeper."""
    for at in range(start, len(lines)):
        if re.fullmatch(head, lines[at]):
            deeper = " " * (len(lines[at]) - len(lines[at].lstrip()) + 1)
            below = range(at + 1, len(lines))
            return at + 1, next((end for end in below if not lines[end].startswith(deeper)), len(lines))
    raise GateFailed(f"no line like {head}")


def _items(lines: list[str]) -> list[Item]:
    """The keys of a mapping, each with what is indented deeper."""
    deeper = " " * (len(lines[0]) - len(lines[0].lstrip()) + 1)
    items: list[Item] = []
    for line in lines:
        if items and line.startswith(deeper):
            items[-1][1].append(line)
        else:
            key = re.match(r" *(\w+):", line)
            items.append((key[1] if key else "", [line]))
    return items


def merged(present: list[Item], wanted: Mapping[str, list[str]], is_derived: Callable[[Item], bool]) -> list[str]:
    """The order stays. What is new comes behind its predecessor in wanted; what is derived from nothing more goes."""
    items = [(item[0], wanted.get(item[0], item[1])) for item in present if item[0] in wanted or not is_derived(item)]
    before = ""
    for key, lines in wanted.items():
        keys = [one for one, _ in items]
        if key not in keys:
            first = next((at for at, one in enumerate(keys) if one in wanted), len(keys))
            items.insert(keys.index(before) + 1 if before else first, (key, lines))
        before = key
    return [line for _, lines in items for line in lines]


def role_spec(text: str, role: str, points: Mapping[str, tuple[Source, ...]], words: Words) -> str:
    """argument_specs.yml as it must be: each variable written out where it stands first, elsewhere an alias of that."""
    told = _variables(points, words)
    read = {point: _read(sources) for point, sources in points.items()}
    uses = Counter(variable for variables in read.values() for variable in variables)
    lines = text.splitlines()
    written: set[str] = set()
    for point, variables in read.items():
        start, _ = _section(lines, rf"  {point}:( &\w+)?")
        start, end = _section(lines, r"    options:( &\w+)?", start)
        present = _items(lines[start:end])
        wanted: dict[str, list[str]] = {}
        for variable in variables:
            anchor = variable.removeprefix(f"{role}_").removeprefix("agent_")
            if variable in written:
                wanted[variable] = [f"      {variable}: *{anchor}"]
            else:
                head = f"      {variable}:" + (f" &{anchor}" if uses[variable] > 1 else "")
                body = dict(present).get(variable, [head])[1:]
                wanted[variable] = [head, *(body if _says(body, told[variable]) else _body(told[variable]))]
        written |= set(wanted)
        lines[start:end] = merged(present, wanted, lambda item: bool(item[0]) and item[0] not in _HANDED_ON)
    return "\n".join(lines) + "\n"


def role_task(text: str, source: Source) -> str:
    """A file of tasks as it must be: the module is given each option whose variable is set."""
    wanted: dict[str, list[str]] = {}
    for option in source.options():
        empty = ", true" if option in _MAY_BE_EMPTY else ""
        wanted[option] = [f'    {option}: "{{{{ {source.variable(option)} | default(omit{empty}) }}}}"']
    handed_on = re.compile(r' +\w+: "\{\{ \w+ \| default\(omit(, true)?\) \}\}"')
    lines = text.splitlines()
    start, end = _section(lines, rf"  digitalsys\.agents\.{source.module}:")
    lines[start:end] = merged(_items(lines[start:end]), wanted, lambda item: bool(handed_on.fullmatch(item[1][0])))
    return "\n".join(lines) + "\n"


def derivations() -> dict[str, Callable[[str], str]]:
    """File -> what makes of its text the text that it must have."""
    words = documented()
    found: dict[str, Callable[[str], str]] = {
        f"roles/{role}/meta/argument_specs.yml": partial(role_spec, role=role, points=points, words=words)
        for role, points in ENTRY_POINTS.items()
    }
    return found | {f"roles/{one.role}/tasks/{one.task}.yml": partial(role_task, source=one) for one in TASKS}


def main() -> int:
    try:
        texts = {CHECKOUT / name: derive((CHECKOUT / name).read_text()) for name, derive in derivations().items()}
    except GateFailed as why:
        print(why, file=sys.stderr)
        return 1
    for path, text in texts.items():
        if path.read_text() != text:
            unfinished = path.with_suffix(".new")
            unfinished.write_text(text)
            shutil.copymode(path, unfinished)
            unfinished.replace(path)
            print(path.relative_to(CHECKOUT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
