"""What AWX refuses in credential types and surveys, and how it renders a credential type's injectors."""

from __future__ import annotations

import copy
from typing import Any

from jinja2 import StrictUndefined, Undefined, UndefinedError, sandbox

Item = dict[str, Any]
ENCRYPTED = "$encrypted$"


class Refused(Exception):
    """AWX's answer to a request that it does not obey: a status and a body."""

    def __init__(self, status: int, body: Item) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


def validate_credential_type(item: Item) -> None:
    fields = item["inputs"].get("fields", [])
    for one in fields:
        one.setdefault("type", "string")
    for name in item["injectors"].get("env", {}):
        if name.startswith("ANSIBLE_"):
            raise Refused(
                400, {"injectors": [f"Environment variable {name} is not allowed to be used in credentials."]}
            )
    render_injectors(item, {one["id"]: "EXAMPLE" for one in fields}, strict=True)


def render_injectors(credential_type: Item, inputs: Item, strict: bool = False) -> dict[str, str]:
    """The environment that a job gets from a credential; inputs nobody filled in are undefined, as in AWX."""
    environment = sandbox.ImmutableSandboxedEnvironment(undefined=StrictUndefined if strict else Undefined)
    injectors = credential_type["injectors"]
    files = {label.partition(".")[2]: f"/runner/env/{label}" for label in injectors.get("file", {})}
    names = {**inputs, "tower": {"filename": files}}
    try:
        for template in injectors.get("file", {}).values():
            environment.from_string(template).render(names)
        return {key: environment.from_string(value).render(names) for key, value in injectors.get("env", {}).items()}
    except UndefinedError as error:
        raise Refused(400, {"injectors": [f"uses an undefined field ({error})"]}) from error


def validate_survey(sent: Item) -> None:
    if not all(isinstance(sent.get(key), str) for key in ("name", "description")) or not sent.get("spec"):
        raise Refused(400, {"error": "name, description and spec are needed, and spec holds questions."})
    for question in sent["spec"]:
        for key, kind in {"type": str, "question_name": str, "variable": str, "required": bool}.items():
            if not isinstance(question.get(key), kind):
                raise Refused(400, {"error": f"'{key}' expected to be {kind.__name__}."})
        if any(not isinstance(question.get(key, 0), int) for key in ("min", "max")):
            raise Refused(400, {"error": "The limit in survey question expected to be integer."})
        if question["type"] == "multiplechoice":
            if not question.get("choices"):
                raise Refused(400, {"error": "Survey question must specify choices."})
            if question.get("default") and not is_answer(question, question["default"]):
                raise Refused(400, {"error": "Default choice must be answered from the choices listed."})
    if len({question["variable"] for question in sent["spec"]}) != len(sent["spec"]):
        raise Refused(400, {"error": "'variable' duplicated."})


def shown_survey(survey: Item) -> Item:
    """As AWX answers it: what a password has for a default stays hidden."""
    answer = copy.deepcopy(survey)
    for question in answer.get("spec", []):
        if question["type"] == "password" and question.get("default"):
            question["default"] = ENCRYPTED
    return answer


def is_answer(question: Item, given: str) -> bool:
    """Whether AWX takes this as an answer. An empty one is no choice."""
    if question["type"] == "multiplechoice":
        return given in question["choices"].splitlines()
    return question.get("min", 0) <= len(given) <= question.get("max", len(given))
