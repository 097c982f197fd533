"""What the roles say of the modules' options is derived from these: an option that is forgotten somewhere is found."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.digitalsys.agents.plugins.module_utils._options import argspec
from tests.gates import options
from tests.gates.gate import GateFailed

CHECKOUT = Path(__file__).resolve().parents[3]
DERIVATIONS = options.derivations()
WORDS = options.documented()
SPECS = [name for name in DERIVATIONS if name.endswith("argument_specs.yml")]
TASKS = [name for name in DERIVATIONS if name not in SPECS]

#: An option that nobody has written anywhere but where it belongs.
NEW = "hair"
RULES = {"type": "list", "elements": "str", "default": ["--long", "7", "a: b"]}
SENTENCES = [
    "What the agent wears, beside O(env).",
    "For example V(a: b). " + "It is told at some length. " * 6 + "End.",
]


def text_of(name: str) -> str:
    return (CHECKOUT / name).read_text()


def grown(source: options.Source) -> options.Source:
    """As if the option had been added to AGENT, which whatever takes all of an agent is made of."""
    return replace(source, spec={**source.spec, NEW: RULES}) if set(argspec.AGENT) <= set(source.spec) else source


def grown_role() -> str:
    points = {point: tuple(map(grown, sources)) for point, sources in options.ENTRY_POINTS["agent"].items()}
    words = {**WORDS, "": {**WORDS[""], NEW: SENTENCES}}
    return options.role_spec(text_of("roles/agent/meta/argument_specs.yml"), "agent", points, words)


@pytest.mark.parametrize("name", DERIVATIONS)
def test_file_is_what_the_argument_specs_and_the_documentation_make_of_it(name: str) -> None:
    text = text_of(name)
    assert text == DERIVATIONS[name](text), (
        f"{name} is not what argspec.py and the documentation say; run: make options"
    )


#: A variable in a role's spec, be it written out or an alias, and one that a task hands on. agent_run is of no module.
OURS = re.compile(
    r"      agent_(?!run:)\w+:(?: \*\w+\n|(?: &\w+)?\n(?: {8}.*\n)+)"
    r"|    \w+: \"\{\{ \w+ \| default\(omit(?:, true)?\) \}\}\"\n"
)


@pytest.mark.parametrize("name", DERIVATIONS)
@pytest.mark.parametrize("turn", [0, 1])
def test_each_option_that_is_forgotten_is_put_back(name: str, turn: int) -> None:
    text = text_of(name)
    places = [found.span() for found in OURS.finditer(text)]
    less = text
    # Every other one at once: each of them has neighbours that are there.
    for start, end in reversed(places[turn::2]):
        less = less[:start] + less[end:]
    again = DERIVATIONS[name](less)
    assert len(OURS.findall(less)) < len(places)
    assert yaml.safe_load(again) == yaml.safe_load(text)
    assert DERIVATIONS[name](again) == again


@pytest.mark.parametrize("name", [*SPECS, "roles/agent/tasks/rollout.yml"])
def test_one_that_is_forgotten_comes_back_to_its_place(name: str) -> None:
    text = text_of(name)
    line = next(found[0] for found in OURS.finditer(text) if "allow_insecure" in found[0])
    assert DERIVATIONS[name](text.replace(line, "", 1)) == text


@pytest.mark.parametrize("name", TASKS)
def test_a_variable_of_another_name_or_of_no_option_goes(name: str) -> None:
    text = text_of(name)
    line = next(found[0] for found in OURS.finditer(text))
    other = line.replace("{{ agent_", "{{ agnet_")
    stray = '    beard: "{{ agent_beard | default(omit) }}"\n'
    assert other != line
    assert DERIVATIONS[name](text.replace(line, other + stray)) == text


def test_an_option_that_is_added_to_an_agent_comes_out_wherever_all_of_its_options_stand() -> None:
    points: dict[str, Any] = yaml.safe_load(grown_role())["argument_specs"]
    variable = f"agent_{NEW}"
    assert {point for point, entry in points.items() if variable in entry["options"]} == {
        *("main", "plan", "rollout", "restart")
    }
    said = points["main"]["options"][variable]
    assert said == {"description": [SENTENCES[0].replace("O(env)", "O(agent_env)"), SENTENCES[1]], **RULES}
    assert points["plan"]["options"][variable] == said
    task = options.role_task(text_of("roles/agent/tasks/rollout.yml"), grown(options.ROLLOUT))
    assert f'\n    {NEW}: "{{{{ {variable} | default(omit) }}}}"\n' in task


def test_an_option_that_is_added_changes_nothing_else_and_fits_the_page() -> None:
    before = text_of("roles/agent/meta/argument_specs.yml").splitlines()
    after = grown_role().splitlines()
    assert max(map(len, set(after) - set(before))) <= options.WIDTH
    rest = iter(after)
    assert all(line in rest for line in before), "a line of the file is gone"
    assert after.count(f"      agent_{NEW}: *{NEW}") == 2
    assert after.count(f"      agent_{NEW}: &{NEW}") == 1


def test_an_option_without_words_is_refused() -> None:
    derive = partial(options.role_spec, role="agent", points={"main": (grown(options.FLEET),)}, words=WORDS)
    with pytest.raises(GateFailed, match=f"{NEW} stands in argspec.py"):
        derive(text_of("roles/agent/meta/argument_specs.yml"))


@pytest.mark.parametrize("name", SPECS)
def test_a_block_that_says_something_else_is_written_anew(name: str) -> None:
    text = changed = text_of(name)
    for old, new in [
        ("default: false", "default: true"),
        ("default: 90", 'default: "90"'),
        ("type: bool", "type: str"),
        ("[probe, ready, exec]", "[probe]"),
        ("Namespace of the fleet", "Some namespace"),
        ("elements: str", "elements: int"),
    ]:
        assert old in changed
        changed = changed.replace(old, new, 1)
    assert yaml.safe_load(DERIVATIONS[name](changed)) == yaml.safe_load(text)


@pytest.mark.parametrize("name", SPECS)
def test_what_a_role_refers_to_is_its_own(name: str) -> None:
    points: dict[str, Any] = yaml.safe_load(text_of(name))["argument_specs"]
    own = {variable for entry in points.values() for variable in entry["options"]}
    assert set(re.findall(r"\bO\((\w+)", text_of(name))) <= own


@pytest.mark.parametrize("role", options.ENTRY_POINTS)
def test_no_entry_point_and_no_task_is_left_out(role: str) -> None:
    entries: dict[str, Any] = yaml.safe_load(text_of(f"roles/{role}/meta/argument_specs.yml"))["argument_specs"]
    derived = [entries[point]["options"] for point in options.ENTRY_POINTS[role]]
    # An alias is the very object of its anchor.
    assert [point for point, entry in entries.items() if not any(entry["options"] is one for one in derived)] == []
    calls = {
        path.stem for path in (CHECKOUT / "roles" / role / "tasks").iterdir() if "  digitalsys." in path.read_text()
    }
    assert calls == {source.task for source in options.TASKS if source.role == role}


def test_a_variable_means_the_same_wherever_it_is_read() -> None:
    other = replace(options.PROVISION, spec={"namespace": {"type": "str", "default": "robots"}})
    points = {**options.ENTRY_POINTS["agent"], "provision": (other,)}
    with pytest.raises(GateFailed, match="agent_namespace is not the same"):
        options.role_spec(text_of("roles/agent/meta/argument_specs.yml"), "agent", points, WORDS)


def test_what_is_written_by_hand_stays() -> None:
    spec = "# Head.\n---\nargument_specs:\n  main:\n    short_description: Mine\n    options:\n"
    by_hand = "      # Ours.\n      agent_run:\n        type: dict\n"
    source = options.Source("agent", {NEW: {"type": "int", "default": 3}}, module="agent_plan")
    words = {"agent_plan": {NEW: ["Told in RV(todo), with O(hair=3)."]}, "": {}}
    stray = "      agent_beard:\n        type: str\n"
    written = options.role_spec(spec + stray + by_hand, "agent", {"main": (source,)}, words)
    told = "Told in RV(digitalsys.agents.agent_plan#module:todo), with O(agent_hair=3)."
    hair = f"      agent_hair:\n        description: {told}\n        type: int\n        default: 3\n"
    assert written == spec + by_hand + hair


@pytest.mark.parametrize(
    ("present", "result"),
    [("abc", "abc"), ("", "abc"), ("ca", "cab"), ("b", "abc"), ("xby", "xabcy"), ("xdy", "xyabc"), ("bda", "bca")],
)
def test_a_new_key_stands_behind_the_one_before_it(present: str, result: str) -> None:
    wanted = {key: [key] for key in "abc"}
    items = [(key, [key]) for key in present]
    assert options.merged(items, wanted, lambda item: item[0] not in "xy") == list(result)


def test_files_are_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in DERIVATIONS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text_of(name))
    task = tmp_path / "roles/agent/tasks/rollout.yml"
    whole = task.read_text()
    task.write_text(whole.replace('    timeout: "{{ agent_timeout | default(omit) }}"\n', ""))
    task.chmod(0o640)
    monkeypatch.setattr(options, "CHECKOUT", tmp_path)
    assert options.main() == 0
    assert capsys.readouterr().out == "roles/agent/tasks/rollout.yml\n"
    assert task.read_text() == whole
    assert task.stat().st_mode & 0o777 == 0o640
    assert options.main() == 0
    assert capsys.readouterr().out == ""
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(DERIVATIONS)
