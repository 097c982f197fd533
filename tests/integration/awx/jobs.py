"""What the recording controller knows of jobs: how a template is launched, and how the job goes on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .rules import Item, Refused, is_answer

#: The list of a job → its type, and the type of what launches it.
JOBS = {"jobs": ("job", "job_template"), "workflow_jobs": ("workflow_job", "workflow_job_template")}
#: What AWX shows of an output at once; more is to be had by a download alone.
SHOWN_BYTES = 1_048_576


@dataclass
class Course:
    """How a launched job goes. looks: how often somebody looks at it before it has ended.

    late: how many looks its output comes after its end. failed: names of a workflow's nodes that fail.
    deaf: whether variables are ignored in spite of what launching promised. stubborn: whether it cannot be cancelled.
    """

    status: str = "successful"
    looks: int = 2
    late: int = 0
    output: str = ""
    explanation: str = ""
    failed: Sequence[str] = ()
    deaf: bool = False
    stubborn: bool = False


@dataclass
class Jobs:
    """started: the jobs, as they were launched, with the variables that they got."""

    course: Course = field(default_factory=Course)
    started: list[Item] = field(default_factory=list)

    def asks(self, template: Item, survey: Item) -> Item:
        """What launching a template asks for."""
        needed = [one["variable"] for one in questions(template, survey) if one["required"] and not one.get("default")]
        asked = {key: value for key, value in template.items() if key.startswith("ask_")}
        return {**asked, "survey_enabled": template["survey_enabled"], "variables_needed_to_start": needed}

    def launch(self, template: Item, survey: Item, sent: Item) -> tuple[int, Item]:
        given: Item = sent.get("extra_vars", {})
        asked = questions(template, survey)
        if errors := [error for one in asked if (error := refusal(one, given))]:
            raise Refused(400, {"variables_needed_to_start": errors})
        names = {one["variable"] for one in asked}
        open_to_all = template["ask_variables_on_launch"] and not self.course.deaf
        taken = {key: value for key, value in given.items() if open_to_all or (key in names and not self.course.deaf)}
        dropped = {key: value for key, value in given.items() if key not in taken}
        where, kind = next((where, kind) for where, (kind, by) in JOBS.items() if by == template["type"])
        number = 1000 + len(self.started)
        job: Item = {"id": number, "type": kind, "url": f"/api/v2/{where}/{number}/", "status": "pending"}
        job |= {"finished": None, "failed": False, "name": template["name"], "extra_vars": taken, "looks": 0}
        self.started.append(job)
        return 201, {kind: number, "ignored_fields": {"extra_vars": dropped} if dropped else {}, **job}

    def answer(
        self, method: str, where: str, number: int, parts: list[str], query: dict[str, str]
    ) -> tuple[int, Item | str]:
        found = [one for one in self.started if (one["id"], one["type"]) == (number, JOBS[where][0])]
        if not found:
            raise Refused(404, {"detail": "Not found."})
        job = found[0]
        if (method, parts) == ("GET", []):
            return 200, self.look(job)
        if (method, parts) == ("POST", ["cancel"]):
            if self.course.stubborn:
                raise Refused(405, {"detail": 'Method "POST" not allowed.'})
            job |= {"status": "canceled", "finished": "2026-01-01T00:00:00Z", "failed": True}
            return 202, ""
        if (method, where, parts) == ("GET", "jobs", ["stdout"]):
            return 200, self.output(job, query["format"])
        if (method, where, parts) == ("GET", "workflow_jobs", ["workflow_nodes"]):
            return 200, {"count": 2, "next": None, "previous": None, "results": self.nodes()}
        raise Refused(404, {"detail": f"{where} have no {parts}"})

    def look(self, job: Item) -> Item:
        job["looks"] += 1
        if job["status"] in ("pending", "running"):
            ended = job["looks"] >= self.course.looks
            job["status"] = self.course.status if ended else "running"
            job["finished"] = "2026-01-01T00:00:00Z" if ended else None
        complete = job["looks"] >= self.course.looks + self.course.late
        return {**job, "job_explanation": self.course.explanation, "event_processing_finished": complete}

    def output(self, job: Item, form: str) -> str:
        if job["looks"] < self.course.looks + self.course.late:
            return ""
        if form == "txt" and len(self.course.output.encode()) > SHOWN_BYTES:
            return "Standard Output too large to display, only download supported."
        return self.course.output

    def nodes(self) -> list[Item]:
        """The nodes that ran, and one that nobody came to."""
        ran = [("plan", "successful"), *((name, "failed") for name in self.course.failed)]
        return [
            *({"identifier": name, "summary_fields": {"job": {"name": name, "status": end}}} for name, end in ran),
            {"identifier": "status", "summary_fields": {"unified_job_template": {"name": "agents status"}}},
        ]


def questions(template: Item, survey: Item) -> list[Item]:
    return survey.get("spec", []) if template["survey_enabled"] else []


def refusal(question: Item, given: Item) -> str:
    """AWX's words for an answer that it does not take."""
    name = question["variable"]
    if name not in given:
        return f"'{name}' value missing" if question["required"] else ""
    if not is_answer(question, given[name]):
        return f"'{name}' value {given[name]} is too large (length is no more than {question.get('max')})."
    return ""
