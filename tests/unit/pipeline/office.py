"""An AWX with the fleet's template and workflow, for tests of the hand-over to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from image_pipeline import awx
from tests.integration.awx.controller import Controller, Request
from tests.integration.awx.server import serving
from tests.sandbox.paths import CHECKOUT

from .handing import IMAGE, Desk, Told

TOKEN = "awx-token-8f2d61c4b7"
QUICK = awx.Pace(limit=60, first=0.001, longest=0.01, patience=0.2, events=30)
FLEET = "agents rollout fleet"
WORKFLOW = "agents rollout fleet with approvals"


@dataclass
class Office:
    """An AWX with the fleet's template and workflow. broken: what a proxy in front of it does to a request."""

    desk: Desk
    controller: Controller
    address: str = ""
    broken: list[Callable[[Request], int | None]] = field(default_factory=list)

    def before(self, request: Request) -> int | None:
        return next((status for rule in self.broken if (status := rule(request)) is not None), None)

    def environment(self, **given: str) -> dict[str, str]:
        return {"IMAGE": IMAGE, "AWX_URL": self.address, "AWX_TOKEN": TOKEN, **given}

    def hand_over(self, pace: awx.Pace = QUICK, **given: str) -> Told:
        return self.desk.within(lambda: awx.hand_over(pace), self.environment(**given))

    def template(self, name: str = FLEET) -> dict[str, Any]:
        kind = "workflow_job_templates" if name == WORKFLOW else "job_templates"
        return self.controller.all(kind)[name]

    def questions(self) -> list[dict[str, Any]]:
        spec: list[dict[str, Any]] = self.controller.survey("job_templates", self.template())["spec"]
        return spec

    @property
    def launched(self) -> list[dict[str, Any]]:
        return self.controller.jobs.started


def furnished() -> Controller:
    """With the template that role awx makes, by the role's own words."""
    data = yaml.safe_load((CHECKOUT / "roles/awx/vars/main/templates.yml").read_text())
    flow = yaml.safe_load((CHECKOUT / "roles/awx/vars/main/workflow.yml").read_text())["awx_workflow"]
    prefix = yaml.safe_load((CHECKOUT / "roles/awx/defaults/main.yml").read_text())["awx_name_prefix"]
    entry = next(
        one
        for one in data["awx_templates"]
        if one["playbook"] == "playbooks/rollout.yml" and "agent" not in one["questions"]
    )
    spec = [data["awx_questions"][question] for question in entry["questions"]]
    controller = Controller(TOKEN, frozenset([entry["playbook"]]))
    project = controller.create("projects", {"name": "agents project", "organization": 1})
    controller.fetch(project["id"])
    job = {"playbook": entry["playbook"], "project": project["id"], "survey_enabled": True}
    for kind, name, sent in (
        ("job_templates", entry["name"], job),
        ("workflow_job_templates", flow["name"], {"survey_enabled": True}),
    ):
        made = controller.create(kind, {"name": f"{prefix} {name}", **sent})
        controller.surveys[kind, made["id"]] = {"name": "", "description": "", "spec": [dict(one) for one in spec]}
    return controller


@contextmanager
def open_office(desk: Desk) -> Iterator[Office]:
    office = Office(desk, furnished())
    with serving(office.controller, office.before) as office.address:
        yield office


def posts(office: Office) -> list[tuple[str, dict[str, Any]]]:
    return [(one.path, one.body) for one in office.controller.requests if one.method == "POST"]


def refused(office: Office, told: Told, *words: str) -> None:
    assert told.code == 1
    assert told.stderr.startswith("handover: FAILED: ")
    assert "\n  next: " in told.stderr
    assert [word for word in words if word not in told.stderr] == []
    assert "**handover failed**" in told.summary
    assert office.launched == []
