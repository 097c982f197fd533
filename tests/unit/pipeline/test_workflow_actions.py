# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkout and artifacts do what GitHub's own actions do; other actions are a test's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.unit.pipeline.workflow_jobs import Go, make_repository, run_jobs
from tests.workflow.actions import JobContext, StepFailed
from tests.workflow.event import Event


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def go(tmp_path: Path, repository: Path) -> Go:
    return partial(run_jobs, tmp_path, repository)


@pytest.mark.parametrize(
    ("event", "inputs", "said"),
    [
        (Event.push(), "", "main second 1 notag"),
        (Event.push(), "fetch-depth: 0", "main second 2 v1"),
        (Event.push(), "fetch-depth: 2", "main second 2 notag"),
        (Event.push(), "fetch-tags: true, fetch-depth: 2", "main second 2 v1"),
        (Event.push(), "ref: topic", "topic third 1 notag"),
        (Event.push(), "ref: v1", "HEAD first 1 v1"),
        (Event.push(), "ref: nowhere", "a branch or tag with the name 'nowhere' could not be found"),
        (Event.push(tag="v1"), "", "HEAD first 1 v1"),
        (Event.push(tag="v1"), "fetch-depth: 0", "HEAD first 1 v1"),
        (Event.pull_request("topic"), "", "HEAD third 1 notag"),
        (
            Event.pull_request("topic"),
            "fetch-depth: 0, ref: '${{ github.event.pull_request.head.sha }}'",
            "HEAD third 3 v1",
        ),
    ],
)
def test_checkout_brings_what_was_asked_for(go: Go, event: Event, inputs: str, said: str) -> None:
    look = (
        'echo "$(git rev-parse --abbrev-ref HEAD) $(git log -1 --format=%s) $(git rev-list --count HEAD)'
        ' $(git tag | grep . || echo notag)"; test -z "$(git status --porcelain)"'
    )
    run = go(f"job: {{steps: [{{uses: actions/checkout@1234, with: {{{inputs}}}}}, {{run: '{look}'}}]}}", event)
    assert run.log.strip() == said
    assert run.results == {"job": "failure" if "could not" in said else "success"}


@pytest.mark.parametrize(("keep", "found"), [("true", "1"), ("false", "0")])
def test_checkout_keeps_the_token_only_as_asked(go: Go, keep: str, found: str) -> None:
    run = go(
        f"""
        job:
          steps:
            - {{uses: actions/checkout@1234, with: {{persist-credentials: {keep}}}}}
            - {{run: 'git config --get "http.$GITHUB_SERVER_URL/.extraheader" | grep -c "AUTHORIZATION: b" || true'}}
        """,
        token="t0ken",
    )
    assert run.log == f"{found}\n"


def test_artifacts_go_from_job_to_job_without_their_modes(go: Go) -> None:
    run = go(
        """
        make:
          steps:
            - {run: "mkdir -p dist/sub && echo 1 | tee dist/a dist/.hidden dist/sub/b > lone && chmod +x dist/a"}
            - {uses: actions/upload-artifact@1, with: {name: all, path: dist}}
            - {uses: actions/upload-artifact@1, with: {name: one, path: lone}}
            - {uses: actions/upload-artifact@1, with: {name: two, path: "dist/*\\nlone\\n!dist/a\\n"}}
            - {uses: actions/upload-artifact@1, with: {name: none, path: nothing}}
            - {id: again, uses: actions/upload-artifact@1, with: {name: one, path: lone}, continue-on-error: true}
            - id: must
              uses: actions/upload-artifact@1
              with: {path: nothing, if-no-files-found: error}
              continue-on-error: true
        take:
          needs: make
          steps:
            - {uses: actions/download-artifact@1, with: {name: all, path: in}}
            - {run: "find . -type f | sort; test ! -x in/a"}
            - {uses: actions/download-artifact@1, with: {path: every}}
            - {run: "find every -type f | sort"}
            - {id: missing, uses: actions/download-artifact@1, with: {name: none}}
        """
    )
    take, make = run.jobs["take"], run.jobs["make"]
    assert take.steps[1].log == "./in/a\n./in/sub/b\n"
    assert take.steps[3].log == "every/all/a\nevery/all/sub/b\nevery/one/lone\nevery/two/dist/sub/b\nevery/two/lone\n"
    assert (take.step("missing").outcome, take.step("missing").log) == ("failure", "artifact not found: none\n")
    assert (make.step("must").outcome, make.step("again").outcome) == ("failure", "failure")
    assert sorted(place.name for place in run.artifacts.iterdir()) == ["all", "one", "two"]


def test_actions_are_the_tests_own(go: Go) -> None:
    asked: list[tuple[Mapping[str, str], str]] = []

    def attest(inputs: Mapping[str, str], job: JobContext) -> Mapping[str, str]:
        asked.append((inputs, job.job))
        if inputs["digest"] == "bad":
            raise StepFailed("no such digest")
        return {"url": "https://example.invalid/1"}

    run = go(
        """
        job:
          steps:
            - {uses: actions/setup-python@1, with: {python-version: 3.12}}
            - {uses: actions/cache/restore@1, with: {key: "k-${{ hashFiles('no*') }}-${{ runner.os }}"}}
            - {id: good, uses: some/attest@1, with: {digest: "${{ github.ref_name }}", push: true}}
            - {run: "echo ${{ steps.good.outputs.url }}"}
            - {id: bad, uses: some/attest@1, with: {digest: bad}}
        """,
        actions={"some/attest": attest},
    )
    job = run.jobs["job"]
    assert [step.inputs for step in job.steps[:2]] == [{"python-version": "3.12"}, {"key": "k--Linux"}]
    assert asked == [({"digest": "main", "push": "true"}, "job"), ({"digest": "bad"}, "job")]
    assert run.log == "https://example.invalid/1\nno such digest\n"
    assert job.result == "failure"
