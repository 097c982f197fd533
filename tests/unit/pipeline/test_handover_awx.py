"""base/ci/handover awx, against the recording AWX: a launch, its end, and what goes wrong in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.awx.controller import Request
from tests.integration.awx.jobs import SHOWN_BYTES

from .handing import IMAGE, desk
from .office import FLEET, QUICK, TOKEN, WORKFLOW, Office, open_office, posts


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Office]:
    with open_office(desk(tmp_path, monkeypatch, capsys)) as office:
        yield office


# --- what goes well


def test_the_fleets_template_is_launched_with_the_digest_and_its_end_is_waited_for(office: Office) -> None:
    office.controller.jobs.course.looks = 4
    told = office.hand_over()
    assert told.code == 0, told.stderr
    assert posts(office) == [(f"{office.template()['url']}launch/", {"extra_vars": {"image": IMAGE}})]
    assert office.launched[0]["extra_vars"] == {"image": IMAGE}
    assert office.launched[0]["looks"] == 4


def test_last_words_and_link_are_in_the_log_and_in_the_summary(office: Office) -> None:
    lines = [f"\x1b[0;32mline {number}\x1b[0m" for number in range(20)]
    office.controller.jobs.course.output = "\r\n\n".join([*lines, "::error::no order to a runner", "```", ""])
    told = office.hand_over()
    wanted = [*(f"line {number}" for number in range(12, 20)), "::error::no order to a runner", "```"]
    assert [line.removeprefix("    ") for line in told.summary.splitlines() if line.startswith("    ")] == wanted
    assert [line for line in told.stderr.splitlines() if "|" in line] == [f"  | {line}" for line in wanted]
    for text in (told.summary, told.stderr):
        assert f"{office.address}/#/jobs/playbook/1000/output" in text
        assert "\x1b" not in text


def test_last_words_are_those_of_the_whole_output_however_large_it_is(office: Office) -> None:
    office.controller.jobs.course.output = "x" * 1000 + "\n" * SHOWN_BYTES + "PLAY RECAP\n"
    assert "  | PLAY RECAP\n" in office.hand_over().stderr


def test_last_words_are_waited_for_where_they_come_late(office: Office) -> None:
    office.controller.jobs.course = replace(office.controller.jobs.course, late=3, output="PLAY RECAP\n")
    assert "  | PLAY RECAP\n" in office.hand_over().stderr


def test_words_that_never_come_are_not_waited_for_without_end(office: Office) -> None:
    office.controller.jobs.course = replace(office.controller.jobs.course, late=10**9)
    assert office.hand_over(replace(QUICK, events=0.05)).code == 0


def test_output_that_cannot_be_read_does_not_change_how_a_job_ended(office: Office) -> None:
    office.broken.append(lambda request: 500 if "/stdout/" in request.path else None)
    told = office.hand_over()
    assert told.code == 0
    assert "its output could not be read: AWX answers 500" in told.stderr


def test_a_template_may_be_given_by_id(office: Office) -> None:
    number = office.template()["id"]
    assert office.hand_over(AWX_TEMPLATE=str(number)).code == 0
    assert posts(office)[0][0] == f"/api/v2/job_templates/{number}/launch/"


def test_a_workflow_may_be_the_template(office: Office) -> None:
    told = office.hand_over(AWX_TEMPLATE=WORKFLOW)
    assert told.code == 0, told.stderr
    assert posts(office)[0][0] == f"{office.template(WORKFLOW)['url']}launch/"
    assert f"{office.address}/#/jobs/workflow/1000/output" in told.summary


def test_variables_that_are_prompted_for_do_without_a_survey(office: Office) -> None:
    office.template().update(survey_enabled=False, ask_variables_on_launch=True)
    assert office.hand_over().code == 0
    assert office.launched[0]["extra_vars"] == {"image": IMAGE}


@pytest.mark.parametrize("status", [0, 502, 503, 504], ids=["no answer", "502", "503", "504"])
def test_an_awx_that_is_silent_for_a_moment_is_asked_again(office: Office, status: int) -> None:
    left = [status] * 3
    office.broken.append(lambda request: left.pop() if "/jobs/" in request.path and left else None)
    assert office.hand_over(replace(QUICK, patience=60)).code == 0
    assert left == []


# --- what happens after the launch


@pytest.mark.parametrize(
    ("status", "next_"), [("failed", "last good release"), ("error", "could not run it"), ("canceled", "cancelled it")]
)
def test_it_fails_as_the_job_fails(office: Office, status: str, next_: str) -> None:
    course = office.controller.jobs.course
    office.controller.jobs.course = replace(course, status=status, output="fatal: why\n", explanation="of that")
    told = office.hand_over()
    assert told.code == 1
    assert f"FAILED: job 1000 of '{FLEET}' ended as {status}: of that\n  next: " in told.stderr
    assert next_ in told.stderr.partition("  next: ")[2]
    assert "  | fatal: why\n" in told.stderr
    assert f"**{status}**" in told.summary
    assert "    fatal: why\n" in told.summary


def test_of_a_workflow_that_failed_the_failed_nodes_are_named(office: Office) -> None:
    course = office.controller.jobs.course
    office.controller.jobs.course = replace(course, status="failed", failed=["agents rollout canaries"])
    told = office.hand_over(AWX_TEMPLATE=WORKFLOW)
    assert told.code == 1
    assert [line for line in told.stderr.splitlines() if "|" in line] == ["  | node 'agents rollout canaries': failed"]
    assert "    node 'agents rollout canaries': failed\n" in told.summary


def test_a_job_that_ignored_the_image_is_cancelled(office: Office) -> None:
    office.controller.jobs.course.deaf = True
    told = office.hand_over()
    assert told.code == 1
    assert "ignored the variable `image` of job 1000" in told.stderr
    assert "it was cancelled" in told.stderr
    assert office.launched[0]["status"] == "canceled"


def test_a_job_that_ignored_the_image_and_cannot_be_cancelled_is_told(office: Office) -> None:
    office.controller.jobs.course = replace(office.controller.jobs.course, deaf=True, stubborn=True)
    told = office.hand_over()
    assert told.code == 1
    assert "it could not be cancelled: AWX answers 405" in told.stderr
    assert f"Cancel it: {office.address}/#/jobs/playbook/1000/output" in told.stderr


@pytest.mark.parametrize(
    ("status", "patience"), [(0, 0.1), (502, 0.1), (401, 3600)], ids=["no answer", "502", "the token ends"]
)
def test_an_awx_that_stays_silent_is_told_with_where_the_job_goes_on(
    office: Office, status: int, patience: float
) -> None:
    office.broken.append(lambda request: status if "/jobs/" in request.path else None)
    told = office.hand_over(replace(QUICK, patience=patience))
    assert told.code == 1
    assert f"job 1000 of '{FLEET}' goes on in AWX\n  next: Look at {office.address}/#/jobs/playbook/1000" in told.stderr


def test_patience_begins_anew_with_each_answer(office: Office) -> None:
    """Every second look fails: together they last longer than the patience, and none of them alone."""
    looks: list[int] = []

    def every_second(request: Request) -> int | None:
        looks.extend([1] if "/jobs/" in request.path else [])
        return 503 if len(looks) % 2 and "/jobs/" in request.path and "stdout" not in request.path else None

    office.broken.append(every_second)
    office.controller.jobs.course.looks = 40
    told = office.hand_over(replace(QUICK, first=0.01, longest=0.01, patience=0.4))
    assert told.code == 0, told.stderr


def test_a_job_that_takes_too_long_goes_on_and_is_told(office: Office) -> None:
    office.controller.jobs.course.looks = 10**9
    told = office.hand_over(replace(QUICK, limit=0.05))
    assert told.code == 1
    assert "is running after 0 minutes; it goes on in AWX" in told.stderr
    assert "--timeout" in told.stderr
    assert len(posts(office)) == 1, "it is not cancelled"


# --- the program


def test_the_token_is_nowhere(office: Office) -> None:
    """AWX itself repeats it, in a job's output and in its explanation."""
    course = office.controller.jobs.course
    office.controller.jobs.course = replace(
        course, looks=1, status="failed", output=f"Bearer {TOKEN}\n", explanation=f"with {TOKEN}"
    )
    told = office.desk.run("awx", given=office.environment())
    assert told.code == 1
    assert "  | Bearer ***\n" in told.stderr
    assert TOKEN not in told.everything
    assert [one for one in office.controller.requests if TOKEN in one.path or TOKEN in str(one.body)] == []


def test_the_time_it_waits_is_an_option(office: Office) -> None:
    office.controller.jobs.course.looks = 10**9
    told = office.desk.run("awx", "--timeout", "0", given=office.environment())
    assert told.code == 1
    assert "after 0 minutes" in told.stderr
