"""The rules for workflows, each shown what breaks it: a rule that complains of nothing would be no rule."""

from __future__ import annotations

import ast
import textwrap

import pytest

from . import workflow_rights as rights
from . import workflow_rules as rules
from . import workflow_scripts as scripts
from .workflow_files import Workflow, commands, parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL = {
    "some/action": rules.Action("v1.2.3", COMMIT, frozenset({"path", "key"}), frozenset({"path"}), frozenset({"hit"}))
}
PINNED = f"some/action@{COMMIT} # v1.2.3"


def of_steps(steps: str, job: str = "", top: str = "on: push") -> Workflow:
    """A workflow of one job; `steps` begin with `- `, `job` and `top` are lines of the job and of the file."""
    text = f"{top}\njobs:\n  test:\n    runs-on: ubuntu-24.04\n{textwrap.indent(job, '    ')}\n    steps:\n"
    return parse(text + textwrap.indent(textwrap.dedent(steps), "      "))


# Actions


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ("- uses: other/action@v1", "other/action is not in the table"),
        ("- uses: some/action@v1.2.3", "is not v1.2.3"),
        (f"- uses: some/action@{COMMIT[:-1]}8 # v1.2.3", "is not v1.2.3"),
        (f"- uses: some/action@{COMMIT}", "instead of '# v1.2.3'"),
        (f"- uses: some/action@{COMMIT} # v1.2.2", "instead of '# v1.2.3'"),
        (f"- {{uses: some/action@{COMMIT}}}", "no line of its own"),
        ("- uses: ./local", "./local is not in the table"),
    ],
)
def test_another_action_than_the_table_has_is_refused(steps: str, complaint: str) -> None:
    assert complaint in "".join(rules.unpinned(of_steps(steps), SMALL))
    assert rules.unpinned(of_steps(f"- uses: {PINNED}"), SMALL) == []


@pytest.mark.parametrize(
    ("given", "complaint"),
    [("path: a\n    pth: b", "no input pth"), ("key: a", "wants path")],
)
def test_an_input_that_no_action_has_is_refused(given: str, complaint: str) -> None:
    assert complaint in "".join(rules.wrong_inputs(of_steps(f"- uses: {PINNED}\n  with:\n    {given}"), SMALL))


# Outputs


CACHED = f"- uses: {PINNED}\n  id: cache\n"


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("steps.cache.outputs.hits", "has no such output"),
        ("steps.cach.outputs.hit", "no step before it has that id"),
        ("steps.later.outputs.hit", "no step before it has that id"),
        ("steps.built.outputs.image", "has no such output"),
        ("steps.pushed.outputs.archive", "has no such output"),
        ("steps.cache.hit", "say which output"),
        ("toJSON(steps)", "no step before it has that id"),
        ("needs.other.outputs.a", "the job does not wait for that one"),
        ("needs.first.outputs.b", "has no such output"),
    ],
)
@pytest.mark.parametrize("place", ["if: {}", "name: a ${{{{ {} }}}} b", "env:\n    A: ${{{{ {} }}}}"])
def test_an_output_that_nothing_has_is_refused(place: str, expression: str, complaint: str) -> None:
    built = "- run: base/ci/build\n  id: built\n- run: base/ci/push\n  id: pushed\n"
    later = f"- uses: {PINNED}\n  id: later\n"
    steps = f"{CACHED}{built}- run: 'true'\n  {place.format(expression)}\n{later}"
    workflow = of_steps(steps, job="needs: first")
    workflow.raw["jobs"]["first"] = {"outputs": {"a": ""}, "steps": []}
    assert complaint in "".join(rules.missing_outputs(workflow, SMALL))


@pytest.mark.parametrize(
    "expression",
    ["steps.cache.outputs.hit", "steps.cache.outcome", "steps.built.outputs.archive", "needs.first.outputs.a"],
)
def test_an_output_of_an_action_a_script_or_a_job_is_found(expression: str) -> None:
    workflow = of_steps(f"{CACHED}- run: base/ci/build\n  id: built\n- if: {expression}\n", job="needs: first")
    workflow.raw["jobs"]["first"] = {"outputs": {"a": ""}, "steps": []}
    assert rules.missing_outputs(workflow, SMALL) == []


def test_a_jobs_own_output_comes_from_a_step_that_has_it() -> None:
    wrong = of_steps(CACHED, job="outputs:\n  a: ${{ steps.cache.outputs.hits }}")
    assert "has no such output" in "".join(rules.missing_outputs(wrong, SMALL))
    right = of_steps(CACHED, job="outputs:\n  a: ${{ steps.cache.outputs.hit }}")
    assert rules.missing_outputs(right, SMALL) == []


def test_outputs_are_read_where_a_script_writes_them() -> None:
    assert scripts.outputs_in(ast.parse("tools.output(a=x, b='')\nif y: output(c=z)\nother(d=1)")) == {"a", "b", "c"}
    with pytest.raises(ValueError, match="written out"):
        scripts.outputs_in(ast.parse("output(**found)"))


# Scripts


@pytest.mark.parametrize(
    ("run", "complaint"),
    [
        ("base/ci/biuld", "base/ci/biuld is not there"),
        ("cd x && base/ci/biuld", "base/ci/biuld is not there"),
        ("sudo -E A=b base/ci/biuld", "base/ci/biuld is not there"),
        ("base/Dockerfile", "base/Dockerfile is not executable"),
        ("base/ci/build --contxt base", "has no option --contxt"),
        ("base/ci/build base", "takes no argument 'base'"),
        ("base/ci/build --archive", "wants a value after --archive"),
        (".ci/release", "wants one of check, github, galaxy"),
        (".ci/release chek", "takes no 'chek'; it takes check, github, galaxy"),
        (".ci/run --fast", "is a shell script, and takes no '--fast'"),
        ("base/ci/handover pull", "takes no 'pull'"),
        ("base/ci/handover awx --image x", "has no option --image"),
        ("make tarbal", "make has no target tarbal"),
        ("make check-linters", "make has no target check-linters"),
        ("python3 base/ci/build", "without python3"),
        ("make test | tee log", "without `shell: bash`"),
    ],
)
def test_a_call_that_cannot_work_is_refused(run: str, complaint: str) -> None:
    assert complaint in "".join(rules.wrong_calls(of_steps(f"- run: {run}")))


@pytest.mark.parametrize(
    "run",
    [
        "base/ci/build --context=base --archive x.tar",
        "base/ci/handover awx",
        ".ci/release check",
        "sudo --preserve-env=A .ci/run 2>&1 | tee log",
        "make tarball",
        "make check-ruff ARGS=-x",
        'chown me "$A/bin"',
    ],
)
def test_a_call_that_can_work_is_not(run: str) -> None:
    assert rules.wrong_calls(of_steps(f"- shell: bash\n  run: {run}")) == []


def test_commands_are_found_in_a_shells_lines() -> None:
    run = 'a --b \\\n  c\nX=1 d "e f" > out 2>&1 && sudo --preserve-env=Y,Z -n W=2 g | h; i\n# j\n'
    assert [command.words for command in commands(run)] == [("a", "--b", "c"), ("d", "e f"), ("g",), ("h",), ("i",)]
    assert [command.assigned for command in commands(run)][1:3] == [{"X"}, {"W"}]
    assert [command.kept for command in commands(run)][1:3] == [None, {"W", "Y", "Z"}]


USAGE = "usage: a b [-h] --must M [--may M] [--flag] {x,y} one [two ...]\n\nwhat it does"


@pytest.mark.parametrize(
    ("words", "complaints"),
    [
        (("--must", "m", "x", "1"), []),
        (("--must=m", "--may", "m", "--flag", "y", "1", "2"), []),
        (("x", "1"), ["wants --must"]),
        (("--must", "m", "z", "1"), ["takes no 'z'; it takes x, y"]),
        (("--must", "m", "x"), ["wants another argument"]),
    ],
)
def test_a_usage_says_what_a_script_takes(words: tuple[str, ...], complaints: list[str]) -> None:
    assert scripts.misfits(scripts.usage_of(USAGE, "a b"), words) == complaints


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ("- run: base/ci/push\n  env: {IMAGE_REPOSITRY: a}", "nothing that it calls reads IMAGE_REPOSITRY"),
        ("- run: IMAGE_REPOSITRY=a base/ci/push", "nothing that it calls reads IMAGE_REPOSITRY"),
        ("- run: make test\n  env: {XDG_CACHE: a}", "nothing that it calls reads XDG_CACHE"),
        ("- run: echo LOG\n  env: {LOG: a}", "nothing that it calls reads LOG"),
        ("- run: sudo .ci/run\n  env: {XDG_CACHE_HOME: a}", "sudo keeps XDG_CACHE_HOME from .ci/run"),
        (f"- uses: {PINNED}\n  env: {{A: b}}", "an action takes inputs, not A"),
    ],
)
def test_a_variable_that_nobody_reads_is_refused(steps: str, complaint: str) -> None:
    assert complaint in "".join(rules.wrong_environment(of_steps(steps)))


def test_a_variable_of_a_whole_job_or_file_is_read_by_one_of_its_steps() -> None:
    steps = "- run: base/ci/push\n- run: make test"
    assert rules.wrong_environment(of_steps(steps, job="env: {LATEST: a}", top="env: {XDG_CACHE_HOME: b}")) == []
    wrong = "".join(rules.wrong_environment(of_steps(steps, job="env: {LATST: a}", top="env: {XDG_CACHE: b}")))
    assert "no step reads LATST" in wrong
    assert "no step reads XDG_CACHE" in wrong


@pytest.mark.parametrize("step", ["github", "galaxy"])
def test_a_variable_that_a_script_asks_for_and_nobody_sets_is_missed(step: str) -> None:
    workflow = of_steps(f"- run: .ci/release {step}\n  env: {{GH_TOKEN: a, GALAXY_TOKEN: b}}")
    assert rules.forgotten_environment([workflow]) == [
        ".ci/release: its --help asks for TAG, and no step that calls it sets that"
    ]


def test_an_expression_in_a_shells_text_is_refused() -> None:
    assert len(rules.expressions_in_commands(of_steps("- run: echo ${{ github.ref_name }}"))) == 1


# Rights and settings


@pytest.mark.parametrize("text", ["toJSON(secrets)", "secrets[matrix.name]", "vars", "secrets.GITHUB_TOKEN"])
def test_settings_that_are_not_named_are_refused(text: str) -> None:
    assert len(rights.unclear_settings(of_steps(f"- env: {{A: '${{{{ {text} }}}}'}}"))) == 1


def test_settings_are_read_from_the_documented_table() -> None:
    page = "| `A_B` | secret | environment `prod` | x |\n| `C` | variable | repository | `D` |\n| `E` | file | a | b |"
    settings = rights.documented(page)
    assert settings == [rights.Setting("A_B", "secret", "prod"), rights.Setting("C", "variable", "")]
    steps = "- env: {A: '${{ secrets.A_B }}'}\n  if: vars.C == ''"
    assert rights.settings_named(of_steps(steps)) == {("secret", "A_B"), ("variable", "C")}
    assert len(rights.misplaced_secrets(of_steps(steps), settings)) == 1
    assert rights.misplaced_secrets(of_steps(steps, job="environment: prod"), settings) == []


@pytest.mark.parametrize(
    ("top", "job", "complaint"),
    [
        ("on: pull_request", "env: {A: '${{ secrets.B }}'}", "names a secret"),
        ("on: [push, pull_request]", "env: {A: '${{ secrets.B }}'}", "names a secret"),
        ("on: {pull_request: }", "env: {A: '${{ secrets.B }}'}", "names a secret"),
        ("on: pull_request", "env: {A: '${{ toJSON(secrets) }}'}", "names a secret"),
        ("on: pull_request", "environment: {name: prod}", "is in the environment prod"),
        ("on: pull_request", "permissions: {contents: write}", "may write contents"),
        ("on: pull_request", "if: github.event_name != 'pull_request' || true\nenvironment: prod", "environment prod"),
        ("on: pull_request", "if: (github.event_name == 'push' || true)\nenvironment: prod", "environment prod"),
        ("on: pull_request\nenv: {A: '${{ secrets.B }}'}", "", "in the environment of all jobs"),
        ("on: pull_request_target", "", "a stranger's pull request"),
        ("on: workflow_run", "", "a stranger's pull request"),
    ],
)
def test_a_secret_within_a_pull_requests_reach_is_refused(top: str, job: str, complaint: str) -> None:
    assert complaint in "".join(rights.secrets_on_pull_requests(of_steps("- run: 'true'", job, top)))


@pytest.mark.parametrize(
    ("condition", "first", "reached"),
    [
        ("", "github.event_name != 'pull_request'", False),
        ("github.event_name != 'pull_request' && (a || b)", "", False),
        ("${{ github.ref == 'refs/heads/main' }}", "", False),
        ("vars.A == 'true'", "github.ref == 'refs/heads/main'", False),
        ("always()", "github.event_name != 'pull_request'", True),
        ("vars.A == 'true'", "", True),
    ],
)
def test_a_condition_or_a_job_before_it_keeps_a_job_from_pull_requests(
    condition: str, first: str, reached: bool
) -> None:
    workflow = of_steps("- run: 'true'", "needs: first\nenvironment: prod", "on: pull_request")
    workflow.raw["jobs"]["test"]["if"] = condition
    workflow.raw["jobs"]["first"] = {"if": first}
    assert len(rights.secrets_on_pull_requests(workflow)) == reached


@pytest.mark.parametrize(
    ("top", "job", "complaint"),
    [
        ("on: push", "permissions: {}\ntimeout-minutes: 1", "permissions at the top"),
        ("on: push\npermissions: {contents: read}", "permissions: {}\ntimeout-minutes: 1", "permissions at the top"),
        ("on: push\npermissions: {}", "timeout-minutes: 1", "names no permissions"),
        ("on: push\npermissions: {}", "permissions: write-all\ntimeout-minutes: 1", "names no permissions"),
        ("on: push\npermissions: {}", "permissions: {}", "no timeout-minutes"),
    ],
)
def test_rights_that_nobody_named_are_refused(top: str, job: str, complaint: str) -> None:
    assert complaint in "".join(rights.loose_rights(of_steps("- run: 'true'", job, top)))
