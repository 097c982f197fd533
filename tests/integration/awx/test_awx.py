"""Role awx against the recording controller: what it makes, that it makes it once, and what it never shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.digitalsys.agents.plugins.module_utils._options.values import LONGEST_VARIABLE

from .controller import BEARER_TOKEN_TYPE, Controller
from .rules import is_answer, render_injectors
from .runs import (
    CHECKOUT,
    INPUTS,
    PLAYBOOKS,
    REGISTRY_PASSWORD,
    SECRETS,
    TOKEN,
    VARIABLES,
    VAULT_ROLE_ID,
    VAULT_SECRET_ID,
    Operator,
    Run,
)
from .server import serving

PERSONS_SECRET = "put-in-by-a-person-77d0"
DATA = CHECKOUT / "roles" / "awx" / "vars" / "main" / "templates.yml"


@dataclass(frozen=True)
class Story:
    """A new AWX: looked at, configured, configured again after a person put a secret of their own into it.

    sent: the inputs of the operator's login for Vault as the first run made them.
    """

    operator: Operator
    looked: Run
    written_by_look: int
    made: Run
    sent: dict[str, Any]
    again: Run

    @property
    def controller(self) -> Controller:
        return self.operator.controller


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    controller = Controller(TOKEN, PLAYBOOKS)
    with serving(controller) as address:
        yield Operator(controller, address, tmp_path)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    controller = Controller(TOKEN, PLAYBOOKS)
    with serving(controller) as address:
        operator = Operator(controller, address, tmp_path_factory.mktemp("awx"))
        looked = operator.run("--check")
        written_by_look = len(controller.writes())
        made = operator.run()
        secrets = dict(controller.all("credentials")["agents operator Vault"]["inputs"]) if made.code == 0 else {}
        if secrets:
            controller.all("credentials")["agents operator Vault"]["inputs"]["secret_id"] = PERSONS_SECRET
        yield Story(operator, looked, written_by_look, made, secrets, operator.run())


def test_runs_end_well(story: Story) -> None:
    for run in (story.looked, story.made, story.again):
        assert run.code == 0, run.output[-3000:]


def test_check_on_a_new_awx_writes_nothing_and_names_what_is_missing(story: Story) -> None:
    assert story.written_by_look == 0
    words = " ".join(story.looked.output.split())  # a long message may be folded
    told = re.search(r"Would be made by this run.*PLAY RECAP", words)
    assert told is not None
    for name in ("credential type HashiCorp Vault login", "credential operator Vault", "job template rollout fleet"):
        assert name in told[0]


def test_second_run_changes_nothing(story: Story) -> None:
    assert story.made.changed > 0
    assert story.again.changed == 0
    assert story.controller.writes(story.again.first) == []
    assert "Would be made by this run" not in story.again.output


def test_no_secret_in_output_or_addresses(story: Story) -> None:
    seen = [run.output for run in (story.looked, story.made, story.again)]
    seen += [request.path for request in story.controller.requests]
    assert not [secret for secret in (*SECRETS, PERSONS_SECRET) for text in seen if secret in text]


def test_job_templates(story: Story) -> None:
    made = story.controller.all("job_templates")
    playbooks = {name.removeprefix("agents "): item["playbook"] for name, item in made.items()}
    assert playbooks == {
        "provision agent": "playbooks/provision.yml",
        "rollout agent": "playbooks/rollout.yml",
        "rollout fleet": "playbooks/rollout.yml",
        "restart agent": "playbooks/restart.yml",
        "restart fleet": "playbooks/restart.yml",
        "rotate agent": "playbooks/rotate.yml",
        "rotate fleet": "playbooks/rotate.yml",
        "rotate access agent": "playbooks/rotate_access.yml",
        "rotate access fleet": "playbooks/rotate_access.yml",
        "status": "playbooks/status.yml",
    }
    for name, item in made.items():
        asked = {key for key, value in item.items() if key.startswith("ask_") and value}
        assert asked == {"ask_limit_on_launch", "ask_job_type_on_launch", "ask_diff_mode_on_launch"}, name
        assert item["allow_simultaneous"] is True
        assert item["job_slice_count"] == 1
        assert item["job_type"] == "run"
        identity = "provisioner" if name == "agents provision agent" else "operator"
        assert story.controller.linked("job_templates", item, "credentials") == [
            f"agents {identity} Kubernetes",
            f"agents {identity} Vault",
            "agents registry",
        ]
        assert item["inventory"] == story.controller.all("inventories")["agents inventory"]["id"]
    wave = 25 * 60
    for operation in ("rollout", "restart", "rotate"):
        one, fleet = made[f"agents {operation} agent"]["timeout"], made[f"agents {operation} fleet"]["timeout"]
        assert one > 2 * wave, "one agent may come up for 25 minutes and go back for 25"
        assert fleet > 3 * 2 * wave, "three waves of that"


def test_surveys(story: Story) -> None:
    controller = story.controller
    asked = {
        name.removeprefix("agents "): [
            one["variable"] for one in controller.survey("job_templates", item).get("spec", [])
        ]
        for name, item in controller.all("job_templates").items()
    }
    assert asked == {
        "provision agent": ["agent"],
        "rollout agent": ["agent", "image", "tag"],
        "rollout fleet": ["image", "tag"],
        "restart agent": ["agent"],
        "restart fleet": [],
        "rotate agent": ["agent", "keys", "new_value", "abort"],
        "rotate fleet": ["keys"],
        "rotate access agent": ["agent"],
        "rotate access fleet": [],
        "status": ["secrets"],
    }
    for name, item in controller.all("job_templates").items():
        assert item["survey_enabled"] is bool(asked[name.removeprefix("agents ")])
        for question in controller.survey("job_templates", item).get("spec", []):
            if question["variable"] == "agent":
                assert (question["type"], question["required"]) == ("text", True)
                assert (question["min"], question["max"]) == (1, 52)
            else:
                assert question["required"] is False
                # A person who answers nothing is taken for one who says nothing.
                assert is_answer(question, question.get("default", ""))
                assert question.get("default", "") in ("", "false")
            # What a person types there is kept encrypted by AWX, and shown to nobody; not in its messages either.
            assert (question["type"] == "password") == (question["variable"] == "new_value")
            if question["type"] == "password":
                assert "default" not in question
                assert question["max"] >= LONGEST_VARIABLE


def test_credential_types_give_a_job_what_the_operations_read(story: Story) -> None:
    made = story.controller.all("credential_types")["agents HashiCorp Vault login"]
    secret = {one["id"] for one in made["inputs"]["fields"] if one.get("secret")}
    assert secret == {"token", "secret_id"}
    assert made["inputs"]["required"] == ["url"]
    names = {"VAULT_ADDR", "VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID", "VAULT_NAMESPACE", "VAULT_CACERT"}
    empty = dict.fromkeys(names, "")
    by_role = render_injectors(made, INPUTS["operator_vault"])
    assert by_role == empty | {
        "VAULT_ADDR": "https://vault.example.com",
        "VAULT_ROLE_ID": VAULT_ROLE_ID,
        "VAULT_SECRET_ID": VAULT_SECRET_ID,
    }
    by_token = render_injectors(made, {"url": "u", "token": "t", "vault_namespace": "n", "cacert": "PEM"})
    file = "/runner/env/template.cacert"
    assert by_token == empty | {"VAULT_ADDR": "u", "VAULT_TOKEN": "t", "VAULT_NAMESPACE": "n", "VAULT_CACERT": file}
    registry = story.controller.all("credential_types")["agents container registry login"]
    assert [one["id"] for one in registry["inputs"]["fields"] if one.get("secret")] == ["password"]
    login = {"AGENTS_REGISTRY_USERNAME": "puller", "AGENTS_REGISTRY_PASSWORD": REGISTRY_PASSWORD}
    assert render_injectors(registry, INPUTS["registry"]) == login


def test_credentials_are_sent_once_and_then_left_to_people(story: Story) -> None:
    assert story.sent == INPUTS["operator_vault"]
    by_person = INPUTS["operator_vault"] | {"secret_id": PERSONS_SECRET}
    made = story.controller.all("credentials")
    types = {item["id"]: name for name, item in story.controller.all("credential_types").items()}
    assert {name: (types[item["credential_type"]], item["inputs"]) for name, item in made.items()} == {
        "agents operator Kubernetes": (BEARER_TOKEN_TYPE, INPUTS["operator_kubernetes"]),
        "agents operator Vault": ("agents HashiCorp Vault login", by_person),
        "agents provisioner Kubernetes": (BEARER_TOKEN_TYPE, {}),
        "agents provisioner Vault": ("agents HashiCorp Vault login", {}),
        "agents registry": ("agents container registry login", INPUTS["registry"]),
    }


def test_project_inventory_and_environment(story: Story) -> None:
    controller = story.controller
    project = controller.all("projects")["agents project"]
    assert (project["scm_type"], project["scm_url"], project["scm_branch"]) == ("git", VARIABLES["awx_scm_url"], "main")
    assert project["scm_update_on_launch"] is True
    environment = controller.all("execution_environments")["agents execution environment"]
    assert environment["image"] == VARIABLES["awx_execution_environment_image"]
    source = controller.all("inventory_sources")["agents inventory source"]
    assert (source["source"], source["source_path"]) == ("scm", "inventories/bots/hosts.yml")
    assert source["source_project"] == project["id"]
    assert source["inventory"] == controller.all("inventories")["agents inventory"]["id"]
    assert [source[key] for key in ("update_on_launch", "overwrite", "overwrite_vars")] == [True] * 3
    assert {item["execution_environment"] for item in controller.all("job_templates").values()} == {environment["id"]}


def test_workflow(story: Story) -> None:
    controller = story.controller
    workflow = controller.all("workflow_job_templates")["agents rollout fleet with approvals"]
    questions = controller.survey("workflow_job_templates", workflow)["spec"]
    assert [(one["variable"], one["required"]) for one in questions] == [("image", False), ("tag", False)]
    nodes = controller.all("workflow_job_template_nodes")
    targets = {
        item["id"]: name
        for kind in ("job_templates", "workflow_approval_templates")
        for name, item in controller.all(kind).items()
    }
    order = []
    following = ["plan"]
    while following:
        assert len(following) == 1, "one node after another"
        node = nodes[following[0]]
        order.append((targets[node["unified_job_template"]], node["job_type"], node["limit"], node["diff_mode"]))
        assert controller.linked("workflow_job_template_nodes", node, "failure_nodes") == []
        following = controller.linked("workflow_job_template_nodes", node, "success_nodes")
    assert order == [
        ("agents rollout fleet", "check", None, True),
        ("Roll out the canaries?", None, None, None),
        ("agents rollout fleet", None, "clementina", None),
        ("Roll out the whole fleet?", None, None, None),
        ("agents rollout fleet", None, None, None),
        ("agents status", None, None, None),
    ]
    assert {item["timeout"] for item in controller.all("workflow_approval_templates").values()} == {86400}


def test_schedules(story: Story) -> None:
    controller = story.controller
    templates = {item["id"]: name for name, item in controller.all("job_templates").items()}
    made = controller.all("schedules")
    assert {name: (templates[one["unified_job_template"]], one["enabled"]) for name, one in made.items()} == {
        "agents status": ("agents status", True),
        # Nothing secret is renewed by itself unless somebody says when: of the access, nobody does here.
        "agents rotate": ("agents rotate fleet", True),
    }
    assert made["agents rotate"]["rrule"] == VARIABLES["awx_rotate_rrule"]


def test_check_names_what_somebody_changed_and_writes_nothing(story: Story) -> None:
    """Runs last of the story's tests: it changes what they look at."""
    controller = story.controller
    template = controller.all("job_templates")["agents restart agent"]
    template |= {"timeout": 60, "allow_simultaneous": False}
    looked = story.operator.run("--check", "-e", '{"awx_status_rrule": ""}')
    assert looked.code == 0, looked.output[-3000:]
    assert looked.changed == 2, "the template, and the schedule whose rule is empty now"
    assert "changed: [localhost] => (item=restart agent)" in looked.output
    assert "changed: [localhost] => (item=status)" in looked.output
    assert "Would be made by this run" not in looked.output
    assert controller.writes(looked.first) == []


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"awx_execution_environment_image": "image"}, "awx_scm_url"),
        (
            VARIABLES | {"awx_credential_inputs": {"operator_valut": {"url": "u", "secret_id": VAULT_SECRET_ID}}},
            "operator_valut",
        ),
        (
            VARIABLES | {"awx_credential_inputs": {"operator_vault": {"url": "u", "secret": VAULT_SECRET_ID}}},
            "operator_vault",
        ),
    ],
    ids=["no project", "no such credential", "no such input"],
)
def test_bad_input_is_refused_before_any_request(operator: Operator, variables: dict[str, Any], told: str) -> None:
    run = operator.run(variables=variables)
    assert run.code != 0
    assert told in run.output
    assert VAULT_SECRET_ID not in run.output
    assert operator.controller.requests == []


def test_a_wrong_token_is_named_and_not_shown(operator: Operator) -> None:
    run = operator.run(token="some-other-token-51be")
    assert run.code != 0
    assert "Invalid authentication credentials" in run.output
    assert "some-other-token-51be" not in run.output
    assert operator.controller.writes() == []


def test_every_template_runs_a_playbook_of_this_checkout() -> None:
    data = yaml.safe_load(DATA.read_text())
    assert [entry["playbook"] for entry in data["awx_templates"] if not (CHECKOUT / entry["playbook"]).is_file()] == []
    assert {question for entry in data["awx_templates"] for question in entry["questions"]} <= set(
        data["awx_questions"]
    )
