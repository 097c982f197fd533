# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small workflows, run for real: jobs, steps and their environment are as GitHub documents them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.unit.pipeline.workflow_jobs import Go, make_repository, run_jobs
from tests.workflow.event import Event, WorkflowError
from tests.workflow.run import NotStarted
from tests.workflow.values import ExpressionError


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def go(tmp_path: Path, repository: Path) -> Go:
    return partial(run_jobs, tmp_path, repository)


def test_jobs_run_after_those_they_need_and_hand_on_outputs(go: Go) -> None:
    run = go(
        """
        last:
          needs: [middle, first]
          steps:
            - {run: 'echo "$WORD" "$(cat unwritten 2>&1 || true)"', env: {WORD: "${{ needs.middle.outputs.word }}"}}
        middle:
          needs: first
          outputs: {word: "${{ steps.say.outputs.word }}", none: "${{ steps.nobody.outputs.x }}"}
          steps:
            - {id: say, run: 'echo "word=${{ needs.first.outputs.word }} more" >> "$GITHUB_OUTPUT"; touch unwritten'}
        first:
          outputs: {word: "${{ steps.say.outputs.word }}"}
          steps: [{id: say, run: 'echo word=some >> "$GITHUB_OUTPUT"'}]
        """
    )
    assert list(run.jobs) == ["first", "middle", "last"]
    assert run.jobs["middle"].outputs == {"word": "some more", "none": ""}
    assert run.log.startswith("some more cat: unwritten: No such file")


def test_a_failure_skips_what_needs_it_unless_its_if_says_otherwise(go: Go) -> None:
    run = go(
        """
        broken: {steps: [{run: exit 3}]}
        after: {needs: broken, steps: [{run: echo}]}
        told: {needs: broken, if: failure(), steps: [{run: echo}]}
        never: {needs: broken, if: "github.event_name == 'push'", steps: [{run: echo}]}
        always: {needs: [broken, after], if: always(), steps: [{run: "echo ${{ needs.after.result }}"}]}
        heir: {needs: always, steps: [{run: echo}]}
        chain: {needs: after, if: failure(), steps: [{run: echo}]}
        free: {steps: [{run: echo}]}
        off: {if: false, steps: [{run: echo}]}
        below: {needs: off, steps: [{run: echo}]}
        beside: {needs: off, if: "!failure()", steps: [{run: echo}]}
        """
    )
    done = [name for name, result in run.results.items() if result == "success"]
    assert done == ["told", "always", "chain", "free", "beside"]
    assert [name for name, result in run.results.items() if result == "failure"] == ["broken"]
    assert run.jobs["always"].steps[0].log == "skipped\n"
    assert run.jobs["broken"].steps[0].log == "Process completed with exit code 3.\n"


def test_steps_after_a_failure_are_skipped_unless_their_if_says_otherwise(go: Go) -> None:
    run = go(
        """
        job:
          steps:
            - {id: forgiven, run: 'echo a=b >> "$GITHUB_OUTPUT"; false', continue-on-error: true}
            - {id: next, run: "echo ${{ steps.forgiven.outcome }} ${{ steps.forgiven.conclusion }} ${{ job.status }}"}
            - {id: broken, run: exit 1}
            - {id: not, run: echo}
            - {id: told, if: failure(), run: "echo ${{ job.status }} ${{ steps.forgiven.outputs.a }}"}
            - {id: always, if: "${{ always() }}", run: echo}
            - {id: neither, if: "steps.broken.outcome == 'failure'", run: echo}
        """
    )
    job = run.jobs["job"]
    assert (job.result, job.step("forgiven").outcome, job.step("forgiven").conclusion) == (
        "failure",
        "failure",
        "success",
    )
    assert job.step("next").log == "failure success success\n"
    assert job.step("told").log == "failure b\n"
    assert [step.id for step in job.steps if step.outcome == "skipped"] == ["not", "neither"]


def test_the_environment_is_clean_and_in_githubs_order(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAK", "from the test")
    run = go(
        """
        job:
          env: {B: job, C: job, NUMBER: 3, TRUTH: true, NOTHING: , TOKEN: "${{ github.token }}", GITHUB_SHA: forged}
          steps:
            - {run: 'echo "D=file" >> "$GITHUB_ENV"; echo "C=file" >> "$GITHUB_ENV"', env: {C: step}}
            - id: seen
              env: {D: "${{ env.D }} and step", GITHUB_REF: forged}
              run: "echo ${{ env.A }} ${{ env.B }} ${{ env.C }} $D; env"
        """,
        top="env: {A: workflow, B: workflow}",
        machine={"STORAGE": "somewhere", "A": "machine"},
        secrets={"HIDDEN": "hunter2"},
        token="t0ken",
        run_number=7,
    )
    step = run.jobs["job"].step("seen")
    assert step.log.startswith("workflow job file file and step\n")
    lines = dict(line.split("=", 1) for line in step.log.splitlines()[1:])
    assert {name: value for name, value in lines.items() if name not in ("_", "SHLVL", "PWD")} == step.env
    expected = {"NUMBER": "3", "TRUTH": "true", "NOTHING": "", "TOKEN": "t0ken", "STORAGE": "somewhere", "CI": "true"}
    expected |= {"A": "workflow", "GITHUB_REF": "refs/heads/main"}
    expected |= {"GITHUB_JOB": "job", "GITHUB_RUN_NUMBER": "7", "GITHUB_REF_NAME": "main", "GITHUB_EVENT_NAME": "push"}
    assert expected.items() <= step.env.items()
    assert step.env["GITHUB_SHA"] != "forged"
    assert not {"LEAK", "GITHUB_TOKEN", "HIDDEN"} & set(step.env)
    assert "hunter2" not in str(run)


def test_what_steps_write_to_their_files_is_read(go: Go) -> None:
    run = go(
        """
        job:
          steps:
            - id: write
              run: |
                printf 'plain=a=b<<c\\nlong<<END\\none\\n\\ntwo=2\\nEND\\nempty=\\n' >> "$GITHUB_OUTPUT"
                printf 'LONG<<E\\nx\\ny\\nE\\n' >> "$GITHUB_ENV"
                mkdir bin && printf '#!/bin/sh\\necho mine\\n' > bin/tool && chmod +x bin/tool
                echo "$PWD/bin" >> "$GITHUB_PATH"
                echo '# Title' >> "$GITHUB_STEP_SUMMARY"
            - {id: read, run: 'tool; echo "$LONG"; echo more >> "$GITHUB_STEP_SUMMARY"; cat "$GITHUB_OUTPUT"'}
            - {id: unended, run: 'printf "x<<END\\nlost\\n" >> "$GITHUB_OUTPUT"', continue-on-error: true}
            - {id: nameless, run: 'echo words >> "$GITHUB_ENV"', continue-on-error: true}
        """
    )
    job = run.jobs["job"]
    assert job.step("write").outputs == {"plain": "a=b<<c", "long": "one\n\ntwo=2", "empty": ""}
    assert job.step("read").log == "mine\nx\ny\n"
    assert run.summary == "# Title\nmore\n"
    assert (job.step("unended").outcome, job.step("nameless").outcome) == ("failure", "failure")


@pytest.mark.parametrize(
    ("keys", "log"),
    [
        ("run: 'false | true; echo on; false; echo never'", "on\n"),
        ("run: 'false | true; echo on', shell: bash", ""),
        ("run: 'echo $0 | grep -c temp/', shell: sh", "1\n"),
        ("run: 'print(1 + 1)', shell: 'python3 -u {0}'", "2\n"),
        ("run: 'basename $PWD', working-directory: sub", "sub\n"),
        ("run: 'basename $PWD', working-directory: nowhere", "there is no folder"),
        ("run: 'echo out; echo err >&2; echo out'", "out\nerr\nout\n"),
        ("run: cat", ""),
    ],
)
def test_shells_and_folders(go: Go, keys: str, log: str) -> None:
    run = go(f"job: {{steps: [{{run: mkdir sub}}, {{{keys}}}]}}")
    said = run.jobs["job"].steps[1].log
    assert said.startswith(log) if log.startswith("there") else said.split("Process completed")[0] == log


def test_defaults_are_the_jobs_then_the_workflows(go: Go) -> None:
    run = go(
        """
        theirs: {steps: [{run: "false | true"}]}
        own: {defaults: {run: {shell: "bash -e {0}"}}, steps: [{run: "false | true"}]}
        """,
        top="defaults: {run: {shell: bash}}",
    )
    assert run.results == {"theirs": "failure", "own": "success"}


def test_secrets_are_where_the_workflow_puts_them_and_nowhere_else(go: Go) -> None:
    jobs = """
        build:
          permissions: {contents: read}
          outputs: {leak: "x${{ secrets.REPO }}", fine: fine}
          steps:
            - {run: 'echo "<$S>"', env: {S: "${{ secrets.REPO }}${{ secrets.OF_REGISTRY }}"}}
            - {id: without, run: env}
        push:
          if: github.event_name != 'pull_request'
          needs: build
          environment: {name: "${{ vars.WHERE }}"}
          steps: [{run: 'echo "<$S>"', env: {S: "${{ secrets.OF_REGISTRY }}${{ needs.build.outputs.leak }}"}}]
        """
    settings: dict[str, Any] = {
        "secrets": {"REPO": "r3po"},
        "variables": {"WHERE": "registry"},
        "environments": {"registry": {"OF_REGISTRY": "r3gistry"}},
        "top": "permissions: {}",
    }
    pushed = go(jobs, **settings)
    assert [step.log for step in pushed.steps if step.id == ""] == ["<r3po>\n", "<r3gistry>\n"]
    assert "r3po" not in str(pushed.jobs["build"].step("without"))
    assert pushed.jobs["build"].outputs == {"fine": "fine"}
    assert [(job.environment, job.permissions) for job in pushed.jobs.values()] == [
        ("", {"contents": "read"}),
        ("registry", {}),
    ]


@pytest.mark.parametrize("fork", [False, True])
def test_a_pull_request_of_a_fork_has_no_secrets(go: Go, fork: bool) -> None:
    jobs = """
        job: {environment: e, steps: [{run: 'echo "<$S>"', env: {S: "${{ secrets.A }}${{ secrets.B }}"}}]}
        push: {if: github.event_name == 'push', environment: e, steps: [{run: echo}]}
        """
    event = Event.pull_request("topic", fork=fork)
    run = go(jobs, event, secrets={"A": "4"}, environments={"e": {"B": "8"}})
    assert run.log == ("<>\n" if fork else "<48>\n")
    assert (run.results["push"], run.jobs["push"].environment) == ("skipped", "")


def test_inputs_of_a_start_by_hand_are_booleans(go: Go) -> None:
    jobs = """
        wet: {if: "!inputs.dry", steps: [{run: "echo ${{ inputs.dry }} ${{ github.event.inputs.dry == 'false' }}"}]}
        dry: {if: inputs.dry, steps: [{run: "echo ${{ inputs.dry }}"}]}
        """
    run = go(jobs, Event.dispatch({"dry": "false"}))
    assert (run.results, run.log) == ({"wet": "success", "dry": "skipped"}, "false true\n")


@pytest.mark.parametrize(
    ("jobs", "why"),
    [
        ("job: {steps: [{uses: who/knows@1}]}", "nothing stands for who/knows"),
        ("job: {steps: [{run: echo, whatever: 1}]}", "whatever is not simulated"),
        ("job: {strategy: {matrix: {a: [1]}}, steps: [{run: echo}]}", "strategy is not simulated"),
        ("job: {steps: [{run: echo, uses: a/b@1}]}", "not one of"),
        ("job: {steps: [{name: idle}]}", "not one of"),
        ("job: {steps: [{run: echo, shell: pwsh}]}", "pwsh"),
        ("job: {needs: nobody, steps: [{run: echo}]}", "need each other: job"),
        ("a: {needs: b, steps: []}\nb: {needs: a, steps: []}", "need each other: a, b"),
        ("job: {steps: [{uses: actions/checkout@1, with: {submodules: true}}]}", "submodules is not simulated"),
    ],
)
def test_what_is_not_simulated_is_refused(go: Go, jobs: str, why: str) -> None:
    with pytest.raises(WorkflowError, match=why):
        go(jobs)


@pytest.mark.parametrize(
    "keys",
    [
        "steps: [{run: echo, if: secrets.X != ''}]",
        "if: env.A, steps: [{run: echo}]",
        "if: secrets.X, steps: [{run: echo}]",
        "if: steps.a.outcome, steps: [{run: echo}]",
        "env: {A: '${{ env.B }}'}, steps: [{run: echo}]",
        "env: {A: '${{ runner.temp }}'}, steps: [{run: echo}]",
        "steps: [{run: 'echo ${{ success() }}'}]",
        "steps: [{run: 'echo ${{ matrix.a }}'}]",
    ],
)
def test_contexts_are_only_where_github_has_them(go: Go, keys: str) -> None:
    with pytest.raises(ExpressionError):
        go(f"job: {{{keys}}}")


def test_an_event_that_starts_nothing_is_told(go: Go) -> None:
    with pytest.raises(NotStarted, match="does not run on this schedule"):
        go("job: {steps: [{run: echo}]}", Event.schedule())
