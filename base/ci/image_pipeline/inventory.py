"""The image in the inventory: one line of a file that people write, whose every other character stays."""

from __future__ import annotations

import re

from image_pipeline.tools import Failed

FILE = "inventories/bots/group_vars/agents.yml"
KEY = "agent_image"
#: The key, the image in quotes or not, and behind it at most a comment.
_LINE = re.compile(
    rf"""^{KEY}[ \t]*:[ \t]+(?P<quote>["']?)(?P<image>\w[\w./:@-]*)(?P=quote)[ \t]*([ \t]\#[^\r\n]*)?\r?$""",
    re.MULTILINE | re.ASCII,
)
_KEY = re.compile(rf"""^["']?{KEY}["']?[ \t]*:""", re.MULTILINE)


def image_in(text: str) -> str:
    """The image that the file's text names."""
    return _line(text)["image"]


def with_image(text: str, image: str) -> str:
    """The text with another image. Layout, quotes, comments and line ends stay."""
    line = _line(text)
    return text[: line.start("image")] + image + text[line.end("image") :]


def _line(text: str) -> re.Match[str]:
    """Failed where it is not one plain line: nothing is guessed in a file that the whole fleet runs by."""
    keys, lines = len(_KEY.findall(text)), list(_LINE.finditer(text))
    if keys != 1:
        what = f"has {keys} lines `{KEY}:`" if keys else f"has no line `{KEY}:` that begins at its margin"
        raise Failed(f"the inventory's file {what}", f"Leave exactly one, `{KEY}: registry.example.com/team/name:tag`.")
    if len(lines) != 1 or re.match(r"\s*\n[ \t]+[^\s#]", text[lines[0].end() :]):  # a value may go on in the next line
        raise Failed(
            f"the value of `{KEY}` is not an image written on its own line",
            f"Write `{KEY}: registry.example.com/team/name:tag`, with no expression, anchor or folded text.",
        )
    return lines[0]
