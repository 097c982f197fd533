"""What the recording controller knows of AWX's objects: their fields, and how they refer to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One list of AWX's API.

    type: the word in an object's field "type".
    fields: every field that a client may write, with the value that AWX gives it when the client does not.
    required: fields that must be sent and must not be empty.
    refers: field → the list in which the id that it holds must exist.
    links: lists of other objects (associate, disassociate) → the list in which their ids must exist.
    ignored: fields that AWX accepts and leaves alone, because it works them out itself.
    unified: whether the object also stands in the list unified_job_templates.
    """

    type: str
    fields: dict[str, Any]
    required: tuple[str, ...] = ("name",)
    refers: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    unified: bool = False
    survey: bool = False


NAMED: dict[str, Any] = {"name": "", "description": ""}
OWNED: dict[str, Any] = {**NAMED, "organization": None}
UPDATES: dict[str, Any] = {"timeout": 0, "execution_environment": None}
PROMPTS = ("variables", "limit", "tags", "skip_tags", "inventory", "scm_branch", "labels")
JOB_PROMPTS = (
    *PROMPTS,
    "diff_mode",
    "job_type",
    "verbosity",
    "credential",
    "execution_environment",
    "forks",
    "instance_groups",
    "job_slice_count",
    "timeout",
)
LAUNCH: dict[str, Any] = {
    "extra_data": {},
    "inventory": None,
    "scm_branch": None,
    "job_type": None,
    "job_tags": None,
    "skip_tags": None,
    "limit": None,
    "diff_mode": None,
    "verbosity": None,
    "execution_environment": None,
    "forks": None,
    "job_slice_count": None,
    "timeout": None,
    "unified_job_template": None,
}


def asks(prompts: tuple[str, ...]) -> dict[str, Any]:
    return {f"ask_{prompt}_on_launch": False for prompt in prompts}


KINDS: dict[str, Kind] = {
    "organizations": Kind("organization", {**NAMED, "max_hosts": 0, "default_environment": None}),
    "credential_types": Kind(
        "credential_type",
        {**NAMED, "kind": "", "inputs": {}, "injectors": {}},
        required=("name", "kind"),
        ignored=("managed",),
    ),
    "credentials": Kind(
        "credential",
        {**OWNED, "credential_type": None, "inputs": {}},
        required=("name", "credential_type"),
        refers={"organization": "organizations", "credential_type": "credential_types"},
    ),
    "execution_environments": Kind(
        "execution_environment",
        {**OWNED, "image": "", "credential": None, "pull": ""},
        required=("name", "image"),
        refers={"organization": "organizations", "credential": "credentials"},
    ),
    "projects": Kind(
        "project",
        {
            **OWNED,
            "scm_type": "",
            "scm_url": "",
            "scm_branch": "",
            "scm_refspec": "",
            "scm_clean": False,
            "scm_delete_on_update": False,
            "scm_track_submodules": False,
            "scm_update_on_launch": False,
            "scm_update_cache_timeout": 0,
            "allow_override": False,
            "credential": None,
            "default_environment": None,
            "timeout": 0,
        },
        refers={"organization": "organizations", "credential": "credentials"},
        unified=True,
    ),
    "inventories": Kind(
        "inventory",
        {**OWNED, "kind": "", "host_filter": None, "variables": ""},
        required=("name", "organization"),
        refers={"organization": "organizations"},
    ),
    "inventory_sources": Kind(
        "inventory_source",
        {
            **NAMED,
            **UPDATES,
            "inventory": None,
            "source": "",
            "source_path": "",
            "source_vars": "",
            "source_project": None,
            "scm_branch": "",
            "credential": None,
            "enabled_var": "",
            "enabled_value": "",
            "host_filter": "",
            "limit": "",
            "overwrite": False,
            "overwrite_vars": False,
            "update_on_launch": False,
            "update_cache_timeout": 0,
            "verbosity": 1,
        },
        required=("name", "inventory", "source"),
        refers={
            "inventory": "inventories",
            "source_project": "projects",
            "execution_environment": "execution_environments",
        },
        unified=True,
    ),
    "job_templates": Kind(
        "job_template",
        {
            **NAMED,
            **UPDATES,
            **asks(JOB_PROMPTS),
            "job_type": "run",
            "inventory": None,
            "project": None,
            "playbook": "",
            "scm_branch": "",
            "forks": 0,
            "limit": "",
            "verbosity": 0,
            "extra_vars": "---",
            "job_tags": "",
            "skip_tags": "",
            "diff_mode": False,
            "become_enabled": False,
            "allow_simultaneous": False,
            "job_slice_count": 1,
            "survey_enabled": False,
        },
        required=("name", "project", "playbook"),
        refers={
            "inventory": "inventories",
            "project": "projects",
            "execution_environment": "execution_environments",
        },
        links={"credentials": "credentials"},
        ignored=("organization",),
        unified=True,
        survey=True,
    ),
    "workflow_job_templates": Kind(
        "workflow_job_template",
        {
            **OWNED,
            **asks(PROMPTS),
            "extra_vars": "---",
            "inventory": None,
            "limit": None,
            "scm_branch": None,
            "job_tags": None,
            "skip_tags": None,
            "allow_simultaneous": False,
            "survey_enabled": False,
        },
        refers={"organization": "organizations"},
        unified=True,
        survey=True,
    ),
    "workflow_job_template_nodes": Kind(
        "workflow_job_template_node",
        {**LAUNCH, "identifier": "", "workflow_job_template": None, "all_parents_must_converge": False},
        required=("identifier", "workflow_job_template"),
        refers={"workflow_job_template": "workflow_job_templates", "unified_job_template": "unified_job_templates"},
        links={f"{when}_nodes": "workflow_job_template_nodes" for when in ("success", "failure", "always")},
        ignored=("type",),
    ),
    "workflow_approval_templates": Kind("workflow_approval_template", {**NAMED, "timeout": 0}),
    "schedules": Kind(
        "schedule",
        {**NAMED, **LAUNCH, "rrule": "", "enabled": True},
        required=("name", "rrule", "unified_job_template"),
        refers={"unified_job_template": "unified_job_templates"},
    ),
}
