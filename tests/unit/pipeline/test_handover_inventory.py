"""The image in the inventory's text: that one value is another, and nothing else."""

from __future__ import annotations

import pytest
import yaml

from image_pipeline.inventory import FILE, image_in, with_image
from image_pipeline.tools import Failed
from tests.sandbox.paths import CHECKOUT

from .handing import IMAGE

OLD = "registry.example.com/team/agent:latest"


@pytest.mark.parametrize(
    "line",
    [
        "agent_image: {}",
        'agent_image: "{}"',
        "agent_image: '{}'",
        "agent_image:   {}   # by digest: see the page on new images",
        'agent_image : "{}"\t# agent_image: another',
        "agent_image: {}\r",
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\n\n# the end\n", "\n  # a comment, indented\nagent_plugins:\n  - a\n"])
def test_every_other_character_stays(line: str, end: str) -> None:
    text = f"---\n# The image.\nagent_namespace: bots\n\n{line}{end}"
    assert with_image(text.format(OLD), IMAGE) == text.format(IMAGE)
    assert image_in(text.format(OLD)) == OLD


def test_the_image_of_our_own_inventory_can_be_set() -> None:
    text = (CHECKOUT / FILE).read_text()
    changed = with_image(text, IMAGE)
    assert yaml.safe_load(changed) == yaml.safe_load(text) | {"agent_image": IMAGE}
    assert [line for line in changed.splitlines() if line not in text.splitlines()] == [f"agent_image: {IMAGE}"]
    assert image_in(changed) == IMAGE


def test_setting_it_twice_is_setting_it_once() -> None:
    once = with_image(f"agent_image: {OLD}\n", IMAGE)
    assert with_image(once, IMAGE) == once


def test_keys_that_only_look_like_it_are_left() -> None:
    text = f"# agent_image: a\nmore:\n  agent_image: b\nagent_image_pull: c\nagent_image: {OLD}\nold_agent_image: d\n"
    assert with_image(text, IMAGE) == text.replace(OLD, IMAGE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("agent_namespace: bots\n", "has no line `agent_image:`"),
        (f"all:\n  agent_image: {OLD}\n", "has no line `agent_image:`"),
        (f"agent_image: {OLD}\nagent_image: {OLD}\n", "has 2 lines `agent_image:`"),
        (f'agent_image: {OLD}\n"agent_image": {OLD}\n', "has 2 lines `agent_image:`"),
        ("agent_image:\n", "is not an image written on its own line"),
        (f"agent_image:\n  {OLD}\n", "is not an image written on its own line"),
        (f"agent_image: >-\n  {OLD}\n", "is not an image written on its own line"),
        (f"agent_image: {OLD}\n\n  and-more\n", "is not an image written on its own line"),
        (f"agent_image: {OLD}\n  and-more\n", "is not an image written on its own line"),
        ('agent_image: "{{ base }}:latest"\n', "is not an image written on its own line"),
        (f"agent_image: &image {OLD}\n", "is not an image written on its own line"),
        (f'agent_image: "{OLD}\n', "is not an image written on its own line"),
        (f"agent_image: \"{OLD}'\n", "is not an image written on its own line"),
        (f"agent_image: {OLD}#no-comment\n", "is not an image written on its own line"),
    ],
)
def test_nothing_is_guessed(text: str, words: str) -> None:
    with pytest.raises(Failed) as failure:
        with_image(text, IMAGE)
    assert words in str(failure.value)
    assert "agent_image: registry.example.com/team/name:tag" in failure.value.hint
