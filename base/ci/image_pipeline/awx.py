"""The hand-over by AWX: a template is launched with the image, its end is waited for, and it fails as that fails.

The canaries come first because AWX's own playbooks do it: the job template `agents rollout fleet` runs rollout.yml
without `agent`, in waves, and the first wave is the group `canary`; one failure there ends it. The workflow `agents
rollout fleet with approvals` asks a person before the canaries, and once more before the others.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from image_pipeline import given
from image_pipeline.rest import Refused, Server, is_temporary
from image_pipeline.tools import Failed, say, summary

DEFAULT_TEMPLATE = "agents rollout fleet"
LISTS = {
    "job_template": "job_templates",
    "workflow_job_template": "workflow_job_templates",
    "job": "jobs",
    "workflow_job": "workflow_jobs",
}
_UNIFIED = "/api/v2/unified_job_templates/"
HINTS = {
    400: "Look at the template in AWX: it must need no answer but `image`.",
    401: "Make a new token in AWX (scope: write), and put it into the secret AWX_TOKEN.",
    403: "The token needs the scope `write`, and its user the role Execute on the template.",
    404: "Is AWX_URL the address of AWX itself, with no /api behind it?",
}


@dataclass(frozen=True)
class Pace:
    """Seconds. patience: how long AWX may be silent while a job runs. events: how long a job's output may come late."""

    limit: float
    first: float = 2
    growth: float = 1.5
    longest: float = 30
    patience: float = 300
    events: float = 60


@dataclass(frozen=True)
class Template:
    id: int
    name: str
    type: str

    @property
    def path(self) -> str:
        return f"/api/v2/{LISTS[self.type]}/{self.id}/"


@dataclass(frozen=True)
class Job:
    """What was launched; a template may answer with a workflow's job. link: its page for people."""

    id: int
    type: str
    template: str
    link: str

    @property
    def path(self) -> str:
        return f"/api/v2/{LISTS[self.type]}/{self.id}/"

    def __str__(self) -> str:
        return f"job {self.id} of {self.template!r}"


def server() -> Server:
    """AWX_URL, AWX_TOKEN."""
    address = given.address("AWX_URL")
    given.needed("AWX_TOKEN", "Make a token in AWX (scope: write), and put it into the secret AWX_TOKEN.")
    return Server("AWX", "AWX_URL", address, given.token("AWX_TOKEN"), HINTS)


def hand_over(pace: Pace) -> None:
    image = given.image()
    awx = server()
    template = find(awx, given.optional("AWX_TEMPLATE") or DEFAULT_TEMPLATE)
    refuse_deaf(awx, template)
    job = launch(awx, template, image.reference)
    say(f"handover: {job}: {job.link}")
    end = wait(awx, job, pace)
    status = str(end.get("status"))
    tell(job, status, last_words_of(awx, job))
    if status != "successful":
        why = f": {end['job_explanation']}" if end.get("job_explanation") else ""
        raise Failed(f"{job} ended as {status}{why}", _what_next(status, job))


def find(awx: Server, wanted: str) -> Template:
    """The one template of this id or name, a job's or a workflow's."""
    key = "id" if wanted.isdecimal() else "name"
    found = _templates(awx, {key: wanted})
    if len(found) == 1:
        return found[0]
    if found:
        which = ", ".join(f"{one.id} ({one.type.replace('_', ' ')})" for one in found)
        raise Failed(f"AWX has {len(found)} templates called {wanted!r}: {which}", "Set AWX_TEMPLATE to the id of one.")
    names = [one.name for one in _templates(awx, {"page_size": "200", "order_by": "name"})]
    raise Failed(f"AWX shows this token's user no template with the {key} {wanted!r}", near(wanted, names))


def near(wanted: str, names: Sequence[str]) -> str:
    """What to set AWX_TEMPLATE to instead."""
    if not names:
        return "It shows that user no template at all: give it the role Execute on one (docs/awx.md)."
    close = difflib.get_close_matches(wanted, names) or names[:5]
    return f"Set AWX_TEMPLATE; there are, for example: {', '.join(map(repr, close))}"


def _templates(awx: Server, query: Mapping[str, str]) -> list[Template]:
    results = awx.part(awx.ask("GET", f"{_UNIFIED}?{urlencode(query)}"), "results", list)
    kinds = ("job_template", "workflow_job_template")
    ours = [one for one in results if awx.part(one, "type", str) in kinds]
    return [Template(awx.part(one, "id", int), awx.part(one, "name", str), one["type"]) for one in ours]


def refuse_deaf(awx: Server, template: Template) -> None:
    """Failed where AWX would drop the variable `image` without a word, and roll out what the inventory says."""
    launch = awx.ask("GET", f"{template.path}launch/")
    survey = awx.ask("GET", f"{template.path}survey_spec/") if launch.get("survey_enabled") else {}
    if not takes_image(launch, survey):
        raise Failed(
            f"the template {template.name!r} asks for no `image`: AWX would drop it and roll out something else",
            "Give its survey a question with the variable `image` and switch the survey on, or tick its variables' "
            f"`Prompt on launch`; {DEFAULT_TEMPLATE!r} has one.",
        )


def takes_image(launch: Mapping[str, Any], survey: Mapping[str, Any]) -> bool:
    asked = [question.get("variable") for question in survey.get("spec") or []]
    return bool(launch.get("ask_variables_on_launch")) or "image" in asked


def launch(awx: Server, template: Template, image: str) -> Job:
    try:
        answer = awx.ask("POST", f"{template.path}launch/", {"extra_vars": {"image": image}})
    except Failed as failure:
        if isinstance(failure, Refused) and failure.status < 500:
            raise Failed(f"AWX does not launch {template.name!r}: {failure.said or failure}", failure.hint) from None
        raise Failed(
            f"{failure}; whether {template.name!r} was launched is not known",
            f"Look at AWX's list of jobs, {awx.address}/#/jobs, before you run this again.",
        ) from None
    kind, number = awx.part(answer, "type", str), awx.part(answer, "id", int)
    page = {"job": "playbook", "workflow_job": "workflow"}.get(kind)
    if page is None:
        raise Failed(f"AWX launched a {kind}, which this does not know", f"Look at {awx.address}/#/jobs.")
    job = Job(number, kind, template.name, f"{awx.address}/#/jobs/{page}/{number}/output")
    if answer.get("ignored_fields"):  # we send nothing but the image
        cancel(awx, job)
    return job


def cancel(awx: Server, job: Job) -> None:
    """Always Failed: AWX launched it without the image."""
    what = f"AWX ignored the variable `image` of {job}"
    try:
        awx.text("POST", f"{job.path}cancel/")
    except Failed as failure:
        raise Failed(f"{what}, and it could not be cancelled: {failure}", f"Cancel it: {job.link}") from None
    raise Failed(f"{what}; it was cancelled", f"Look at what it did ({job.link}) and at the template's survey.")


def wait(awx: Server, job: Job, pace: Pace) -> dict[str, Any]:
    """The job as it is when it has ended and all its output has arrived. A job is never cancelled for being slow."""
    begun = heard = time.monotonic()
    ended: float | None = None
    shown, pause = "", pace.first
    while True:
        try:
            state: dict[str, Any] = awx.ask("GET", job.path)
        except Failed as failure:
            if not is_temporary(failure) or time.monotonic() - heard > pace.patience:
                raise Failed(f"{failure}; {job} goes on in AWX", f"Look at {job.link}. {failure.hint}") from None
        else:
            heard = time.monotonic()
            if state.get("status") != shown:
                shown = str(state.get("status"))
                say(f"handover: {job}: {shown}")
            if state.get("finished"):
                ended = ended or heard
                if state.get("event_processing_finished", True) or heard - ended > pace.events:
                    return state
                pause = pace.first
        if time.monotonic() - begun > pace.limit:
            raise Failed(
                f"{job} is {shown or 'not known'} after {pace.limit / 60:.0f} minutes; it goes on in AWX",
                f"Look at {job.link}. A longer --timeout waits longer; a workflow may wait for a person's approval.",
            )
        time.sleep(pause)
        pause = min(pause * pace.growth, pace.longest)


def last_words_of(awx: Server, job: Job) -> list[str]:
    """A job's last lines, or the nodes of a workflow that failed. What cannot be had is no reason to fail."""
    try:
        if job.type == "workflow_job":
            return failed_nodes(awx.part(awx.ask("GET", f"{job.path}workflow_nodes/?page_size=200"), "results", list))
        # Not `txt`: that one gives an apology in place of more than a megabyte.
        return last_lines(awx.text("GET", f"{job.path}stdout/?format=txt_download"))
    except Failed as failure:
        return [f"(its output could not be read: {failure})"]


def last_lines(text: str, count: int = 10, width: int = 400) -> list[str]:
    """The last lines that are not empty, without colours and other control characters."""
    plain = re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\))", "", text)
    lines = [re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", line).rstrip() for line in plain.splitlines()]
    return [line if len(line) <= width else f"{line[:width]}…" for line in lines if line.strip()][-count:]


def failed_nodes(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    told = []
    for node in nodes:
        known = node.get("summary_fields") or {}
        job = known.get("job") or {}
        if job.get("status") in ("failed", "error", "canceled"):
            name = job.get("name") or (known.get("unified_job_template") or {}).get("name") or node.get("identifier")
            told.append(f"node {name!r}: {job['status']}")
    return told


def tell(job: Job, status: str, lines: Sequence[str]) -> None:
    """Bars and blanks before the lines: a runner obeys a line that begins with `::`, and Markdown a fence in it."""
    say(f"handover: {job} ended as {status}: {job.link}")
    for line in lines:
        say(f"  | {line}")
    summary("### AWX", "", f"[{job}]({job.link}): **{status}**", "", *(f"    {line}" for line in lines), "")


def _what_next(status: str, job: Job) -> str:
    again = "launch it again with the same image: what is done is not done twice."
    if status == "canceled":
        return f"Somebody cancelled it, or AWX's own timeout did: {job.link}. To finish it, {again}"
    if status == "error":
        return f"AWX could not run it; {job.link} says why. Mend that, and {again}"
    return f"Read {job.link}; an agent that did not come up went back to its last good release. Mend that, and {again}"
