"""Behaves like AWX's API v2 for the modules that role awx uses, and records what it is asked.

It knows what AWX refuses (an unknown field, an id that does not exist, a playbook that the project does not hold, a
forbidden injector …) and what AWX changes in what it is sent (secrets, an input's type, a template's organization),
as read in AWX's source. It holds its state in memory.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field

from .jobs import JOBS, Jobs
from .kinds import KINDS, Kind
from .rules import ENCRYPTED, Item, Refused, shown_survey, validate_credential_type, validate_survey

API = "/api/v2/"
APPROVALS = "workflow_approval_templates"
PAGING = ("page_size", "order_by")
BEARER_TOKEN_TYPE = "OpenShift or Kubernetes API Bearer Token"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: Item

    @property
    def syncs_project(self) -> bool:
        return self.method == "POST" and self.path.endswith("/update/")


@dataclass
class Controller:
    """State of the server. token: what a client must show. playbooks: what a project holds once it was fetched."""

    token: str
    playbooks: frozenset[str]
    requests: list[Request] = field(default_factory=list)
    items: dict[str, dict[int, Item]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    links: dict[tuple[str, int, str], list[int]] = field(default_factory=dict)
    surveys: dict[tuple[str, int], Item] = field(default_factory=dict)
    fetched: set[int] = field(default_factory=set)
    jobs: Jobs = field(default_factory=Jobs)
    last_id: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.create("organizations", {"name": "Default"})
        secret = {"id": "bearer_token", "label": "API authentication bearer token", "type": "string", "secret": True}
        plain = [{"id": name, "label": name, "type": "string"} for name in ("host", "ssl_ca_cert")]
        verify = {"id": "verify_ssl", "label": "Verify SSL", "type": "boolean", "default": True}
        inputs = {"fields": [*plain, secret, verify], "required": ["host", "bearer_token"]}
        self.create("credential_types", {"name": BEARER_TOKEN_TYPE, "kind": "kubernetes", "inputs": inputs})

    # --- what tests ask

    def all(self, kind: str) -> dict[str, Item]:
        """Objects of a kind by name (nodes by identifier), as they are stored: secrets in plain text."""
        return {item.get("name") or item["identifier"]: item for item in self.items[kind].values()}

    def linked(self, kind: str, item: Item, link: str) -> list[str]:
        """Names of the objects that hang on an object by a link."""
        others = self.items[KINDS[kind].links[link]]
        found = [others[number] for number in self.links.get((kind, item["id"], link), [])]
        return sorted(other.get("name") or other["identifier"] for other in found)

    def survey(self, kind: str, item: Item) -> Item:
        return self.surveys.get((kind, item["id"]), {})

    def writes(self, since: int = 0) -> list[Request]:
        """Requests that change what AWX keeps. Fetching the project is none: it is asked for at every run."""
        return [one for one in self.requests[since:] if one.method != "GET" and not one.syncs_project]

    # --- what AWX does

    def kind_of(self, name: str) -> Kind:
        if name not in KINDS:
            raise Refused(404, {"detail": f"no list {name}"})
        return KINDS[name]

    def get(self, kind: str, number: int) -> Item:
        self.kind_of(kind)
        if number not in self.items[kind]:
            raise Refused(404, {"detail": "Not found."})
        return self.items[kind][number]

    def validate(self, name: str, sent: Item, item: Item) -> None:
        """Refuse what AWX refuses. sent: the request; item: the object as it would be."""
        kind = self.kind_of(name)
        unknown = sorted(set(sent) - set(kind.fields) - set(kind.ignored))
        if unknown:
            raise Refused(400, {key: ["AWX has no such field."] for key in unknown})
        empty = [key for key in kind.required if item.get(key) in (None, "")]
        if empty:
            raise Refused(400, {key: ["This field is required."] for key in empty})
        for key, target in kind.refers.items():
            if item.get(key) is not None and item[key] not in self.list_of(target):
                raise Refused(400, {key: [f'Invalid pk "{item[key]}" - object does not exist.']})
        if name == "credential_types":
            validate_credential_type(item)
        if name == "credentials":
            fields = {one["id"] for one in self.get("credential_types", item["credential_type"])["inputs"]["fields"]}
            if not set(item["inputs"]) <= fields:
                raise Refused(400, {"inputs": ["Additional properties are not allowed."]})
        if name == "job_templates":
            if item["project"] not in self.fetched or item["playbook"] not in self.playbooks:
                raise Refused(400, {"playbook": ["Playbook not found for project."]})
            item["organization"] = self.get("projects", item["project"])["organization"]
        if name == "inventory_sources":
            item["organization"] = self.get("inventories", item["inventory"])["organization"]
        if name == "schedules" and not ("DTSTART" in item["rrule"] and "INTERVAL" in item["rrule"]):
            raise Refused(400, {"rrule": ["Valid DTSTART and INTERVAL required in rrule."]})

    def list_of(self, name: str) -> dict[int, Item]:
        """Objects by id. Every id is given once only, so the lists of a unified list can be laid together."""
        if name == "unified_job_templates":
            unified = [self.items[kind] for kind, known in KINDS.items() if known.unified]
            return {number: item for items in unified for number, item in items.items()}
        self.kind_of(name)
        return self.items[name]

    def create(self, name: str, sent: Item) -> Item:
        kind = self.kind_of(name)
        self.last_id += 1
        item: Item = {**copy.deepcopy(kind.fields), **copy.deepcopy(sent), "id": self.last_id, "type": kind.type}
        item["url"] = f"{API}{name}/{self.last_id}/"
        self.validate(name, sent, item)
        twins = [one for one in self.items[name].values() if one.get("name") and one["name"] == item.get("name")]
        if any(one.get("organization") == item.get("organization") for one in twins):
            raise Refused(400, {"__all__": [f"{kind.type} with this name already exists."]})
        if name == "projects":
            item |= {"scm_revision": "", "status": "never updated"}
        self.items[name][self.last_id] = item
        return item

    def update(self, name: str, number: int, sent: Item) -> Item:
        item = {**self.get(name, number), **copy.deepcopy(sent), "type": self.kind_of(name).type}
        self.validate(name, sent, item)
        self.items[name][number] = item
        return item

    def shown(self, name: str, item: Item) -> Item:
        """An object as AWX answers it."""
        answer = copy.deepcopy(item)
        answer["related"] = {}
        answer["summary_fields"] = {}
        if KINDS[name].survey:
            answer["related"]["survey_spec"] = item["url"] + "survey_spec/"
        if name == "projects":
            answer["related"]["update"] = item["url"] + "update/"
            if item["id"] not in self.fetched:
                answer["summary_fields"]["current_update"] = {"id": item["id"], "status": "running"}
        if name == "workflow_job_template_nodes" and item["unified_job_template"] in self.items[APPROVALS]:
            answer["related"]["unified_job_template"] = f"{API}{APPROVALS}/{item['unified_job_template']}/"
        if name == "credentials":
            fields = self.get("credential_types", item["credential_type"])["inputs"]["fields"]
            secret = {one["id"] for one in fields if one.get("secret")}
            answer["inputs"] = {key: ENCRYPTED if key in secret else value for key, value in item["inputs"].items()}
        return answer

    def associate(self, name: str, number: int, link: str, sent: Item) -> None:
        self.get(name, number)
        target = self.kind_of(name).links[link]
        other = self.get(target, sent["id"])
        ids = self.links.setdefault((name, number, link), [])
        if sent.get("disassociate"):
            ids.remove(sent["id"])
            return
        if target == "credentials":
            types = [self.get(target, known)["credential_type"] for known in ids]
            if other["credential_type"] in types:
                raise Refused(400, {"error": "Cannot assign multiple credentials of one type."})
        ids.append(sent["id"])

    def find(self, name: str, query: list[tuple[str, str]]) -> list[Item]:
        found = []
        query = [(key, value) for key, value in query if key not in PAGING]
        for number, item in self.list_of(name).items():
            home = name if name in KINDS else next(kind for kind in KINDS if number in self.items[kind])
            either = [matches(item, key[len("or__") :], value) for key, value in query if key.startswith("or__")]
            every = [matches(item, key, value) for key, value in query if not key.startswith("or__")]
            if all(every) and (any(either) or not either):
                found.append(self.shown(home, item))
        return found

    def answer(self, method: str, path: str, query: list[tuple[str, str]], sent: Item) -> tuple[int, Item | str]:
        """Status and body for one request; a body that is no object is plain text. Raises Refused."""
        parts = [part for part in path.removeprefix(API).split("/") if part]
        name = parts[0]
        if len(parts) == 1:
            if method == "GET":
                found = self.find(name, query)
                return 200, {"count": len(found), "next": None, "previous": None, "results": found}
            if method == "POST" and name not in ("unified_job_templates", APPROVALS):
                return 201, self.shown(name, self.create(name, sent))
            raise Refused(405, {"detail": "Method not allowed."})
        number = int(parts[1])
        if name in JOBS:
            return self.jobs.answer(method, name, number, parts[2:], dict(query))
        if name == "project_updates":
            return 200, self.fetch(number)
        item = self.get(name, number)
        if len(parts) == 2:
            if method == "GET":
                return 200, self.shown(name, item)
            if method == "PATCH":
                return 200, self.shown(name, self.update(name, number, sent))
            if method == "DELETE":
                del self.items[name][number]
                return 204, {}
            raise Refused(405, {"detail": "Method not allowed."})
        return self.answer_part(method, name, item, parts[2], sent)

    def answer_part(self, method: str, name: str, item: Item, part: str, sent: Item) -> tuple[int, Item]:
        kind, number = self.kind_of(name), item["id"]
        if part == "survey_spec" and kind.survey:
            if method == "POST":
                validate_survey(sent)
                self.surveys[name, number] = copy.deepcopy(sent)
            elif method == "DELETE":
                self.surveys.pop((name, number), None)
            return 200, shown_survey(self.surveys.get((name, number), {})) if method == "GET" else {}
        if part == "launch" and kind.survey:
            survey = self.surveys.get((name, number), {})
            return self.jobs.launch(item, survey, sent) if method == "POST" else (200, self.jobs.asks(item, survey))
        if part in kind.links:
            if method == "POST":
                self.associate(name, number, part, sent)
                return 204, {}
            others = self.items[kind.links[part]]
            found = [self.shown(kind.links[part], others[one]) for one in self.links.get((name, number, part), [])]
            return 200, {"count": len(found), "next": None, "previous": None, "results": found}
        if (name, part, method) == ("projects", "update", "POST"):
            return 202, {"id": number, "url": f"{API}project_updates/{number}/", "status": "pending"}
        if (name, part, method) == ("workflow_job_template_nodes", "create_approval_template", "POST"):
            approval = self.create(APPROVALS, sent)
            item["unified_job_template"] = approval["id"]
            return 201, self.shown(APPROVALS, approval)
        raise Refused(404, {"detail": f"{name} have no {part}"})

    def fetch(self, number: int) -> Item:
        """The project is fetched as soon as somebody asks how far the fetching is."""
        project = self.get("projects", number)
        project |= {"scm_revision": "0123456789abcdef", "status": "successful"}
        self.fetched.add(number)
        done = {"id": number, "status": "successful", "failed": False, "finished": "2026-01-01T00:00:00Z"}
        return {**done, "event_processing_finished": True, "scm_revision": project["scm_revision"]}


def matches(item: Item, key: str, value: str) -> bool:
    if key not in item:
        raise Refused(400, {"detail": f"{item['type']} has no field named '{key}'"})
    return str(item[key]) == value
