"""The values of GitHub's expressions: what is true, equal, a number or a text, and the functions of values alone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeAlias

Value: TypeAlias = "bool | int | float | str | list[Value] | Mapping[str, Value] | None"
Function: TypeAlias = Callable[..., Value]

NUMBER = r"(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|0x[0-9a-fA-F]+|0o[0-7]+)"


class ExpressionError(Exception):
    """An expression that GitHub would refuse, or that is not covered here."""


def truthy(value: Value) -> bool:
    """Everything but false, 0, the empty string and null: also an empty list or object."""
    return isinstance(value, (list, Mapping)) or bool(value)


def text(value: Value) -> str:
    """A value as part of a string."""
    if isinstance(value, (list, Mapping)):
        raise ExpressionError("a list or an object is no text: toJSON makes one of it")
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:.15G}"


def number(value: Value) -> float:
    """A value as a comparison of different types sees it; NaN for what is no number, which equals nothing."""
    if isinstance(value, (list, Mapping)):
        return math.nan
    if not isinstance(value, str):
        return float(value or 0)
    word = value.strip() or "0"
    if not re.fullmatch(NUMBER, word, re.ASCII):
        return math.nan
    return float(int(word, 0)) if word[:2] in ("0x", "0o") else float(word)


def comparable(left: Value, right: Value) -> tuple[Any, Any]:
    """Two values as Python may compare them: strings without case, lists and objects by identity, others as numbers."""
    if isinstance(left, str) and isinstance(right, str):
        return left.upper(), right.upper()
    if left is right and isinstance(left, (list, Mapping)):
        return 0, 0
    return number(left), number(right)


class Filtered(list[Value]):
    """What `*` chose: a property of it is the list of its members' properties."""


def children(value: Value) -> Filtered:
    """What `.*` stands for."""
    if isinstance(value, Filtered):
        return Filtered(child for member in value for child in children(member))
    if isinstance(value, Mapping):
        return Filtered(value.values())
    return Filtered(value if isinstance(value, list) else ())


def member(value: Value, key: Value) -> Value:
    """What `.key` and `[key]` stand for; null where there is no such thing."""
    if isinstance(value, Filtered):
        return Filtered(found for part in value for found in _found(part, key))
    return next(_found(value, key), None)


def _found(value: Value, key: Value) -> Iterator[Value]:
    """The member of that name or index, if it is there. Names are found without regard to case."""
    if isinstance(value, Mapping):
        yield from (found for name, found in value.items() if name.lower() == text(key).lower())
    if isinstance(value, list) and 0 <= number(key) < len(value):
        yield value[int(number(key))]


def _contains(search: Value, item: Value) -> bool:
    if isinstance(search, list):
        pairs = (comparable(part, item) for part in search)
        return any(left == right for left, right in pairs)
    return text(item).lower() in text(search).lower()


def _format(template: Value, *values: Value) -> str:
    def part(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if match[1] is None or int(match[1]) >= len(values):
            raise ExpressionError(f"format() cannot fill {match[0]} in: {text(template)}")
        return text(values[int(match[1])])

    return re.sub(r"\{\{|\}\}|\{(\d+)\}|[{}]", part, text(template))


def _from_json(value: Value) -> Value:
    def no_number(word: str) -> NoReturn:
        raise ValueError(f"{word} is not JSON")

    try:
        result: Value = json.loads(text(value), parse_constant=no_number)
    except ValueError as error:
        raise ExpressionError(f"fromJSON: {error}: {text(value)!r}") from None
    return result


def _join(values: Value, separator: Value = ",") -> str:
    return text(separator).join(map(text, values)) if isinstance(values, list) else text(values)


#: lower-case name: (function, fewest and most arguments)
FUNCTIONS: Mapping[str, tuple[Function, int, int]] = {
    "contains": (_contains, 2, 2),
    "startswith": (lambda whole, part: text(whole).lower().startswith(text(part).lower()), 2, 2),
    "endswith": (lambda whole, part: text(whole).lower().endswith(text(part).lower()), 2, 2),
    "format": (_format, 2, 255),
    "join": (_join, 1, 2),
    "tojson": (lambda value: json.dumps(value, indent=2, ensure_ascii=False), 1, 1),
    "fromjson": (_from_json, 1, 1),
}
